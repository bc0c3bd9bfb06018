// SPDX-License-Identifier: MIT
// What the end-to-end tests share: stacks of real processes, taken down whatever happens.
import { readdirSync, readFileSync, readlinkSync } from 'node:fs';
import { setTimeout as sleep } from 'node:timers/promises';
import type { ExecutionContext } from 'ava';
import { Stack } from '../../../lib/index.js';
import { processStart } from '../../../lib/stack/processes.js';
import type { DevicePath, StackConfig, StackDevice } from '../../../lib/index.js';

export const NESTED: readonly DevicePath[] = ['copy', 'translate', 'direct'];
export const PATHS: readonly DevicePath[] = ['single', ...NESTED];

let serial = 0;

/** A device a path, generators at both ends. */
export function genDevices(paths: readonly DevicePath[]): StackConfig['devices'] {
  return paths.map((path) => ({ name: path, path }));
}

/** Brings a stack up and takes it down with the test; logs what its processes said on failure. */
export async function up(
  t: ExecutionContext,
  config: Omit<StackConfig, 'name'>,
  notice: (line: string) => void = () => undefined,
): Promise<Stack> {
  const lines: string[] = [];
  serial += 1;
  const name = `e2e-${process.pid}-${serial}`;
  try {
    const stack = await Stack.up(
      { isolation: 'on', ...config, name },
      { log: (line) => lines.push(line), notice },
    );
    t.teardown(async () => {
      await stack.close();
      if (!t.passed) t.log(lines.slice(-40).join('\n'));
    });
    return stack;
  } catch (error) {
    t.log(lines.slice(-40).join('\n'));
    throw error;
  }
}

/** Waits until `ready` answers true; `what` is said when it never does. */
export async function eventually(
  t: ExecutionContext,
  ready: () => boolean | Promise<boolean>,
  what: string | (() => string),
  milliseconds = 20_000,
): Promise<void> {
  const deadline = performance.now() + milliseconds;
  while (!(await ready())) {
    if (performance.now() > deadline)
      return t.fail(`never: ${typeof what === 'string' ? what : what()}`);
    await sleep(20);
  }
}

/** Frames the sink at L0's end has taken. */
export function sunk(device: StackDevice): number {
  return device.back.counters.total({ kind: 'netback', devid: device.devid, peer: peerOf(device) })
    .sink_packets;
}

/** Domid of the front that L0's backend of a device talks to. */
export function peerOf(device: StackDevice): number {
  return (device.relay?.outer ?? device.link).front.domain.domid;
}

/** Frames the generator in the guest has written. */
export function generated(device: StackDevice): number {
  return device.front.counters.total({ kind: 'netfront', devid: device.devid }).gen_packets;
}

/** Counters at L0's end. */
export function atBack(device: StackDevice): ReturnType<StackDevice['back']['counters']['total']> {
  return device.back.counters.total({
    kind: 'netback',
    devid: device.devid,
    peer: peerOf(device),
  });
}

/** Stops the generator and waits until nothing moves any more. */
export async function drain(t: ExecutionContext, device: StackDevice): Promise<void> {
  device.front.control.order(device.devid, { mode: 'idle' });
  let last = -1;
  await eventually(
    t,
    async () => {
      const now = sunk(device);
      const still = now === last && generated(device) === now;
      last = now;
      if (!still) await sleep(50);
      return still;
    },
    `${device.name}: every frame generated arrives`,
  );
}

/** pids of all processes whose command line has `text` in it. */
export function processesWith(text: string): number[] {
  return readdirSync('/proc')
    .filter((entry) => /^\d+$/.test(entry) && entry !== String(process.pid))
    .map(Number)
    .filter((pid) => {
      try {
        return readFileSync(`/proc/${pid}/cmdline`, 'utf8').includes(text);
      } catch {
        return false; // it ended while we looked
      }
    });
}

/**
 * pids of processes in any of these network namespaces that were there before `closing` (of
 * performance.now()): the kernel soon gives the number of a namespace that is gone to a new one.
 */
export function inNetworks(networks: readonly string[], closing: number): number[] {
  const uptime = Number(readFileSync('/proc/uptime', 'utf8').split(' ')[0]);
  const limit = uptime - (performance.now() - closing) / 1000; // seconds since boot
  return readdirSync('/proc')
    .filter((name) => /^\d+$/.test(name))
    .map(Number)
    .filter((pid) => {
      try {
        if (!networks.includes(readlinkSync(`/proc/${pid}/ns/net`))) return false;
      } catch {
        return false; // it ended, or is not ours to look at
      }
      const start = processStart(pid);
      return start !== undefined && Number(start) / 100 < limit;
    });
}

/** Network namespaces of processes. */
export function networksOf(pids: readonly number[]): string[] {
  return pids.map((pid) => readlinkSync(`/proc/${pid}/ns/net`));
}

/** Descriptors of this process that are memfds, sockets or namespaces. */
export function ownDescriptors(): string[] {
  return readdirSync('/proc/self/fd')
    .map((fd) => {
      try {
        return readlinkSync(`/proc/self/fd/${fd}`);
      } catch {
        return ''; // the directory's own descriptor
      }
    })
    .filter((target) => /^(\/memfd:|socket:)/.test(target));
}
