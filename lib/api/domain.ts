// SPDX-License-Identifier: MIT
import { NestfrontError } from '../errors.js';
import type { HypervisorClient } from '../hypervisor/client.js';
import type { NativeLayer } from '../native.cjs';
import { StoreClient } from '../store/client.js';
import { guarded } from './check.js';
import { ControlPage } from './control.js';
import { Counters } from './counters.js';
import { GrantTable } from './grant.js';
import { addon } from './memory.js';

/**
 * A protection domain on a hypervisor, as the toolstack sees it: its counters, its control page,
 * its connections. {@link attach} makes this very process act as the domain, for tests and for
 * embedding; isolated domains are processes of their own (`Stack`).
 */
export class Domain implements AsyncDisposable {
  readonly #client: HypervisorClient;
  readonly name: string;
  /** 0 to 32751, unique on its hypervisor. */
  readonly domid: number;
  #layer: NativeLayer | undefined;
  #grants: GrantTable | undefined;
  #store: StoreClient | undefined;
  #counters: Counters | undefined;
  #control: ControlPage | undefined;
  #closed: Promise<void> | undefined;

  /** @internal Domains come from {@link Hypervisor.createDomain}. */
  constructor(client: HypervisorClient, name: string, domid: number) {
    this.#client = client;
    this.name = name;
    this.domid = domid;
  }

  /**
   * Makes this process act as the domain.
   * @throws NestfrontError `NF_EEXIST` attached already; `NF_ECONNRESET` the hypervisor is gone
   */
  async attach(options: { readonly signal?: AbortSignal } = {}): Promise<this> {
    if (this.#layer !== undefined)
      throw new NestfrontError('NF_EEXIST', 'domain.attach', `${this.name} is attached already`);
    const fd = await this.connect(options);
    this.#layer = await guarded('domain.attach', () => addon().openLayer(fd));
    this.#grants = new GrantTable(this.#layer);
    return this;
  }

  /** Its grant table, once attached. @throws NestfrontError `NF_ENODEV` not attached */
  get grants(): GrantTable {
    this.layer('domain.grants');
    return this.#grants!;
  }

  /** A connection to the store as this domain, once attached; one a domain, closed with it. */
  async store(): Promise<StoreClient> {
    const layer = this.layer('domain.store');
    this.#store ??= new StoreClient(await guarded('domain.store', () => layer.storeFd()));
    return this.#store;
  }

  /** Its drivers' counters, live. Once its process has started. */
  async counters(): Promise<Counters> {
    this.#counters ??= await this.#mapped('counters', (fd) => Counters.open(fd));
    return this.#counters;
  }

  /** Its control page: orders for its generators, parking. */
  async control(): Promise<ControlPage> {
    this.#control ??= await this.#mapped('control', (fd) => ControlPage.open(fd));
    return this.#control;
  }

  /** The counters memfd, read-only; the caller's to close. */
  countersFd(): Promise<number> {
    return this.#client.counters(this.domid);
  }

  /** The control memfd, writable; the caller's to close. */
  controlFd(): Promise<number> {
    return this.#client.control(this.domid);
  }

  /** One more connection as this domain, for a process to inherit; the caller's to close. */
  connect(options: { readonly signal?: AbortSignal } = {}): Promise<number> {
    return this.#client.connectDomain(this.domid, options);
  }

  /** Ends its grants, channels and store nodes, and what is attached here. Idempotent. */
  close(): Promise<void> {
    this.#closed ??= this.#close();
    return this.#closed;
  }

  [Symbol.asyncDispose](): Promise<void> {
    return this.close();
  }

  /** @internal The attached layer. */
  layer(op: string): NativeLayer {
    if (this.#layer !== undefined && this.#closed === undefined) return this.#layer;
    const state = this.#closed === undefined ? 'not attached; call attach() first' : 'closed';
    throw new NestfrontError('NF_ENODEV', op, `domain ${this.name} is ${state}`);
  }

  async #close(): Promise<void> {
    await this.#store?.close();
    await this.#layer?.close();
    try {
      await this.#client.destroyDomain(this.domid);
    } catch (error) {
      // a hypervisor that is gone, or a domain destroyed otherwise, leaves nothing to end
      const code = error instanceof NestfrontError ? error.code : undefined;
      if (code !== 'NF_ECONNRESET' && code !== 'NF_ENOENT') throw error;
    }
  }

  async #mapped<T>(what: 'counters' | 'control', open: (fd: number) => T): Promise<T> {
    const fd = await this.#client[what](this.domid);
    try {
      return open(fd);
    } finally {
      addon().close(fd);
    }
  }
}
