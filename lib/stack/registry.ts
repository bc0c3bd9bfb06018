// SPDX-License-Identifier: MIT
import { existsSync, lstatSync, mkdirSync, mkdtempSync, readFileSync, readdirSync } from 'node:fs';
import { renameSync, rmSync, writeFileSync } from 'node:fs';
import { rm } from 'node:fs/promises';
import { join } from 'node:path';
import { NestfrontError, toNestfrontError } from '../errors.js';
import { identify, isAlive, signal, waitGone } from './processes.js';
import type { ProcessId } from './processes.js';
import type { CheckedStackConfig } from './schema.js';
import { StateFile } from './statefile.js';

/** A process of a stack, as state.json records it. */
export interface ProcessRecord extends ProcessId {
  /** `H0`, `L0`, `L1/relay` … */
  readonly role: string;
}

/** A domain of a stack, as state.json records it. */
export interface DomainRecord {
  readonly name: string;
  readonly layer: 'H0' | 'H1';
  readonly domid: number;
  /** Its processes' pids on the host; its namespaces are the last one's. */
  readonly pids: readonly number[];
  /** Domid on the layer whose counters its driver writes: of L1 its domid on H1. */
  readonly inside: number;
}

/** One link of a device: a front and a back on one layer. */
export interface LinkRecord {
  /** Left out: a network device. */
  readonly kind?: 'disk';
  readonly device: string;
  readonly path: string;
  readonly layer: 'H0' | 'H1';
  readonly devid: number;
  readonly front: { readonly domain: string; readonly domid: number };
  readonly back: { readonly domain: string; readonly domid: number };
  /** Of a disk with an NBD server: its path on the host. */
  readonly socket?: string;
}

/** What state.json holds. */
export interface StackState {
  readonly version: 1;
  readonly name: string;
  /** The toolstack: the stack lives as long as it does. */
  readonly owner: ProcessId;
  readonly startedAt: string;
  readonly phase: 'starting' | 'running' | 'closing';
  readonly isolated: boolean;
  readonly config: CheckedStackConfig;
  readonly processes: readonly ProcessRecord[];
  readonly domains: readonly DomainRecord[];
  readonly links: readonly LinkRecord[];
}

/** One entry of the registry. */
export interface StackEntry {
  readonly name: string;
  readonly directory: string;
  /** `undefined`: state.json is missing or damaged. */
  readonly state: StackState | undefined;
  /** Its toolstack is gone: `gc` removes it. */
  readonly stale: boolean;
}

const KILL_WAIT_MS = 5000;

/** Makes sure a directory is ours alone; /tmp can be squatted. */
function ownDirectory(path: string): string {
  mkdirSync(path, { recursive: true, mode: 0o700 });
  const stat = lstatSync(path);
  const uid = process.getuid?.() ?? 0;
  if (!stat.isDirectory() || stat.uid !== uid || (stat.mode & 0o077) !== 0)
    throw new NestfrontError(
      'NF_EPERM',
      'registry.open',
      `${path} is not a directory of yours alone (mode 0700); remove it or set XDG_RUNTIME_DIR`,
    );
  return path;
}

/** `$XDG_RUNTIME_DIR/nestfront`, `/run/user/UID/nestfront` or `/tmp/nestfront-UID`, mode 0700. */
export function runtimeDirectory(env: NodeJS.ProcessEnv = process.env): string {
  const uid = process.getuid?.() ?? 0;
  const xdg = env['XDG_RUNTIME_DIR'];
  if (xdg !== undefined && xdg.startsWith('/') && existsSync(xdg))
    return ownDirectory(join(xdg, 'nestfront'));
  if (existsSync(`/run/user/${uid}`)) return ownDirectory(`/run/user/${uid}/nestfront`);
  return ownDirectory(`/tmp/nestfront-${uid}`);
}

function readState(directory: string): StackState | undefined {
  try {
    const state = JSON.parse(readFileSync(join(directory, 'state.json'), 'utf8')) as StackState;
    return state.version === 1 && typeof state.owner?.pid === 'number' ? state : undefined;
  } catch {
    return undefined; // missing or damaged, which the entry then says
  }
}

function entryOf(directory: string, name: string): StackEntry {
  const state = readState(directory);
  return { name, directory, state, stale: state === undefined || !isAlive(state.owner) };
}

/** Every stack of this user, running or stale, by name. */
export function listStacks(runtime = runtimeDirectory()): StackEntry[] {
  return readdirSync(runtime, { withFileTypes: true })
    .filter((entry) => entry.isDirectory())
    .map((entry) => entryOf(join(runtime, entry.name), entry.name))
    .filter((entry) => !isClaimInProgress(entry))
    .sort((a, b) => a.name.localeCompare(b.name));
}

/** `.NAME.PID.xxxxxx`: a claim not yet renamed, whose process still runs. */
function isClaimInProgress(entry: StackEntry): boolean {
  if (!entry.name.startsWith('.')) return false;
  const pid = Number(entry.name.split('.')[2]);
  return entry.state === undefined ? identify(pid) !== undefined : !entry.stale;
}

/** The running stack of a name. @throws NestfrontError `NF_ENOENT` */
export function findStack(name: string, runtime = runtimeDirectory()): StackEntry {
  const entry = listStacks(runtime).find((candidate) => candidate.name === name);
  if (entry !== undefined && !entry.stale) return entry;
  const running = listStacks(runtime)
    .filter((e) => !e.stale)
    .map((e) => e.name);
  const list = running.length > 0 ? `running: ${running.join(', ')}` : 'none is running';
  throw new NestfrontError('NF_ENOENT', 'registry.find', `no stack "${name}" is running; ${list}`);
}

/** Ends what a stale stack left, removes its directory. Returns what was removed, a line each. */
export async function sweep(entry: StackEntry): Promise<string[]> {
  const removed: string[] = [];
  const left = (entry.state?.processes ?? []).filter(isAlive);
  for (const record of left)
    if (signal(record, 'SIGKILL')) removed.push(`process ${record.pid} (${record.role})`);
  if (!(await waitGone(left, KILL_WAIT_MS)))
    throw new NestfrontError(
      'NF_ETIMEDOUT',
      'registry.gc',
      `processes of "${entry.name}" do not die: ${left
        .filter(isAlive)
        .map((r) => r.pid)
        .join(', ')}`,
    );
  rmSync(entry.directory, { recursive: true, force: true });
  removed.push(`directory ${entry.directory}`);
  return removed;
}

/** Removes everything stale stacks left behind. */
export async function gc(runtime = runtimeDirectory()): Promise<string[]> {
  const removed: string[] = [];
  for (const entry of listStacks(runtime).filter((e) => e.stale))
    removed.push(...(await sweep(entry)));
  return removed;
}

/** A name held in the registry, from claim to release. */
export class Claim {
  readonly directory: string;
  readonly #file: StateFile;
  #state: StackState;

  private constructor(directory: string, state: StackState) {
    this.directory = directory;
    this.#file = new StateFile(directory);
    this.#state = state;
  }

  /**
   * Takes a stack's name; a stale holder is swept first.
   * @throws NestfrontError `NF_EEXIST`: a running stack has it
   */
  static async take(config: CheckedStackConfig, runtime = runtimeDirectory()): Promise<Claim> {
    const directory = join(runtime, config.name);
    const holder = existsSync(directory) ? entryOf(directory, config.name) : undefined;
    if (holder?.stale === true) await sweep(holder);
    const owner = identify(process.pid)!;
    const state: StackState = {
      version: 1,
      name: config.name,
      owner,
      startedAt: new Date().toISOString(),
      phase: 'starting',
      isolated: false,
      config,
      processes: [],
      domains: [],
      links: [],
    };
    const draft = mkdtempSync(join(runtime, `.${config.name}.${process.pid}.`));
    writeFileSync(join(draft, 'state.json'), JSON.stringify(state, null, 1), { mode: 0o600 });
    try {
      renameSync(draft, directory); // fails on a directory that is not empty: one winner
    } catch (error) {
      rmSync(draft, { recursive: true, force: true });
      const { code } = error as NodeJS.ErrnoException;
      if (code !== 'ENOTEMPTY' && code !== 'EEXIST') throw toNestfrontError(error, 'registry.take');
      const pid = entryOf(directory, config.name).state?.owner.pid;
      throw new NestfrontError(
        'NF_EEXIST',
        'stack.up',
        `a stack "${config.name}" is running (pid ${pid ?? 'unknown'}); use another name ` +
          `or: nestfront down ${config.name}`,
      );
    }
    return new Claim(directory, state);
  }

  get state(): StackState {
    return this.#state;
  }

  /** Changes state.json, as a whole or not at all; it is there after {@link written}. */
  update(change: Partial<StackState>): void {
    this.#state = { ...this.#state, ...change };
    this.#file.write(this.#state);
  }

  /** Once state.json says what was last changed. @throws Error it cannot be written */
  written(): Promise<void> {
    return this.#file.written();
  }

  /** Gives the name back; idempotent. */
  async release(): Promise<void> {
    await this.written().catch(() => undefined); // it goes all the same
    await rm(this.directory, { recursive: true, force: true });
  }
}
