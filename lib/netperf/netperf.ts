// SPDX-License-Identifier: MIT
import { once } from 'node:events';
import type { ChildProcess } from 'node:child_process';
import { createInterface } from 'node:readline';
import type { Readable } from 'node:stream';
import { z } from 'zod';
import { within } from '../api/check.js';
import { NestfrontError } from '../errors.js';
import type { ExecOptions, ExecResult } from '../stack/domain.js';
import { executable } from '../stack/paths.js';

/** Where a program can be run: a domain of a stack, or any pair of namespaces. */
export interface Runner {
  readonly name: string;
  spawn(argv: readonly string[]): ChildProcess;
  exec(argv: readonly string[], options?: ExecOptions): Promise<ExecResult>;
}

export const NETPERF_TESTS = [
  'TCP_STREAM',
  'TCP_MAERTS',
  'TCP_RR',
  'UDP_STREAM',
  'UDP_RR',
] as const;
/** netperf's names: STREAM sends to the server, MAERTS receives, RR asks and is answered. */
export type NetperfTest = (typeof NETPERF_TESTS)[number];

const count = z.number().nonnegative();

const resultSchema = z.object({
  test: z.enum(NETPERF_TESTS),
  messageBytes: count,
  seconds: z.number().positive(),
  bytes: count,
  bitsPerSecond: count,
  messages: count.optional(),
  transactions: count.optional(),
  transactionsPerSecond: count.optional(),
  latencyNs: z.object({ p50: count, p99: count, p999: count, max: count }).optional(),
  retransmits: count.optional(),
  lost: count.optional(),
  /** Of the client's process and the server's, user and system. */
  cpuSeconds: count,
  remoteCpuSeconds: count,
});

/** What one run of the harness measured, as the receiving end counted it. */
export type NetperfResult = z.infer<typeof resultSchema>;

export interface NetperfOptions {
  readonly test: NetperfTest;
  /** Of the server, as the client reaches it. */
  readonly host: string;
  readonly port: number;
  readonly seconds: number;
  readonly messageBytes?: number;
  readonly signal?: AbortSignal;
}

const START_MS = 10_000;
const GRACE_MS = 15_000;

/** A running server of our harness. Ends with {@link close}. */
export class NetperfServer implements AsyncDisposable {
  readonly port: number;
  readonly #child: ChildProcess;

  private constructor(child: ChildProcess, port: number) {
    this.#child = child;
    this.port = port;
  }

  /**
   * Starts the server where `runner` runs programs.
   * @param maxSeconds it ends by itself after so long, whatever happens to us
   * @throws NestfrontError `NF_EIO` it ended before it was ready; `NF_ETIMEDOUT`
   */
  static async start(runner: Runner, maxSeconds = 600): Promise<NetperfServer> {
    const child = runner.spawn([
      executable('nf-netperf'),
      ...['server', '--bind', '0.0.0.0', '--port', '0', '--max-seconds', String(maxSeconds)],
    ]);
    const lines = createInterface({ input: child.stdout as Readable });
    const errors: string[] = [];
    child.stderr?.setEncoding('utf8').on('data', (text: string) => errors.push(text));
    const port = new Promise<number>((resolve, reject) => {
      lines.on('line', (line) => {
        const found = /^ready (\d+)$/.exec(line)?.[1];
        if (found !== undefined) resolve(Number(found));
      });
      child.on('error', reject);
      child.on('exit', (code) => {
        const said = errors.join('').trim();
        const text = `nf-netperf server ended (${code ?? 'signal'}): ${said}`;
        reject(new NestfrontError('NF_EIO', 'netperf.server', text));
      });
    });
    try {
      const what = 'the server was not ready';
      return new NetperfServer(
        child,
        await within(port, 'netperf.server', { signal: undefined, timeoutMs: START_MS, what }),
      );
    } catch (error) {
      child.kill('SIGKILL');
      throw error;
    }
  }

  /** Idempotent. */
  async close(): Promise<void> {
    if (this.#child.exitCode !== null || this.#child.signalCode !== null) return;
    const exited = once(this.#child, 'exit');
    this.#child.kill('SIGTERM');
    const timer = setTimeout(() => this.#child.kill('SIGKILL'), 2000);
    await exited;
    clearTimeout(timer);
  }

  [Symbol.asyncDispose](): Promise<void> {
    return this.close();
  }
}

/**
 * Runs one test from `runner` against a server.
 * @throws NestfrontError `NF_EIO` the test failed, with what the client said; `NF_ETIMEDOUT`
 */
export async function netperf(runner: Runner, o: NetperfOptions): Promise<NetperfResult> {
  const argv = [executable('nf-netperf'), 'client', '--json', '--host', o.host];
  argv.push('--port', String(o.port), '--test', o.test, '--seconds', String(o.seconds));
  if (o.messageBytes !== undefined) argv.push('--message', String(o.messageBytes));
  const { code, stdout, stderr } = await runner.exec(argv, {
    timeoutMs: o.seconds * 1000 + GRACE_MS,
    ...(o.signal && { signal: o.signal }),
  });
  if (code !== 0)
    throw new NestfrontError(
      'NF_EIO',
      'netperf.client',
      `${o.test} in ${runner.name} failed (${code}): ${(stderr || stdout).trim()}`,
    );
  return resultSchema.parse(JSON.parse(stdout));
}
