// SPDX-License-Identifier: MIT
import { spawn } from 'node:child_process';
import type { ChildProcess, StdioOptions } from 'node:child_process';
import { once } from 'node:events';
import { throwIfAborted } from '../api/check.js';
import { ControlPage } from '../api/control.js';
import { Counters } from '../api/counters.js';
import type { Domain } from '../api/domain.js';
import { addon } from '../api/memory.js';
import { NestfrontError } from '../errors.js';
import type { Launched } from './launch.js';
import { executable } from './paths.js';
import type { LayerName } from './plan.js';

/** What a program run inside a domain left behind. */
export interface ExecResult {
  /** Exit code; 128 + n when signal n ended it. */
  readonly code: number;
  readonly stdout: string;
  readonly stderr: string;
}

/** Bounds and input of a program run inside a domain. */
export interface ExecOptions {
  readonly input?: string;
  readonly signal?: AbortSignal;
  /** It is killed after so many milliseconds. */
  readonly timeoutMs?: number;
}

/** Arguments of nf-launch that run a program in the namespaces of `pid`, or in none. */
export function joinArgs(pid: number | undefined, argv: readonly string[]): string[] {
  return [...(pid === undefined ? ['--no-isolation'] : ['--join', String(pid)]), '--', ...argv];
}

/** A running domain of a stack: its driver process, its namespaces, its shared pages. */
export class StackDomain {
  readonly name: string;
  readonly layer: LayerName;
  /** On its layer; of L1, on H0. */
  readonly domid: number;
  /** As the toolstack sees it: of L1, its face on H1, whose counters its relay writes. */
  readonly domain: Domain;
  /** Descriptor of the counters memfd, read-only; the stack's, for processes to inherit. */
  readonly countersFd: number;
  /** Descriptor of the control memfd, writable; the stack's, for processes to inherit. */
  readonly controlFd: number;
  /** Live counters of its drivers. */
  readonly counters: Counters;
  /** Orders for its generators, and parking. */
  readonly control: ControlPage;
  #driver: Launched;
  readonly #heldFd: number;
  readonly #holder: Launched | undefined;
  readonly #isolated: boolean;

  /** @internal */
  constructor(o: {
    name: string;
    layer: LayerName;
    domid: number;
    domain: Domain;
    driver: Launched;
    heldFd: number;
    holder: Launched | undefined;
    isolated: boolean;
    countersFd: number;
    controlFd: number;
  }) {
    this.name = o.name;
    this.layer = o.layer;
    this.domid = o.domid;
    this.domain = o.domain;
    this.countersFd = o.countersFd;
    this.controlFd = o.controlFd;
    this.counters = Counters.open(o.countersFd);
    this.control = ControlPage.open(o.controlFd);
    this.#driver = o.driver;
    this.#heldFd = o.heldFd;
    this.#holder = o.holder;
    this.#isolated = o.isolated;
  }

  /** pid of its driver process on the host. */
  get pid(): number {
    return this.#driver.id.pid;
  }

  /** pids on the host of the processes that live in it: its driver first. */
  get pids(): number[] {
    return [this.#driver, ...(this.#holder === undefined ? [] : [this.#holder])].map(
      (p) => p.id.pid,
    );
  }

  /** False once its driver process has ended. */
  get running(): boolean {
    return this.#driver.running;
  }

  /** Resolves when its present driver process has ended, with how: `SIGKILL`, `exit code 0`. */
  get exited(): Promise<string> {
    return this.#driver.exited;
  }

  /**
   * Starts a program inside its namespaces. The caller owns the child; the stack ends it too.
   * @param argv program and arguments, as inside the domain
   */
  spawn(argv: readonly string[], options: { readonly stdio?: StdioOptions } = {}): ChildProcess {
    if (argv.length === 0) throw new TypeError('argv is empty; give a program and its arguments');
    if (!this.running)
      throw new NestfrontError(
        'NF_ENODEV',
        'domain.exec',
        `${this.name} has ended; bring its stack up again`,
      );
    const pid = (this.#holder ?? this.#driver).id.pid;
    return spawn(executable('nf-launch'), joinArgs(this.#isolated ? pid : undefined, argv), {
      stdio: options.stdio ?? ['ignore', 'pipe', 'pipe'],
      detached: true,
    });
  }

  /**
   * Runs a program inside its namespaces to its end. A failing program is an answer, not an error.
   * @throws NestfrontError `NF_ENODEV` the domain has ended; `NF_ETIMEDOUT`; `NF_EABORTED`
   */
  async exec(argv: readonly string[], options: ExecOptions = {}): Promise<ExecResult> {
    throwIfAborted(options.signal, 'domain.exec');
    const child = this.spawn(argv, { stdio: ['pipe', 'pipe', 'pipe'] });
    const output = [collect(child.stdout!), collect(child.stderr!)];
    let timedOut = false;
    const end = (): void => void child.kill('SIGTERM');
    const timer =
      options.timeoutMs === undefined
        ? undefined
        : setTimeout(() => {
            timedOut = true;
            end();
          }, options.timeoutMs);
    options.signal?.addEventListener('abort', end, { once: true });
    child.stdin!.on('error', () => undefined); // it need not read its input
    child.stdin!.end(options.input ?? '');
    try {
      const [code] = (await once(child, 'close')) as [number | null];
      throwIfAborted(options.signal, 'domain.exec');
      if (timedOut)
        throw new NestfrontError(
          'NF_ETIMEDOUT',
          'domain.exec',
          `${argv[0]} in ${this.name} ran longer than ${options.timeoutMs} ms`,
        );
      return { code: code ?? 128, stdout: output[0]!(), stderr: output[1]!() };
    } finally {
      clearTimeout(timer);
      options.signal?.removeEventListener('abort', end);
    }
  }

  /** @internal Ends the driver process, whatever it does. */
  async kill(): Promise<void> {
    await this.#driver.kill();
  }

  /** @internal A new driver process in place of the one that ended. */
  replaceDriver(driver: Launched): void {
    this.#driver = driver;
  }

  /** @internal Lets go of the descriptors; the mapped pages stay readable. */
  release(): void {
    addon().close(this.#heldFd);
    addon().close(this.countersFd);
    addon().close(this.controlFd);
  }
}

function collect(stream: NodeJS.ReadableStream): () => string {
  const chunks: Buffer[] = [];
  stream.on('data', (chunk: Buffer) => chunks.push(chunk));
  return () => Buffer.concat(chunks).toString();
}
