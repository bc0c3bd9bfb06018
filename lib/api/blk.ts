// SPDX-License-Identifier: MIT
import { NestfrontError } from '../errors.js';
import { Disk } from './disk.js';
import type { DiskOptions } from './disk.js';
import { DeviceEnd, DeviceLink } from './ends.js';
import type { EndOptions } from './ends.js';
import { backPath, frontPath, writeNodes } from './blknodes.js';
import type { BlkOptions } from './blknodes.js';
import type { RelayKeys } from './netnodes.js';
import type { CounterValues } from './counters.js';
import type { RelayMode } from './relay.js';
import type { WaitOptions } from './until.js';

/** The guest's end of a disk. */
export class Blkfront extends DeviceEnd {
  readonly kind = 'blkfront';
  readonly #port: string | undefined;

  /** @internal */
  constructor(options: EndOptions & { readonly port: string | undefined }) {
    super(options);
    this.#port = options.port;
  }

  /** Path of its NBD server's socket; `undefined`: it has none. */
  get socket(): string | undefined {
    return /^nbd:([^,]+)/.exec(this.#port ?? '')?.[1];
  }

  /**
   * Opens the disk for reading and writing from this process, through the front's NBD server: the
   * front itself runs in its domain. Close what you get; as many as 16 may be open.
   * @throws NestfrontError `NF_ENOSYS` its port is not `nbd`; `NF_ECONNREFUSED`, `NF_ENOENT` …
   */
  open(options: DiskOptions = {}): Promise<Disk> {
    const socket = this.socket;
    if (socket !== undefined) return Disk.connect(socket, options);
    throw new NestfrontError(
      'NF_ENOSYS',
      'disk.open',
      `the front's port is ${this.#port ?? 'none'}; attach it with the port nbd:PATH`,
    );
  }
}

/** The provider's end of a disk. */
export class Blkback extends DeviceEnd {
  readonly kind = 'blkback';
}

/** A disk on one layer: both ends, attached and detached together. */
export class BlkLink extends DeviceLink<Blkfront, Blkback> {
  protected readonly noun = 'disk';

  private constructor(o: BlkOptions) {
    const { store, devid } = o;
    const [front, back] = [o.front.domain, o.back.domain];
    const { port } = o.front;
    super(
      store,
      new Blkfront({ store, devid, path: frontPath(o), domain: front, peer: back, port }),
      new Blkback({ store, devid, path: backPath(o), domain: back, peer: front }),
    );
  }

  /**
   * Writes both ends' nodes; the drivers in the two domains find them and connect.
   * @throws NestfrontError `NF_EEXIST` the devid is taken; RangeError a number is outside its range
   */
  static async attach(options: BlkOptions, keys: RelayKeys = {}): Promise<BlkLink> {
    await writeNodes(options, keys);
    return new BlkLink(options);
  }

  /** A disk whose nodes are there already. Its shape is in them: options beyond that are unused. */
  static of(options: BlkOptions): BlkLink {
    return new BlkLink(options);
  }
}

/** A disk through both layers. */
export interface BlkRelayOptions {
  readonly mode: RelayMode;
  /** `direct` may run unconfined, against a backend that is not registered-only. */
  readonly trustInner?: boolean;
  readonly outer: BlkOptions;
  readonly inner: BlkOptions;
}

/** L1's driver domain on one disk: blkback on the inner layer, blkfront on the outer one. */
export class BlkRelay implements AsyncDisposable {
  readonly mode: RelayMode;
  readonly outer: BlkLink;
  readonly inner: BlkLink;

  private constructor(mode: RelayMode, outer: BlkLink, inner: BlkLink) {
    this.mode = mode;
    this.outer = outer;
    this.inner = inner;
  }

  /** Writes the nodes of both links, outer first. @throws as {@link BlkLink.attach} */
  static async attach(options: BlkRelayOptions): Promise<BlkRelay> {
    const outer = await BlkLink.attach(options.outer, { front: { relayed: '1' } });
    try {
      const back = {
        relay: options.mode,
        'relay-outer': String(options.outer.devid),
        ...(options.trustInner === true ? { 'trust-inner': '1' } : {}),
      };
      return new BlkRelay(options.mode, outer, await BlkLink.attach(options.inner, { back }));
    } catch (error) {
      await outer.detach();
      throw error;
    }
  }

  /** Waits until all four ends are Connected. @throws as {@link BlkLink.connected} */
  async connected(options: WaitOptions = {}): Promise<void> {
    await Promise.all([this.outer.connected(options), this.inner.connected(options)]);
  }

  /** What L1's relay counted. */
  async counters(): Promise<CounterValues> {
    const page = await this.inner.back.domain.counters();
    return page.total({ kind: 'blkrelay', devid: this.inner.devid });
  }

  /** Detaches the inner link, then the outer one. Idempotent. */
  async detach(options: WaitOptions = {}): Promise<void> {
    await this.inner.detach(options);
    await this.outer.detach(options);
  }

  [Symbol.asyncDispose](): Promise<void> {
    return this.detach();
  }
}
