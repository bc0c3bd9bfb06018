// SPDX-License-Identifier: MIT
import { NetLink } from './net.js';
import type { NetOptions } from './netnodes.js';
import type { CounterValues } from './counters.js';
import type { BlockGrants } from './layout.js';
import type { WaitOptions } from './until.js';

/**
 * What L1 does with payload: copies it, only renames it, or does not see it at all; `mux`: several
 * guests share one outer device.
 */
export type RelayMode = 'copy' | 'translate' | 'direct' | 'mux';

/** How many relays stand on an outer link that they share. */
const sharers = new WeakMap<NetLink, number>();

/** A device through both layers. */
export interface RelayOptions {
  readonly mode: RelayMode;
  /** `direct` may run unconfined, against a backend that is not static-only. Default false. */
  readonly trustInner?: boolean;
  /** L1 (front) to L0 (back) on the outer hypervisor; `mux`: or the link others stand on. */
  readonly outer: NetOptions | NetLink;
  /** L2 (front) to L1's relay (back) on the inner hypervisor. */
  readonly inner: NetOptions;
}

/** The last one takes the link with it. */
async function leave(outer: NetLink, options: WaitOptions = {}): Promise<void> {
  const left = (sharers.get(outer) ?? 1) - 1;
  sharers.set(outer, left);
  if (left === 0) await outer.detach(options);
}

/** L1's driver domain on one device: netback on the inner layer, netfront on the outer one. */
export class Relay implements AsyncDisposable {
  readonly mode: RelayMode;
  readonly outer: NetLink;
  readonly inner: NetLink;
  #detached: Promise<void> | undefined;

  private constructor(mode: RelayMode, outer: NetLink, inner: NetLink) {
    this.mode = mode;
    this.outer = outer;
    this.inner = inner;
  }

  /** Writes the nodes of both links, outer first. @throws as {@link NetLink.attach} */
  static async attach(options: RelayOptions): Promise<Relay> {
    const outer =
      options.outer instanceof NetLink
        ? options.outer
        : await NetLink.attach(options.outer, { front: { relayed: '1' } });
    sharers.set(outer, (sharers.get(outer) ?? 0) + 1);
    try {
      const back = {
        relay: options.mode,
        'relay-outer': String(outer.devid),
        ...(options.trustInner === true ? { 'trust-inner': '1' } : {}),
      };
      return new Relay(options.mode, outer, await NetLink.attach(options.inner, { back }));
    } catch (error) {
      await leave(outer);
      throw error;
    }
  }

  /** Waits until all four ends are Connected. @throws as {@link NetLink.connected} */
  async connected(options: WaitOptions = {}): Promise<void> {
    await Promise.all([this.outer.connected(options), this.inner.connected(options)]);
  }

  /** What L1's relay counted; `direct` moves nothing, so its packets stay at zero. */
  async counters(): Promise<CounterValues> {
    const page = await this.inner.back.domain.counters();
    const peer = this.inner.front.domain.domid;
    return page.total({ kind: 'netrelay', devid: this.inner.devid, peer });
  }

  /** How it runs, as its counters block says; `undefined` while it is not connected. */
  async status(): Promise<
    | {
        readonly mode: string;
        readonly grants: BlockGrants;
        readonly confined: boolean | undefined;
      }
    | undefined
  > {
    const page = await this.inner.back.domain.counters();
    const peer = this.inner.front.domain.domid;
    return page.blocks({ kind: 'netrelay', devid: this.inner.devid, peer })[0];
  }

  /** Detaches the inner link, then, when no other relay stands on it, the outer one. Idempotent. */
  detach(options: WaitOptions = {}): Promise<void> {
    this.#detached ??= this.#detach(options);
    return this.#detached;
  }

  async #detach(options: WaitOptions): Promise<void> {
    await this.inner.detach(options);
    await leave(this.outer, options);
  }

  [Symbol.asyncDispose](): Promise<void> {
    return this.detach();
  }
}
