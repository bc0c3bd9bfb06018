// SPDX-License-Identifier: MIT
import type { NativeRing } from '../native.cjs';
import { guardedSync, inRange } from './check.js';
import { PAGE_BYTES } from './grant.js';
import type { SharedPages } from './grant.js';

/** Where a ring lies in shared pages. */
export interface RingOptions {
  /** Bytes of one slot, 1 to 4,032. */
  readonly slotBytes: number;
  /** Start of the ring in the pages, in bytes; page aligned. Default 0. */
  readonly offset?: number;
  /** Bytes the ring may use. Default: one page. */
  readonly bytes?: number;
}

/**
 * One end of Xen's shared ring: requests one way, responses back in the same slots. The front puts
 * requests and takes responses, the back takes requests and puts responses. For tools, tests and
 * slow devices; the drivers' data path runs in C.
 */
export class Ring implements Disposable {
  readonly #native: NativeRing;
  /** Which end this is. */
  readonly end: 'front' | 'back';

  private constructor(native: NativeRing, end: 'front' | 'back') {
    this.#native = native;
    this.end = end;
  }

  /** Initialises a ring and takes its requesting end. The pages stay the caller's. */
  static front(pages: SharedPages, options: RingOptions): Ring {
    const { offset, bytes, slotBytes } = placed(pages, options);
    const native = guardedSync('ring.front', () =>
      pages.native.ringFront(offset, bytes, slotBytes),
    );
    return new Ring(native, 'front');
  }

  /** Takes the responding end of a ring its front has initialised. */
  static back(pages: SharedPages, options: RingOptions): Ring {
    const { offset, bytes, slotBytes } = placed(pages, options);
    const native = guardedSync('ring.back', () =>
      pages.native.ringBack(offset, bytes, slotBytes, 0),
    );
    return new Ring(native, 'back');
  }

  /** Slots in the ring, a power of two. */
  get count(): number {
    return this.#native.count;
  }

  /** Slots this end may still put. */
  get free(): number {
    return guardedSync('ring.free', () => this.#native.free());
  }

  /** Slots waiting to be taken. @throws NestfrontError `NF_EPROTO`, for good: the peer lies */
  get pending(): number {
    return guardedSync('ring.pending', () => this.#native.pending());
  }

  /** Copies a slot in, shorter ones padded with zeros; false when there is no room. */
  put(slot: Uint8Array): boolean {
    return guardedSync('ring.put', () => this.#native.put(slot));
  }

  /** A copy of the next slot, `undefined` when none waits. @throws NestfrontError `NF_EPROTO` */
  take(): Buffer | undefined {
    return guardedSync('ring.take', () => this.#native.take());
  }

  /** Publishes what was put. @returns true: the peer asked for an event, send one */
  push(): boolean {
    return guardedSync('ring.push', () => this.#native.push());
  }

  /**
   * Asks the peer for an event once `after` more slots wait, then looks again.
   * @returns how many wait already; 0: armed, wait for the event
   */
  arm(after = 1): number {
    return guardedSync('ring.arm', () => this.#native.arm(inRange('after', after, 1, 0x8000_0000)));
  }

  /** Lets go of the memory; idempotent. */
  close(): void {
    this.#native.close();
  }

  [Symbol.dispose](): void {
    this.close();
  }
}

function placed(pages: SharedPages, options: RingOptions): Required<RingOptions> {
  const offset = inRange('offset', options.offset ?? 0, 0, pages.bytes - 1);
  const bytes = inRange('bytes', options.bytes ?? PAGE_BYTES, 65, pages.bytes - offset);
  const slotBytes = inRange('slotBytes', options.slotBytes, 1, bytes - 64);
  return { offset, bytes, slotBytes };
}
