// SPDX-License-Identifier: MIT
import { mkdirSync, mkdtempSync, rmSync } from 'node:fs';
import { rm } from 'node:fs/promises';
import { join } from 'node:path';
import { HypervisorClient } from '../hypervisor/client.js';
import type { DomainInfo, HypervisorStats } from '../hypervisor/client.js';
import type { GrantInfo, Page, PortInfo } from '../hypervisor/inspect.js';
import type { Launched } from '../stack/launch.js';
import { runtimeDirectory } from '../stack/registry.js';
import { StoreClient } from '../store/client.js';
import { NestfrontError } from '../errors.js';
import { within } from './check.js';
import { Domain } from './domain.js';
import { endKeeper, launchHypervisor, launchKeeper } from './hypervisorprocess.js';
import type { InnerLayer, Started } from './hypervisorprocess.js';

/** Where and how a hypervisor process starts. */
export interface HypervisorOptions {
  /** Its name, in its log and its directory. Default `H0`. */
  readonly name?: string;
  /** Directory for its sockets, mode 0700. Default: a new one below the runtime directory. */
  readonly directory?: string;
  readonly signal?: AbortSignal;
  /** How long its process may take to be ready, 10,000 ms unless told: Node starts in it. */
  readonly timeoutMs?: number;
  /**
   * Keeps sockets, pages and journal in a process beside it, so that {@link Hypervisor.restart}
   * finds everything as it was. Default false.
   */
  readonly keeper?: boolean;
  /** Gets each line of its log. */
  readonly log?: (line: string) => void;
}

export type { InnerLayer } from './hypervisorprocess.js';

const STOP_TIMEOUT_MS = 3_000;

/**
 * One hypervisor of the embedded layer, a process of its own: grant tables, event channels, store.
 * It dies with this object's process, or by {@link close}.
 */
export class Hypervisor implements AsyncDisposable {
  readonly client: HypervisorClient;
  readonly name: string;
  readonly #directory: string | undefined;
  readonly #started: Started | undefined;
  readonly #domains = new Set<Domain>();
  #process: Launched | undefined;
  #store: StoreClient | undefined;
  #closed: Promise<void> | undefined;

  /** @internal Use {@link start} or {@link connect}. */
  constructor(
    client: HypervisorClient,
    name: string,
    started?: Started & { process: Launched; ownDirectory: string | undefined },
  ) {
    this.client = client;
    this.name = name;
    this.#started = started;
    this.#process = started?.process;
    this.#directory = started?.ownDirectory;
  }

  /** @internal The process this object started; after a restart the new one. */
  get process(): Launched | undefined {
    return this.#process;
  }

  /** @internal The process that makes it restartable, if it has one. */
  get keeper(): Launched | undefined {
    return this.#started?.keeper?.process;
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
    const directory =
      options.directory ?? mkdtempSync(join(runtimeDirectory(), `.${name}.${process.pid}.`));
    mkdirSync(directory, { recursive: true, mode: 0o700 });
    const started: { -readonly [K in keyof Started]: Started[K] } = { options, directory, inner };
    let launched: { process: Launched; adminFd: number } | undefined;
    let client: HypervisorClient | undefined;
    try {
      if (options.keeper === true) started.keeper = await launchKeeper(name, started);
      launched = await launchHypervisor(name, started, options.signal);
      client = new HypervisorClient(launched.adminFd);
      await client.hello(options.signal === undefined ? {} : { signal: options.signal });
      const ownDirectory = options.directory === undefined ? directory : undefined;
      const { process } = launched;
      return new Hypervisor(client, name, { ...started, process, ownDirectory });
    } catch (error) {
      await client?.close();
      await launched?.process.kill();
      await endKeeper(started.keeper);
      if (options.directory === undefined) rmSync(directory, { recursive: true, force: true });
      throw error;
    }
  }

  /**
   * A new process in place of the one that ended, or of one that is killed here. With a keeper it
   * goes on where that one was: domains, grants, channels, store and everybody's connections. What
   * this object was asked meanwhile rejects with `NF_ECONNRESET`.
   * @throws NestfrontError `NF_ENOSYS` it was not started with a keeper, or not by this object;
   *   `NF_ENODEV` the keeper has ended; `NF_ETIMEDOUT`; `NF_EBUSY` it is closed
   */
  async restart(options: { readonly signal?: AbortSignal } = {}): Promise<void> {
    const op = 'hypervisor.restart';
    const { keeper } = this.#started ?? {};
    if (this.#closed !== undefined)
      throw new NestfrontError('NF_EBUSY', op, `${this.name} is closed`);
    if (this.#started === undefined || keeper === undefined)
      throw new NestfrontError('NF_ENOSYS', op, `${this.name} has no keeper; start it with one`);
    if (!keeper.process.running)
      throw new NestfrontError('NF_ENODEV', op, `the keeper of ${this.name} has ended`);
    await this.#process?.kill();
    const { process, adminFd } = await launchHypervisor(this.name, this.#started, options.signal);
    this.#process = process;
    this.client.reattach(adminFd);
    await this.client.hello(options);
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

  /** What domains have granted each other, an entry an arena. */
  listGrants(): Promise<GrantInfo[]> {
    return this.#pages('listGrants') as Promise<GrantInfo[]>;
  }

  /** Ports of event channels. */
  listPorts(): Promise<PortInfo[]> {
    return this.#pages('listPorts') as Promise<PortInfo[]>;
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

  async #pages(op: 'listGrants' | 'listPorts'): Promise<unknown[]> {
    const rows: unknown[] = [];
    for (let from: number | undefined = 0; from !== undefined; ) {
      const page: Page<unknown> = await this.client.page(op, from);
      rows.push(...page.rows);
      from = page.next;
    }
    return rows;
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
    await endKeeper(this.#started?.keeper);
    await this.client.close();
    if (this.#directory !== undefined) await rm(this.#directory, { recursive: true, force: true });
  }
}
