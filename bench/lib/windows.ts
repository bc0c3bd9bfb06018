// SPDX-License-Identifier: MIT
// Drives nf-window: one process that alternates set-ups which are all alive but parked.
import { spawn, type ChildProcess } from 'node:child_process';
import { once } from 'node:events';
import { join } from 'node:path';
import { createInterface } from 'node:readline';
import { NestfrontError } from '../../lib/errors.js';
import type { CounterName } from '../../lib/api/counters.js';
import { packageRoot } from '../../lib/stack/paths.js';
import type { Window } from './classes.js';

/** A domain as nf-window needs it; descriptors are inherited, they stay the caller's. */
export interface WindowDomain {
  name: string;
  pid: number;
  controlFd: number;
  countersFd: number;
}

/** A set-up that carries frames from `front`'s generator to `back`'s sink. */
export interface WindowVariant {
  name: string;
  front: WindowDomain;
  back: WindowDomain;
  /** All domains whose pollers work for it, front and back among them. */
  domains: WindowDomain[];
  /** CPUs its pollers fill when polled. */
  busy: number;
}

export interface MeasureOptions {
  group: string;
  /** In the order of a round; one may stand more than once. */
  variants: readonly string[];
  rounds: number;
  frameBytes: number;
  direction?: 'tx' | 'rx';
  batch?: number;
  verifyEvery?: number;
  windowMs?: number;
  settleMs?: number;
  ping?: boolean;
  polled?: boolean;
}

/** Counters by domain, only those that moved. */
export type Totals = Record<string, Partial<Record<CounterName, number>>>;

export interface Measured {
  windows: Window[];
  totals: Record<string, Totals>;
  /** What nf-window said of windows it could not make: `variant: message`. */
  errors: string[];
}

type Answer =
  | ({ type: 'window'; group: string } & Window)
  | { type: 'totals'; group: string; variant: string; domains: Totals }
  | { type: 'local'; variant: string; pids: [number, number] }
  | { type: 'hop'; ns: number; gap: boolean }
  | { type: 'done'; group: string }
  | { type: 'error'; context: string; errno: number; message: string };

const benchProgram = (name: string): string => join(packageRoot(), 'build', 'Release', name);

/** One nf-window process and the set-ups it knows. */
export class WindowSession implements AsyncDisposable {
  readonly #child: ChildProcess;
  readonly #answers: AsyncIterator<string, undefined>;
  readonly #pids = new Map<string, Record<string, number>>();
  readonly cpus: readonly [number, number];

  private constructor(child: ChildProcess, cpus: readonly [number, number]) {
    this.#child = child;
    this.cpus = cpus;
    if (!child.stdout || !child.stdin) throw new TypeError('nf-window needs pipes');
    // that it is gone is told by the end of its answers, not by what can't be written any more
    child.stdin.on('error', () => undefined);
    this.#answers = createInterface({ input: child.stdout })[Symbol.asyncIterator]();
  }

  /**
   * @param variants set-ups whose domains run already, polled, on those CPUs
   * @param cpus of the two ends
   */
  static async start(
    variants: readonly WindowVariant[],
    cpus: readonly [number, number],
  ): Promise<WindowSession> {
    const domains = [...new Set(variants.flatMap((v) => v.domains))];
    const fds = domains.flatMap((d) => [d.controlFd, d.countersFd]);
    const child = spawn(benchProgram('nf-window'), [], {
      stdio: ['pipe', 'pipe', 'inherit', ...fds],
    });
    await once(child, 'spawn');
    const session = new WindowSession(child, cpus);
    session.#tell(`cpus ${cpus[0]} ${cpus[1]}`);
    const named = new Map<WindowDomain, string>();
    for (const [i, d] of domains.entries()) {
      const name = `${d.name}.${i}`;
      named.set(d, name);
      session.#tell(`domain ${name} control=${3 + 2 * i} counters=${4 + 2 * i} pid=${d.pid}`);
    }
    for (const v of variants) {
      const list = v.domains.map((d) => named.get(d)).join(',');
      const ends = `send=${named.get(v.front)} sink=${named.get(v.back)}`;
      session.#tell(`variant ${v.name} ${ends} domains=${list} busy=${v.busy}`);
      session.#pids.set(v.name, Object.fromEntries(v.domains.map((d) => [d.name, d.pid])));
    }
    await session.hop(); // whatever was refused has been said by now
    return session;
  }

  /** Starts the bare ring or the copy limit as one more variant of that name. */
  async addLocal(name: 'bare_ring' | 'copy_limit'): Promise<void> {
    this.#tell(`local ${name} program=${benchProgram(`nf-${name.replace('_', '-')}`)}`);
    const answer = await this.#next();
    if (answer.type !== 'local') throw unexpected(answer);
    this.#pids.set(name, { front: answer.pids[0], back: answer.pids[1] });
  }

  /** pids by domain of a variant. */
  pids(variant: string): Record<string, number> {
    return this.#pids.get(variant) ?? {};
  }

  /** The hop now, ns; everything is parked. */
  async hop(): Promise<number> {
    this.#tell('hop');
    const answer = await this.#next();
    if (answer.type !== 'hop') throw unexpected(answer);
    return answer.ns;
  }

  /** Runs the windows of one group; `onWindow` sees each as it ends. */
  async measure(o: MeasureOptions, onWindow?: (w: Window) => void): Promise<Measured> {
    this.#tell(
      [
        'measure',
        `group=${o.group}`,
        `variants=${o.variants.join(',')}`,
        `windows=${o.rounds}`,
        `ms=${o.windowMs ?? 12}`,
        `settle=${o.settleMs ?? 2}`,
        `frame=${o.frameBytes}`,
        `batch=${o.batch ?? 0}`,
        `verify=${o.verifyEvery ?? 0}`,
        `ping=${o.ping === true ? 1 : 0}`,
        `polled=${o.polled === false ? 0 : 1}`,
        `reverse=${o.direction === 'rx' ? 1 : 0}`,
      ].join(' '),
    );
    const out: Measured = { windows: [], totals: {}, errors: [] };
    for (;;) {
      const answer = await this.#next();
      if (answer.type === 'window') {
        out.windows.push(answer);
        onWindow?.(answer);
      } else if (answer.type === 'totals') out.totals[answer.variant] = answer.domains;
      else if (answer.type === 'error' && answer.context === `group=${o.group}`)
        throw unexpected(answer); // the order itself was refused
      else if (answer.type === 'error') out.errors.push(`${answer.context}: ${answer.message}`);
      else if (answer.type === 'done') return out;
      else throw unexpected(answer);
    }
  }

  /** Ends nf-window and the processes it started. Idempotent. */
  async close(): Promise<void> {
    const { exitCode, signalCode } = this.#child;
    if (exitCode !== null || signalCode !== null) return;
    const closed = once(this.#child, 'close');
    this.#child.stdin?.end('quit\n');
    const timer = setTimeout(() => this.#child.kill('SIGKILL'), 3000);
    await closed;
    clearTimeout(timer);
  }

  [Symbol.asyncDispose](): Promise<void> {
    return this.close();
  }

  #tell(line: string): void {
    this.#child.stdin?.write(`${line}\n`);
  }

  async #next(): Promise<Answer> {
    const next = await this.#answers.next();
    if (next.done === true)
      throw new NestfrontError('NF_EIO', 'bench.window', 'nf-window ended early');
    return JSON.parse(next.value) as Answer;
  }
}

function unexpected(answer: Answer): NestfrontError {
  const text = answer.type === 'error' ? `${answer.context}: ${answer.message}` : answer.type;
  return new NestfrontError('NF_EIO', 'bench.window', `nf-window said ${text}`);
}
