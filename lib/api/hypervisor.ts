// SPDX-License-Identifier: MIT
import { mkdirSync, mkdtempSync, rmSync } from 'node:fs';
import { join } from 'node:path';
import { HypervisorClient } from '../hypervisor/client.js';
import type { DomainInfo, HypervisorStats } from '../hypervisor/client.js';
import { Launched } from '../stack/launch.js';
import type { Isolation } from '../stack/launch.js';
import { hypervisorMain } from '../stack/paths.js';
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
  /** How long its process may take to be ready, 10,000 ms unless told: Node starts in it. */
  readonly timeoutMs?: number;
  /** Gets each line of its log. */
  readonly log?: (line: string) => void;
}

/** @internal Where the process of an inner hypervisor runs. */
export interface InnerLayer extends Isolation {
  /** A connection of the tenant's domain to the outer hypervisor; it lives as long as this one. */
  readonly outerFd: number;
}

const STOP_TIMEOUT_MS = 3_000;

/**
 * One hypervisor of the embedded layer, a process of its own: grant tables, event channels, store.
 * It dies with this object's process, or by {@link close}.
 */
export class Hypervisor implements AsyncDisposable {
  readonly client: HypervisorClient;
  readonly name: string;
  /** @internal The process this object started. */
  readonly process: Launched | undefined;
  readonly #directory: string | undefined;
  readonly #domains = new Set<Domain>();
  #store: StoreClient | undefined;
  #closed: Promise<void> | undefined;

  /** @internal Use {@link start} or {@link connect}. */
  constructor(
    client: HypervisorClient,
    name: string,
    started: { process?: Launched; directory?: string } = {},
  ) {
    this.client = client;
    this.name = name;
    this.process = started.process;
    this.#directory = started.directory;
  }

  /** pid on the host; `undefined` when attached to one that somebody else started. */
  get pid(): number | undefined {
    return this.process?.id.pid;
  }

  /**
   * Starts a hypervisor process. It ends with {@link close}, or with this process.
   * @param inner internal: the process is an inner layer's
   * @throws NestfrontError `NF_ENOSYS` the addon was not built; `NF_ETIMEDOUT`; `NF_EABORTED`
   */
  static async start(options: HypervisorOptions = {}, inner?: InnerLayer): Promise<Hypervisor> {
    const name = options.name ?? 'H0';
    const [ours, theirs] = addon().seqpacketPair();
    const directory =
      options.directory ?? mkdtempSync(join(runtimeDirectory(), `.${name}.${process.pid}.`));
    mkdirSync(directory, { recursive: true, mode: 0o700 });
    const own = options.directory === undefined ? { directory } : {};
    const client = new HypervisorClient(ours);
    const timeout = options.timeoutMs === undefined ? {} : { timeoutMs: options.timeoutMs };
    let launched: Launched | undefined;
    try {
      launched = await Launched.start({
        role: name,
        program: process.execPath,
        args: hypervisorArgs(name, directory, inner !== undefined),
        fds: inner === undefined ? [theirs] : [theirs, inner.outerFd],
        log: options.log,
        signal: options.signal,
        ...timeout,
        ...(inner ?? { isolated: false }),
      });
      const hypervisor = new Hypervisor(client, name, { process: launched, ...own });
      await launched.ready({ signal: options.signal, ...timeout });
      await client.hello(options.signal === undefined ? {} : { signal: options.signal });
      return hypervisor;
    } catch (error) {
      await client.close();
      await launched?.kill();
      if (options.directory === undefined) rmSync(directory, { recursive: true, force: true });
      throw error;
    } finally {
      addon().close(theirs);
    }
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

  /** Closes its domains, ends the process if this object started it. Idempotent, bounded. */
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
    if (this.process?.running === true) {
      await within(this.client.shutdown(), 'hypervisor.close', {
        timeoutMs: STOP_TIMEOUT_MS,
        what: 'no answer',
      }).catch(() => undefined); // gone or stuck: what follows ends it either way
      await this.process.stop(STOP_TIMEOUT_MS);
    }
    await this.client.close();
    if (this.#directory !== undefined) rmSync(this.#directory, { recursive: true, force: true });
  }
}

/** Command line of a hypervisor process: admin socket 3, an inner one's outer connection 4. */
function hypervisorArgs(name: string, directory: string, inner: boolean): string[] {
  const args = [hypervisorMain(), '--name', name, '--dir', directory, '--admin-fd', '3'];
  return [...args, ...(inner ? ['--outer-fd', '4'] : []), '--listen'];
}
