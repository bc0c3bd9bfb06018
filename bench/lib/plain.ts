// SPDX-License-Identifier: MIT
// Two network namespaces with something plain between them: veth (`native`) or two TAPs and a
// copying process (`splice`).
import { spawn, type ChildProcess } from 'node:child_process';
import { once } from 'node:events';
import { readFileSync } from 'node:fs';
import { join } from 'node:path';
import { createInterface } from 'node:readline';
import type { Readable } from 'node:stream';
import { within } from '../../lib/api/check.js';
import { NestfrontError } from '../../lib/errors.js';
import type { Runner } from '../../lib/netperf/netperf.js';
import { joinArgs, type ExecOptions, type ExecResult } from '../../lib/stack/domain.js';
import { domainPaths } from '../../lib/stack/mounts.js';
import { executable, packageRoot } from '../../lib/stack/paths.js';

const START_MS = 5000;

/** Runs programs in the namespaces of a process. */
export class NamespaceRunner implements Runner {
  readonly name: string;
  readonly #pid: number;

  constructor(name: string, pid: number) {
    this.name = name;
    this.#pid = pid;
  }

  spawn(argv: readonly string[]): ChildProcess {
    const stdio: ('ignore' | 'pipe')[] = ['ignore', 'pipe', 'pipe'];
    return spawn(executable('nf-launch'), joinArgs(this.#pid, argv), { stdio });
  }

  async exec(argv: readonly string[], options: ExecOptions = {}): Promise<ExecResult> {
    const child = this.spawn(argv);
    const output = ['', ''];
    for (const [i, stream] of [child.stdout, child.stderr].entries())
      stream?.setEncoding('utf8').on('data', (text: string) => (output[i] += text));
    const timer = setTimeout(() => child.kill('SIGKILL'), options.timeoutMs ?? 60_000);
    const abort = (): void => void child.kill('SIGTERM');
    options.signal?.addEventListener('abort', abort, { once: true });
    const [code] = (await once(child, 'close')) as [number | null];
    clearTimeout(timer);
    options.signal?.removeEventListener('abort', abort);
    return { code: code ?? 128, stdout: output[0] ?? '', stderr: output[1] ?? '' };
  }
}

/** Children of a process, as this namespace numbers them. */
function children(pid: number): number[] {
  const text = readFileSync(`/proc/${pid}/task/${pid}/children`, 'utf8');
  return text.trim().split(/\s+/).filter(Boolean).map(Number);
}

/** A veth pair or a spliced pair of TAPs between two namespaces; goes with {@link close}. */
export class PlainPair implements AsyncDisposable {
  readonly first: NamespaceRunner;
  readonly second: NamespaceRunner;
  /** The process that moves frames, or holds the namespaces. */
  readonly pid: number;
  readonly #child: ChildProcess;

  private constructor(kind: string, child: ChildProcess, pid: number, peer: number) {
    this.#child = child;
    this.pid = pid;
    this.first = new NamespaceRunner(`${kind} end 1`, pid);
    this.second = new NamespaceRunner(`${kind} end 2`, peer);
  }

  /**
   * @param addresses IPv4 of both ends, in one /24
   * @throws NestfrontError `NF_EPERM` namespaces, veth or TAPs are refused; the message says which
   */
  static async start(
    kind: 'veth' | 'splice',
    addresses: readonly [string, string],
  ): Promise<PlainPair> {
    const paths = domainPaths().flatMap((p) => ['--ro', p]);
    const dev = kind === 'splice' ? ['--dev', '/dev/net/tun'] : [];
    const program = join(packageRoot(), 'build', 'Release', 'nf-netns');
    const args = [...paths, ...dev, '--status-fd', '3', '--', program, kind, ...addresses];
    const child = spawn(executable('nf-launch'), args, { stdio: ['pipe', 'pipe', 'pipe', 'pipe'] });
    let said = '';
    child.stderr?.setEncoding('utf8').on('data', (text: string) => (said += text));
    try {
      const ready = Promise.all([
        firstLine(child, child.stdio[3] as Readable),
        firstLine(child, child.stdout),
      ]);
      const what = `${kind} did not come up`;
      const [status] = await within(ready, 'bench.plain', {
        signal: undefined,
        timeoutMs: START_MS,
        what,
      });
      const { pid } = JSON.parse(status) as { pid: number };
      const peer = children(pid)[0];
      if (peer === undefined) throw new Error('nobody holds its second namespace');
      return new PlainPair(kind, child, pid, peer);
    } catch (error) {
      child.kill('SIGKILL');
      const why = said.trim() || (error instanceof Error ? error.message : String(error));
      throw new NestfrontError('NF_EPERM', 'bench.plain', why, { cause: error });
    }
  }

  async close(): Promise<void> {
    if (this.#child.exitCode !== null || this.#child.signalCode !== null) return;
    const exited = once(this.#child, 'exit');
    this.#child.stdin?.end();
    const timer = setTimeout(() => this.#child.kill('SIGTERM'), 1000);
    await exited;
    clearTimeout(timer);
  }

  [Symbol.asyncDispose](): Promise<void> {
    return this.close();
  }
}

async function firstLine(child: ChildProcess, stream: Readable): Promise<string> {
  const lines = createInterface({ input: stream });
  // close, not exit: what it said has been read by then
  const ended = once(child, 'close').then(([code]) => {
    throw new Error(`it ended (${String(code)})`);
  });
  const [line] = (await Promise.race([once(lines, 'line'), ended])) as [string];
  return line;
}
