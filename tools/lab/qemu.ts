// SPDX-License-Identifier: MIT
/**
 * One emulated machine: Xen, a dom0, a job. Software emulation unless the CPU has svm or vmx; every
 * trap this line avoids is told in docs/lab.md. A watchdog ends it whatever the guest does.
 */
import { spawn, spawnSync } from 'node:child_process';
import type { ChildProcess, StdioOptions } from 'node:child_process';
import { createWriteStream, readFileSync, readdirSync } from 'node:fs';
import { createInterface } from 'node:readline';

import type { Clock } from './groups/group.js';
import type { LabImages } from './image.js';

/** EPYC, because the shim's AMD set-up faults on `max`; no SMAP, MWAIT or XSAVE (docs/lab.md). */
const TCG_CPU = 'EPYC,-smap,-monitor,-xsave,-xsavec,-xsaveopt,-xgetbv1,-avx,-avx2,-fma,-f16c';
const CRASHES = /Panic on CPU|Kernel panic|Hardware Dom0 crashed|Domain 0 .*crashed/;

export interface Machine {
  readonly images: LabImages;
  /** dom0's initramfs: the packages' image with our part appended. */
  readonly initrd: string;
  /** Folder seen by dom0 as /mnt over 9p. */
  readonly share: string;
  /** Name of a job in guest/. */
  readonly job: string;
  /** Scenarios to run; others of the job are left out. Absent: all. */
  readonly only?: readonly string[];
  /** More words for the job, as lab.KEY=VALUE on the kernel's command line. */
  readonly options?: Readonly<Record<string, string | number>>;
  /** File for the whole console. */
  readonly consoleFile: string;
  /** MiB of the machine and of dom0. */
  readonly memory: number;
  readonly dom0Memory: number;
  readonly clock: Clock;
  /** Ended after so many seconds, and after so many without a line. */
  readonly seconds: number;
  readonly idleSeconds: number;
}

export type MachineEnd = 'done' | 'crashed' | 'timeout' | 'silent' | 'exited';

export function accelerator(): 'kvm' | 'tcg' {
  return /^flags.*\b(svm|vmx)\b/m.test(readFileSync('/proc/cpuinfo', 'utf8')) ? 'kvm' : 'tcg';
}

/** 2^2 ns an instruction; what waits for a timer does not wait for the host. */
const ICOUNT = 'shift=2,sleep=off';

function cpuOf(clock: Clock): string[] {
  const tcg = (thread: string): string[] => ['-accel', `tcg,thread=${thread}`, '-cpu', TCG_CPU];
  if (clock === 'instructions') return [...tcg('single'), '-icount', ICOUNT];
  return accelerator() === 'kvm' ? ['-accel', 'kvm', '-cpu', 'host'] : tcg('multi');
}

function argumentsOf(m: Machine, serial = 'stdio'): string[] {
  const only = m.only ? ` lab.only=${m.only.join(':')}` : ''; // a comma would end QEMU's option
  const more = Object.entries(m.options ?? {}).map(([key, value]) => ` lab.${key}=${value}`);
  const linux =
    'console=hvc0 loglevel=4 mitigations=off panic=1 lab.role=dom0 ' +
    `lab.job=${m.job}${only}${more.join('')}`;
  const ram = `dom0_mem=${m.dom0Memory}M,max:${m.dom0Memory}M`;
  return [
    ...cpuOf(m.clock),
    '-smp',
    '1',
    '-m',
    String(m.memory),
    '-nographic',
    '-no-reboot',
    '-nodefaults',
    '-serial',
    serial,
    '-monitor',
    'none',
    '-kernel',
    m.images.xen,
    '-initrd',
    `${m.images.kernel} ${linux},${m.initrd}`,
    '-append',
    `console=com1 com1=115200,8n1 ${ram} noreboot spec-ctrl=no`,
    '-fsdev',
    `local,id=fs0,path=${m.share},security_model=none`,
    '-device',
    'virtio-9p-pci,fsdev=fs0,mount_tag=host',
  ];
}

/** QEMU, which the kernel ends with this process, however that ends: a SIGKILL runs no handler. */
function startQemu(args: readonly string[], stdio: StdioOptions): ChildProcess {
  return spawn('setpriv', ['--pdeathsig', 'KILL', 'qemu-system-x86_64', ...args], { stdio });
}

/**
 * Seconds that the threads of a process were ready to run and had no CPU: what the host took away.
 * Undefined where the kernel does not count it.
 */
function waitedSeconds(pid: number | undefined): number | undefined {
  try {
    const tasks = readdirSync(`/proc/${String(pid)}/task`);
    const ns = tasks.map((t) =>
      Number(readFileSync(`/proc/${String(pid)}/task/${t}/schedstat`, 'utf8').split(' ')[1]),
    );
    return ns.reduce((sum, n) => sum + n, 0) / 1e9;
  } catch {
    return undefined; // no schedstats, or it has just ended
  }
}

/** Of a line of the console: seconds since the start, and what the host took away so far. */
export interface LineTime {
  readonly seconds: number;
  readonly waited: () => number | undefined;
}

/** Boots, hands every console line with its time to onLine, and says how it ended. */
export function boot(
  m: Machine,
  onLine: (line: string, time: LineTime) => void,
  signal?: AbortSignal,
): Promise<MachineEnd> {
  return new Promise((resolve, reject) => {
    const start = performance.now();
    const log = createWriteStream(m.consoleFile);
    const child = startQemu(argumentsOf(m), ['ignore', 'pipe', 'pipe']);
    let end: MachineEnd = 'exited';
    let last = start;
    const stop = (why: MachineEnd): void => {
      end = why;
      child.kill('SIGTERM');
      setTimeout(() => child.kill('SIGKILL'), 5000).unref();
    };
    const watchdog = setInterval(() => {
      const now = performance.now();
      if (now - start > m.seconds * 1000) stop('timeout');
      else if (now - last > m.idleSeconds * 1000) stop('silent');
    }, 1000);
    const abort = (): void => stop('exited');
    signal?.addEventListener('abort', abort, { once: true });
    const line = (text: string): void => {
      last = performance.now();
      const seconds = (last - start) / 1000;
      const clean = text.replace(/[\r\0]/g, '');
      log.write(`[${seconds.toFixed(2).padStart(8)}] ${clean}\n`);
      if (CRASHES.test(clean)) setTimeout(() => stop('crashed'), 3000);
      if (clean.includes('@@NF done')) end = 'done';
      onLine(clean, { seconds, waited: () => waitedSeconds(child.pid) });
    };
    createInterface({ input: child.stdout! }).on('line', line);
    createInterface({ input: child.stderr! }).on('line', line);
    child.on('error', reject);
    child.on('close', () => {
      clearInterval(watchdog);
      signal?.removeEventListener('abort', abort);
      log.end(() => resolve(end));
    });
  });
}

/** The terminal as it is, to be put back: QEMU leaves it raw when it is killed. */
function terminalState(): () => void {
  const stty = (arg: string): string =>
    spawnSync('stty', [arg], { stdio: ['inherit', 'pipe', 'ignore'], encoding: 'utf8' }).stdout;
  const before = stty('-g').trim();
  return () => void (before !== '' && stty(before));
}

/** Boots with the machine's console on this terminal; resolves when it powered off. */
export function bootOnTerminal(m: Machine, signal?: AbortSignal): Promise<void> {
  const restore = terminalState();
  return new Promise<void>((resolve, reject) => {
    // mon: so that Ctrl-C is dom0's; Ctrl-A X ends the machine
    const child = startQemu(argumentsOf(m, 'mon:stdio'), 'inherit');
    const abort = (): void => void child.kill('SIGTERM');
    signal?.addEventListener('abort', abort, { once: true });
    child.on('error', reject);
    child.on('close', () => {
      signal?.removeEventListener('abort', abort);
      resolve();
    });
  }).finally(restore);
}
