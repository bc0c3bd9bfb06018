// SPDX-License-Identifier: MIT
// What others make of the same file: fio by io_uring, and fio on nbdkit's file plugin over a Unix
// socket. A fio a window; it times itself, so its start does not count.
import { spawn, spawnSync, type ChildProcess } from 'node:child_process';
import { once } from 'node:events';
import { existsSync, rmSync } from 'node:fs';
import { setTimeout as sleep } from 'node:timers/promises';
import { NestfrontError } from '../../lib/errors.js';
import type { DiskOrder, DiskWindow } from './disks.js';

const RW: Record<string, string> = {
  seqRead: 'read',
  seqWrite: 'write',
  randRead: 'randread',
  randWrite: 'randwrite',
};
const SOCKET_MS = 10_000;

interface FioSide {
  total_ios: number;
  runtime: number;
}
interface FioReport {
  jobs: { read: FioSide; write: FioSide; error: number }[];
}

function present(program: string): void {
  if (spawnSync(program, ['--version']).status !== 0)
    throw new NestfrontError('NF_ENOENT', 'bench.fio', `${program} is not installed`);
}

/** fio on a file, or on a server of it. */
export class FioDisk implements AsyncDisposable {
  readonly cache: string;
  readonly engine: string;
  readonly pid: number;
  readonly #cpu: number;
  readonly #target: readonly string[];
  readonly #server: ChildProcess | undefined;
  readonly #socket: string | undefined;

  private constructor(
    cpu: number,
    target: readonly string[],
    o: { engine: string; cache: string; server?: ChildProcess; socket?: string },
  ) {
    this.#cpu = cpu;
    this.#target = [`--ioengine=${o.engine}`, ...target];
    this.engine = o.engine;
    this.cache = o.cache;
    this.#server = o.server;
    this.#socket = o.socket;
    this.pid = o.server?.pid ?? process.pid;
  }

  /** @throws NestfrontError `NF_ENOENT` fio is not here, `NF_EIO` it cannot use the file */
  static async uring(path: string, cpu: number): Promise<FioDisk> {
    present('fio');
    const on = (direct: 0 | 1): FioDisk =>
      new FioDisk(cpu, [`--filename=${path}`, `--direct=${direct}`], {
        engine: 'io_uring',
        cache: direct === 1 ? 'direct' : 'buffered',
      });
    const order: DiskOrder = { mode: 'randRead', blockBytes: 4096, depth: 1, ms: 10 };
    try {
      await on(1).window(order);
      return on(1);
    } catch {
      await on(0).window(order); // no O_DIRECT on this file system, or it says what is wrong
      return on(0);
    }
  }

  /** nbdkit on the back's CPU, its client on the front's. @throws as {@link uring} */
  static async nbdkit(path: string, socket: string, cpu: number, client: number): Promise<FioDisk> {
    present('fio');
    present('nbdkit');
    const argv = ['-c', String(cpu), 'nbdkit', '-f', '-U', socket, 'file', path];
    const server = spawn('taskset', argv, { stdio: 'ignore' });
    const target = [`--uri=nbd+unix:///?socket=${socket}`];
    const disk = new FioDisk(client, target, { engine: 'nbd', cache: 'buffered', server, socket });
    const deadline = performance.now() + SOCKET_MS;
    while (!existsSync(socket)) {
      if (server.exitCode !== null || performance.now() > deadline) {
        await disk.close();
        throw new NestfrontError('NF_EIO', 'bench.nbdkit', 'nbdkit did not start');
      }
      await sleep(10);
    }
    return disk;
  }

  async window(order: DiskOrder): Promise<DiskWindow> {
    const { mode, blockBytes, depth, ms } = order;
    const job = ['--name=x', `--rw=${RW[mode]!}`, `--bs=${blockBytes}`, `--iodepth=${depth}`];
    const time = ['--time_based', `--runtime=${Math.round(ms)}ms`, '--output-format=json'];
    const argv = ['-c', String(this.#cpu), 'fio', ...job, ...time, ...this.#target];
    const child = spawn('taskset', [...argv, '--norandommap', '--randrepeat=0'], {
      stdio: ['ignore', 'pipe', 'pipe'],
    });
    let said = '';
    let failed = '';
    child.stdout.setEncoding('utf8').on('data', (text: string) => (said += text));
    child.stderr.setEncoding('utf8').on('data', (text: string) => (failed += text));
    const [code] = (await once(child, 'close')) as [number | null];
    if (code !== 0)
      throw new NestfrontError('NF_EIO', 'bench.fio', (failed || said).trim().slice(0, 200));
    const job0 = (JSON.parse(said.slice(said.indexOf('{'))) as FioReport).jobs[0]!;
    const side = mode.endsWith('Read') ? job0.read : job0.write;
    return {
      operations: side.total_ios,
      seconds: Math.max(1, side.runtime) / 1000,
      errors: job0.error === 0 ? 0 : 1,
      notifications: 0,
    };
  }

  async close(): Promise<void> {
    const server = this.#server;
    if (server !== undefined && server.exitCode === null && server.signalCode === null) {
      const ended = once(server, 'close');
      server.kill('SIGTERM');
      await ended;
    }
    if (this.#socket !== undefined) rmSync(this.#socket, { force: true });
  }

  [Symbol.asyncDispose](): Promise<void> {
    return this.close();
  }
}
