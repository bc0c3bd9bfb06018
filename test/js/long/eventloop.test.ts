// SPDX-License-Identifier: MIT
// No API call keeps the event loop of the program that embeds us from turning for more than 5 ms.
import { spawn } from 'node:child_process';
import { once } from 'node:events';
import { setTimeout as sleep } from 'node:timers/promises';
import test from 'ava';
import type { ExecutionContext } from 'ava';
import * as nf from '../../../lib/index.js';
import { isolationRefused } from '../../../lib/stack/mounts.js';
import { best, blocks, type Blocked } from '../helpers/eventloop.js';
import * as e from '../helpers/stacks.js';

const isolated = isolationRefused() === undefined ? test.serial : test.serial.skip;
const LIMIT_MS = 5;
const TIMES = 3;
/** The longest turn of a program that does nothing, on a machine that has CPUs to spare. */
const CALM_MS = 2;
/** Calls that start processes, and how many at once at most: until a child has begun to run its own
 * program the kernel keeps its parent, which is no work of ours. */
const STARTS: Readonly<Record<string, number>> = {
  ...{ 'Stack.up': 2, attach: 1, set: 1, exec: 1, 'restart driver': 1, 'restart hypervisor': 1 },
  'Hypervisor.start': 1,
};

type Calls = Map<string, Blocked[]>;

/** Makes a call and remembers for how long it blocked. */
function recorder(calls: Calls) {
  return async <T>(name: string, call: () => T | Promise<T>): Promise<T> => {
    let result: T;
    const blocked = await blocks(async () => {
      result = await call();
    });
    calls.set(name, [...(calls.get(name) ?? []), blocked]);
    return result!;
  };
}

const middle = (all: readonly number[]): number => [...all].sort((a, b) => a - b)[all.length >> 1]!;

/** What this machine makes of a loop that has nothing to do, and of starting a process, ms. */
async function machine(): Promise<{ readonly idle: number; readonly start: number }> {
  const idle: Blocked[] = [];
  const start: Blocked[] = [];
  for (let i = 0; i < TIMES; i++) {
    idle.push(await blocks(() => sleep(300)));
    start.push(await blocks(() => once(spawn('/bin/true', { stdio: 'ignore' }), 'close')));
  }
  return { idle: middle(idle.map((x) => x.wall)), start: middle(start.map((x) => x.wall)) };
}

/**
 * What we compute in a turn is ours whatever else runs here. By the clock, where waiting for a disk
 * would show, only what goes beyond the loop of a program that does nothing is, and only on a calm
 * machine.
 */
async function judge(t: ExecutionContext, calls: Calls): Promise<void> {
  const { idle, start } = await machine();
  const rows = [...calls].map(([name, all]) => ({ name, ...best(all) }));
  rows.sort((a, b) => b.cpu - a.cpu);
  t.log(
    `idle ${idle.toFixed(1)}, a start ${start.toFixed(1)} by the clock; CPU time, clock: ` +
      rows.map((r) => `${r.name} ${r.cpu.toFixed(1)} ${r.wall.toFixed(1)}`).join(', '),
  );
  for (const { name, cpu, wall } of rows) {
    t.true(cpu <= LIMIT_MS, `${name} computes for ${cpu.toFixed(1)} ms in one turn`);
    if (idle > CALM_MS) continue; // others have the CPUs: the clock says nothing about us
    const most = LIMIT_MS + idle + (STARTS[name] ?? 0) * start;
    t.true(wall <= most, `${name}: a turn of ${wall.toFixed(1)} ms, more than ${most.toFixed(1)}`);
  }
}

isolated('a stack and its live operations', async (t) => {
  t.timeout(240_000);
  const calls: Calls = new Map();
  const measure = recorder(calls);
  const config = (i: number): nf.StackConfig => ({
    name: `loop-${process.pid}-${i}`,
    devices: e.genDevices(['single', 'translate']),
  });
  for (let i = 0; i < TIMES; i++) {
    const checked = await measure('checkConfig', () => nf.checkConfig(config(i)));
    await measure('planStack', () => nf.planStack(checked));
    await measure('configSchema', () => nf.configSchema());
    const stack = await measure('Stack.up', () =>
      nf.Stack.up(config(i), { notice: () => undefined }),
    );
    try {
      await measure('attach', () => stack.attach({ name: 'more', path: 'direct' }));
      await measure('set', () => stack.set('more', { mtu: 9000 }));
      await measure('metadata', () => stack.metadata());
      const { front, devid } = stack.device('more');
      await measure('exec', () => front.exec(['true']));
      await measure('order', () => front.control.order(devid, { mode: 'send', limit: 10 }));
      await measure('blocks', () => front.counters.blocks());
      await measure('total', () => front.counters.total({ devid }));
      await measure('restart driver', () => stack.restart('L1'));
      await measure('restart hypervisor', () => stack.restart('H0'));
      const remote = await measure('RemoteStack.connect', () => nf.RemoteStack.connect(stack.name));
      await measure('remote.status', () => remote.status());
      await measure('remote.close', () => remote[Symbol.asyncDispose]());
      await measure('detach', () => stack.detach('more'));
    } finally {
      await measure('Stack.close', () => stack.close());
    }
  }
  await judge(t, calls);
});

test.serial('a hypervisor, its domains, grants, channels and store', async (t) => {
  t.timeout(120_000);
  const calls: Calls = new Map();
  const measure = recorder(calls);
  for (let i = 0; i < TIMES; i++) {
    const hv = await measure('Hypervisor.start', () => nf.Hypervisor.start());
    try {
      const made = [];
      for (const name of ['a', 'b'])
        made.push(await measure('createDomain', () => hv.createDomain({ name })));
      const [a, b] = made as [nf.Domain, nf.Domain];
      for (const domain of [a, b]) await measure('domain.attach', () => domain.attach());
      const grant = await measure('grant 512', () => a.grants.grant(b.domid, 512));
      const map = await measure('map 512', () => b.grants.map(a.domid, grant.grefs));
      await measure('write', () => map.write(0, Buffer.alloc(65_536, 7)));
      await measure('read', () => grant.read(0, 65_536));
      await measure('unmap', () => map.unmap());
      await measure('grant.end', () => grant.end());
      const ours = await measure('channel.alloc', () => nf.EventChannel.alloc(a, b.domid));
      const theirs = await measure('bind', () => nf.EventChannel.bind(b, a.domid, ours.port));
      await measure('send', () => theirs.send());
      await measure('channel.close', () => ours.close());
      await measure('control', () => a.control());
      const store = await measure('hypervisor.store', () => hv.store());
      for (let k = 0; k < 20; k++)
        await measure('store.write', () => store.write(`/t/${k}`, 'x'.repeat(1000)));
      await measure('store.directory', () => store.directory('/t'));
      await measure('transaction', () => store.transaction((tx) => tx.write('/t/x', String(i))));
      await measure('store.rm', () => store.rm('/t'));
      await measure('listDomains', () => hv.listDomains());
      await measure('stats', () => hv.stats());
      await measure('domain.close', () => b.close());
    } finally {
      await measure('Hypervisor.close', () => hv.close());
    }
  }
  await judge(t, calls);
});

isolated('a program that is blocked for two seconds does not stall rings', async (t) => {
  const stack = await e.up(t, { devices: e.genDevices(e.PATHS) });
  for (const device of stack.devices) {
    device.front.control.order(device.devid, { mode: 'send', frameBytes: 60 });
    await e.eventually(t, () => e.sunk(device) > 1000, `${device.name} flows`);
  }
  const begin = performance.now();
  let last = stack.devices.map(e.sunk);
  const moved = stack.devices.map(() => 0);
  // no turn of the loop, no timer, no promise from here to the end of the loop
  for (let slice = 1; slice <= 4; slice++) {
    while (performance.now() < begin + slice * 500) Math.sqrt(slice);
    const now = stack.devices.map(e.sunk);
    now.forEach((n, i) => (moved[i]! += n > last[i]! ? 1 : 0));
    last = now;
  }
  if (typeof globalThis.gc === 'function') globalThis.gc();
  t.true(performance.now() - begin >= 2000);
  t.deepEqual(moved, [4, 4, 4, 4], 'frames arrived in each half second of it, in every mode');
  await sleep(0);
  for (const device of stack.devices) {
    await e.drain(t, device);
    const back = e.atBack(device);
    t.is(back.sink_lost + back.sink_corrupted, 0, device.name);
  }
});
