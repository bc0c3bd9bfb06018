// SPDX-License-Identifier: MIT
import { spawn } from 'node:child_process';
import type { ChildProcess } from 'node:child_process';
import { once } from 'node:events';
import type { Readable } from 'node:stream';
import { setTimeout as sleep } from 'node:timers/promises';
import { NestfrontError, toNestfrontError } from '../errors.js';
import { within } from '../api/check.js';
import { executable } from './paths.js';
import { identify, isAlive, signal as kill, waitGone } from './processes.js';
import type { ProcessId } from './processes.js';

/** Namespaces and mounts of a process that `nf-launch` starts. */
export interface Isolation {
  /** false: a plain process, for machines that refuse user namespaces. */
  readonly isolated: boolean;
  readonly net?: 'new' | 'host';
  readonly ro?: readonly string[];
  readonly rw?: readonly string[];
  readonly dev?: readonly string[];
  readonly hostname?: string;
  /** Enter the namespaces of this process in place of new ones. */
  readonly join?: number;
}

/** A program to start. */
export interface LaunchOptions extends Isolation {
  /** What it is to its stack, in errors and in state.json. */
  readonly role: string;
  readonly program: string;
  readonly args: readonly string[];
  /** Descriptors it inherits as 3, 4 …; borrowed until launched. */
  readonly fds: readonly number[];
  /** Gets each line of its stderr. */
  readonly log?: ((line: string) => void) | undefined;
  readonly signal?: AbortSignal | undefined;
  readonly timeoutMs?: number;
}

const LAUNCH_TIMEOUT_MS = 10_000;
const KEPT_LINES = 20;
const GONE_MS = 2_000;

/** Calls back with each whole line of a stream. */
export function eachLine(stream: Readable, take: (line: string) => void): void {
  let rest = '';
  stream.setEncoding('utf8');
  stream.on('data', (chunk: string) => {
    const lines = (rest + chunk).split('\n');
    rest = lines.pop() ?? '';
    lines.forEach(take);
  });
  stream.on('end', () => {
    if (rest !== '') take(rest);
  });
}

function launchArgs(options: LaunchOptions, statusFd: number): string[] {
  const args: string[] = [];
  const each = (flag: string, values: readonly (string | number)[] = []): void => {
    for (const value of values) args.push(flag, String(value));
  };
  if (!options.isolated) args.push('--no-isolation');
  if (options.join !== undefined) each('--join', [options.join]);
  else if (options.isolated) {
    each('--net', [options.net ?? 'new']);
    each('--ro', options.ro);
    each('--rw', options.rw);
    each('--dev', options.dev);
    if (options.hostname !== undefined) each('--hostname', [options.hostname]);
  }
  each(
    '--keep-fd',
    options.fds.map((_fd, index) => index + 3),
  );
  args.push('--status-fd', String(statusFd), '--', options.program, ...options.args);
  return args;
}

/** A process started by `nf-launch`; ends with it and is named by its pid on the host. */
export class Launched {
  readonly role: string;
  /** The program itself, as the host numbers it. */
  readonly id: ProcessId;
  /** The launcher, which ends after the program. */
  readonly launcher: ProcessId;
  /** Resolves when the launcher has ended, with how. */
  readonly exited: Promise<string>;
  #exit: string | undefined;
  readonly #lastLines: string[];
  readonly #ready: Promise<void>;

  private constructor(role: string, child: ChildProcess, id: ProcessId, lines: string[]) {
    this.role = role;
    this.id = id;
    this.launcher = identify(child.pid!) ?? id;
    this.#lastLines = lines;
    this.exited = exitOf(child).then((how) => (this.#exit = how));
    this.#ready = new Promise((resolve) => {
      eachLine(child.stdout!, (line) => {
        if (line.trim() === 'ready') resolve();
      });
    });
  }

  /** @throws NestfrontError naming the role, with the last lines the program wrote */
  static async start(options: LaunchOptions): Promise<Launched> {
    const { role, fds } = options;
    const op = `launch ${role}`;
    const statusFd = 3 + fds.length;
    const child = spawn(executable('nf-launch'), launchArgs(options, statusFd), {
      stdio: ['ignore', 'pipe', 'pipe', ...fds, 'pipe'],
      detached: true, // a Ctrl-C is for the toolstack alone, which takes all down in order
    });
    const closed = new Promise((resolve) => child.once('close', resolve)); // by all who write there
    const lines: string[] = [];
    eachLine(child.stderr!, (line) => {
      lines.push(line);
      if (lines.length > KEPT_LINES) lines.shift();
      options.log?.(`${role}: ${line}`);
    });
    const status = child.stdio[statusFd] as Readable;
    try {
      const pid = await within(statusPid(child, status), op, {
        signal: options.signal,
        timeoutMs: options.timeoutMs ?? LAUNCH_TIMEOUT_MS,
        what: 'it did not start',
      });
      const id = identify(pid) ?? { pid, start: '' };
      return new Launched(role, child, id, lines);
    } catch (error) {
      child.kill('SIGKILL'); // what it started goes with it, a moment later
      child.stdout!.resume();
      const late = sleep(GONE_MS, undefined, { ref: false });
      if (child.pid !== undefined) await Promise.race([closed, late]);
      throw startError(error, op, lines);
    } finally {
      status.destroy();
    }
  }

  get running(): boolean {
    return this.#exit === undefined;
  }

  /** Waits for the program's `ready`. @throws NestfrontError it ended first, or was too slow */
  async ready(
    options: { signal?: AbortSignal | undefined; timeoutMs?: number } = {},
  ): Promise<void> {
    const op = `launch ${this.role}`;
    const ended = this.exited.then((how) => {
      throw startError(
        new NestfrontError('NF_ENODEV', op, `it ended (${how})`),
        op,
        this.#lastLines,
      );
    });
    await within(Promise.race([this.#ready, ended]), op, {
      signal: options.signal,
      timeoutMs: options.timeoutMs ?? LAUNCH_TIMEOUT_MS,
      what: 'it was not ready',
    });
  }

  /** SIGTERM, then SIGKILL after `graceMs`. Resolves when launcher and program are gone. */
  async stop(graceMs: number): Promise<void> {
    kill(this.id, 'SIGTERM');
    const timer = setTimeout(() => {
      kill(this.id, 'SIGKILL');
      kill(this.launcher, 'SIGKILL');
    }, graceMs);
    await this.exited;
    clearTimeout(timer);
    if (isAlive(this.id)) kill(this.id, 'SIGKILL');
    await waitGone([this.id], GONE_MS); // the kernel takes a moment to take it apart
  }

  /** SIGKILL to program and launcher, at once. */
  async kill(): Promise<void> {
    kill(this.id, 'SIGKILL');
    kill(this.launcher, 'SIGKILL');
    await this.exited;
    await waitGone([this.id], GONE_MS); // the kernel takes a moment to take it apart
  }
}

async function exitOf(child: ChildProcess): Promise<string> {
  if (child.exitCode === null && child.signalCode === null) await once(child, 'exit');
  return child.signalCode ?? `exit code ${child.exitCode ?? 'unknown'}`;
}

/** The pid in the one line of --status-fd, `{"pid":N, ...}`. */
function statusPid(child: ChildProcess, status: Readable): Promise<number> {
  return new Promise((resolve, reject) => {
    let text = '';
    child.on('error', reject);
    status.on('error', reject);
    status.setEncoding('utf8');
    status.on('data', (chunk: string) => {
      text += chunk;
      const end = text.indexOf('\n');
      if (end >= 0) resolve((JSON.parse(text.slice(0, end)) as { pid: number }).pid);
    });
    status.on('end', () => {
      void exitOf(child).then((how) => {
        reject(new NestfrontError('NF_EIO', 'launch', `nf-launch failed (${how})`));
      });
    });
  });
}

function startError(error: unknown, op: string, lines: readonly string[]): NestfrontError {
  const { code, message } = toNestfrontError(error, op);
  const said = lines.length > 0 ? `; it said: ${lines.slice(-3).join(' | ')}` : '';
  const text = message.startsWith(`${op}: `) ? message.slice(op.length + 2) : message;
  return new NestfrontError(code, op, `${text}${said}`, { cause: error });
}
