// SPDX-License-Identifier: MIT
import { spawn } from 'node:child_process';
import { mkdirSync, mkdtempSync, rmSync } from 'node:fs';
import { join } from 'node:path';
import { HypervisorClient } from '../hypervisor/client.js';
import type { DomainInfo, HypervisorStats } from '../hypervisor/client.js';
import { eachLine } from '../stack/launch.js';
import { hypervisorMain } from '../stack/paths.js';
import { identify, isAlive, signal as kill, waitGone } from '../stack/processes.js';
import type { ProcessId } from '../stack/processes.js';
import { runtimeDirectory } from '../stack/registry.js';
import { StoreClient } from '../store/client.js';
import { within } from './check.js';
import { Domain } from './domain.js';
import { addon } from './memory.js';

/** Where and how a hypervisor process starts. */
export interface HypervisorOptions {
  /** Its name, in its log and its directory. Default `H0`. */
  readonly name?: string;
  /** Directory for its sockets, mode 0700. Default: a new one below the runtime directory. */
  readonly directory?: string;
  readonly signal?: AbortSignal;
  /** Gets each line of its log. */
  readonly log?: (line: string) => void;
}

const START_TIMEOUT_MS = 10_000;
const STOP_TIMEOUT_MS = 3_000;

/**
 * One hypervisor of the embedded layer, a process of its own: grant tables, event channels, store.
 * It dies with this object's process, or by {@link close}.
 */
export class Hypervisor implements AsyncDisposable {
  readonly client: HypervisorClient;
  readonly name: string;
  /** pid on the host; `undefined` when attached to one that somebody else started. */
  readonly pid: number | undefined;
  /** @internal The process this object started. */
  readonly process: ProcessId | undefined;
  readonly #directory: string | undefined;
  readonly #domains = new Set<Domain>();
  #store: StoreClient | undefined;
  #closed: Promise<void> | undefined;

  /** @internal Use {@link start} or {@link connect}. */
  constructor(
    client: HypervisorClient,
    name: string,
    started: { process?: ProcessId; directory?: string } = {},
  ) {
    this.client = client;
    this.name = name;
    this.process = started.process;
    this.#directory = started.directory;
    this.pid = started.process?.pid;
  }

  /**
   * Starts a hypervisor process.
   * @throws NestfrontError `NF_ENOSYS` the addon was not built; `NF_ETIMEDOUT`; `NF_EABORTED`
   */
  static async start(options: HypervisorOptions = {}): Promise<Hypervisor> {
    const name = options.name ?? 'H0';
    const [ours, theirs] = addon().seqpacketPair();
    const own = options.directory === undefined;
    const directory =
      options.directory ?? mkdtempSync(join(runtimeDirectory(), `.${name}.${process.pid}.`));
    mkdirSync(directory, { recursive: true, mode: 0o700 });
    const child = spawn(process.execPath, hypervisorArgs(name, directory), {
      stdio: ['ignore', 'ignore', 'pipe', theirs],
      detached: true,
    });
    addon().close(theirs);
    eachLine(child.stderr!, (line) => options.log?.(`${name}: ${line}`));
    const client = new HypervisorClient(ours);
    try {
      await helloOf(client, options.signal);
    } catch (error) {
      child.kill('SIGKILL');
      await client.close();
      if (own) rmSync(directory, { recursive: true, force: true });
      throw error;
    }
    child.unref();
    (child.stderr as unknown as { unref(): void }).unref();
    const started = identify(child.pid!);
    return new Hypervisor(client, name, {
      ...(started === undefined ? {} : { process: started }),
      ...(own ? { directory } : {}),
    });
  }

  /**
   * Attaches to a running hypervisor.
   * @param path of its admin socket
   */
  static async connect(
    path: string,
    options: { readonly signal?: AbortSignal } = {},
  ): Promise<Hypervisor> {
    const client = await HypervisorClient.connect(path, options);
    return new Hypervisor(client, (await client.hello(options)).name);
  }

  /**
   * Creates a domain.
   * @param options `privileged`: it may back other domains with its pages (a driver domain);
   *   `domid`: wanted, else the lowest free one
   * @throws NestfrontError `NF_EEXIST` name or domid taken; `NF_EDQUOT`
   */
  async createDomain(options: {
    readonly name: string;
    readonly privileged?: boolean;
    readonly domid?: number;
  }): Promise<Domain> {
    const { domid } = await this.client.createDomain({ ...options });
    const domain = new Domain(this.client, options.name, domid);
    this.#domains.add(domain);
    return domain;
  }

  /** A handle of a domain that exists already. */
  domain(name: string, domid: number): Domain {
    return new Domain(this.client, name, domid);
  }

  listDomains(): Promise<DomainInfo[]> {
    return this.client.listDomains();
  }

  stats(): Promise<HypervisorStats> {
    return this.client.stats();
  }

  /** The store as the toolstack sees it; one connection, closed with the hypervisor. */
  async store(): Promise<StoreClient> {
    this.#store ??= new StoreClient(await this.client.store());
    return this.#store;
  }

  /** Closes its domains, ends the process if this object started it. Idempotent, bounded in time. */
  close(): Promise<void> {
    this.#closed ??= this.#close();
    return this.#closed;
  }

  [Symbol.asyncDispose](): Promise<void> {
    return this.close();
  }

  async #close(): Promise<void> {
    for (const domain of this.#domains) await domain.close();
    await this.#store?.close();
    const id = this.process;
    if (id !== undefined && isAlive(id)) {
      await within(this.client.shutdown(), 'hypervisor.close', {
        timeoutMs: STOP_TIMEOUT_MS,
        what: 'no answer',
      }).catch(() => kill(id, 'SIGKILL')); // gone or stuck: either way the end is the same
      if (!(await waitGone([id], STOP_TIMEOUT_MS))) kill(id, 'SIGKILL');
    }
    await this.client.close();
    if (this.#directory !== undefined) rmSync(this.#directory, { recursive: true, force: true });
  }
}

/** Command line of a hypervisor process; its admin socket is descriptor 3. */
export function hypervisorArgs(name: string, directory: string): string[] {
  return [hypervisorMain(), '--name', name, '--dir', directory, '--admin-fd', '3'];
}

/** Waits for a fresh hypervisor's first answer. */
export async function helloOf(client: HypervisorClient, signal?: AbortSignal): Promise<void> {
  await within(client.hello(), 'hypervisor.start', {
    signal,
    timeoutMs: START_TIMEOUT_MS,
    what: 'it did not answer',
  });
}
