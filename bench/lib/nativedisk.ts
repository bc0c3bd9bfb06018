// SPDX-License-Identifier: MIT
// The disk without a stack: the same generator on the same port, in one process.
import { spawn, type ChildProcess } from 'node:child_process';
import { once } from 'node:events';
import { join } from 'node:path';
import { createInterface } from 'node:readline';
import { NestfrontError } from '../../lib/errors.js';
import { packageRoot } from '../../lib/stack/paths.js';
import type { DiskOrder, DiskWindow } from './disks.js';

/** Answers of nf-disk, in order. */
export class NativeDisk implements AsyncDisposable {
  readonly cache: string;
  readonly engine: string;
  readonly pid: number;
  readonly #child: ChildProcess;
  readonly #lines: AsyncIterator<string>;

  private constructor(
    child: ChildProcess,
    lines: AsyncIterator<string>,
    hello: { cache: string; engine: string },
  ) {
    this.#child = child;
    this.#lines = lines;
    this.cache = hello.cache;
    this.engine = hello.engine;
    this.pid = child.pid!;
  }

  /**
   * @param cpu the CPU of the back's poller in the stacks it is compared with
   * @param sleeps whether it waits for completions as theirs do, or spins
   */
  static async start(disk: string, cpu: number, sleeps: boolean): Promise<NativeDisk> {
    const program = join(packageRoot(), 'build', 'Release', 'nf-disk');
    const child = spawn(
      'taskset',
      ['-c', String(cpu), program, disk, ...(sleeps ? ['--sleep'] : [])],
      {
        stdio: ['pipe', 'pipe', 'pipe'],
      },
    );
    let said = '';
    child.stderr.setEncoding('utf8').on('data', (text: string) => (said += text));
    const failed = once(child, 'error').then(([error]) => Promise.reject(error as Error));
    const lines = createInterface({ input: child.stdout })[Symbol.asyncIterator]();
    const first = await Promise.race([lines.next(), failed]);
    if (first.done === true)
      throw new NestfrontError('NF_EIO', 'bench.disk', said.trim() || 'nf-disk did not start');
    return new NativeDisk(
      child,
      lines,
      JSON.parse(first.value) as { cache: string; engine: string },
    );
  }

  async window(order: DiskOrder): Promise<DiskWindow> {
    const { mode, blockBytes, depth, ms } = order;
    this.#child.stdin!.write(`${mode} ${blockBytes} ${depth} ${ms}\n`);
    const answer = await this.#lines.next();
    if (answer.done === true)
      throw new NestfrontError('NF_ENODEV', 'bench.disk', 'nf-disk has ended');
    const { operations, ns, errors } = JSON.parse(answer.value) as Record<string, number>;
    return { operations: operations!, seconds: ns! / 1e9, errors: errors!, notifications: 0 };
  }

  async close(): Promise<void> {
    if (this.#child.exitCode !== null || this.#child.signalCode !== null) return;
    const ended = once(this.#child, 'exit');
    this.#child.stdin!.end();
    await ended;
  }

  [Symbol.asyncDispose](): Promise<void> {
    return this.close();
  }
}
