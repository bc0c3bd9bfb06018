// SPDX-License-Identifier: MIT
/**
 * A pure model of Xen's shared ring (drivers/include/nf/ring.h), both ends: the same u32
 * arithmetic,
 * the same answers, no shared memory. A differential test holds the C ring against it. Use it to
 * reason about indices and events; packets never come near it.
 *
 * Results are as in C: numbers from 0 up, or a negative errno.
 */

/** Nothing there, or no room. */
export const EAGAIN = -11;
/** The ring does not fit. */
export const EINVAL = -22;
/** The peer's index claims what cannot be; sticky. */
export const EPROTO = -71;

const HEADER_BYTES = 64;
const u32 = (n: number): number => n >>> 0;

/** Slots of `slotBytes` that fit in `ringBytes` beside the header, a power of two; 0: not one. */
export function ringCount(ringBytes: number, slotBytes: number): number {
  if (slotBytes === 0 || ringBytes < HEADER_BYTES + slotBytes) return 0;
  const fit = Math.min(Math.floor((ringBytes - HEADER_BYTES) / slotBytes), 0x80000000);
  return 2 ** Math.floor(Math.log2(fit));
}

/** True when the peer's event index lies in (old, now]: it asked to be told. */
export function eventCrossed(now: number, old: number, peerEvent: number): boolean {
  return u32(now - peerEvent) < u32(now - old);
}

/** What both ends and a hostile peer see and write. Slots hold one u32 each here. */
export interface SharedRing {
  reqProd: number;
  reqEvent: number;
  rspProd: number;
  rspEvent: number;
  readonly slots: Uint32Array;
}

/** Memory of a ring as the front leaves it: producers 0, events 1. RangeError: no slot fits. */
export function createSharedRing(ringBytes: number, slotBytes: number): SharedRing {
  const count = ringCount(ringBytes, slotBytes);
  if (count === 0)
    throw new RangeError(`a slot of ${slotBytes} bytes does not fit in ${ringBytes}`);
  return { reqProd: 0, reqEvent: 1, rspProd: 0, rspEvent: 1, slots: new Uint32Array(count) };
}

/** The requesting end. */
export class FrontModel {
  readonly #shared: SharedRing;
  /** Private producer, published by push. */
  reqProd: number;
  rspCons: number;
  /** 0 or EPROTO, sticky. */
  error = 0;

  constructor(shared: SharedRing, first = 0) {
    this.#shared = shared;
    this.reqProd = this.rspCons = u32(first);
  }

  /** Request slots that can still be produced. */
  free(): number {
    return u32(this.#shared.slots.length - (this.reqProd - this.rspCons));
  }

  /** Fills the next request slot; its free-running index or EAGAIN. */
  put(value: number): number {
    if (this.free() === 0) return EAGAIN;
    const idx = this.reqProd;
    this.#shared.slots[slotOf(this.#shared, idx)] = value;
    this.reqProd = u32(idx + 1);
    return idx;
  }

  /** Publishes the requests; true: notify the peer. */
  push(): boolean {
    const old = this.#shared.reqProd;
    if (old === this.reqProd) return false;
    this.#shared.reqProd = this.reqProd;
    return eventCrossed(this.reqProd, old, this.#shared.reqEvent);
  }

  /** Responses waiting, or EPROTO: one to a request never made, or an index gone backwards. */
  pending(): number {
    const waiting = u32(this.#shared.rspProd - this.rspCons);
    if (waiting > u32(this.reqProd - this.rspCons)) this.error = EPROTO;
    return this.error || waiting;
  }

  /** Value of the next response, EAGAIN or EPROTO. */
  take(): number {
    const waiting = this.pending();
    if (waiting <= 0) return waiting || EAGAIN;
    const value = this.#shared.slots[slotOf(this.#shared, this.rspCons)] ?? 0;
    this.rspCons = u32(this.rspCons + 1);
    return value;
  }

  /** Asks for an event after that many more responses (1: the next), then looks: as pending. */
  arm(after: number): number {
    this.#shared.rspEvent = u32(this.rspCons + after);
    return this.pending();
  }
}

/** The responding end. */
export class BackModel {
  readonly #shared: SharedRing;
  /** Private producer, published by push. */
  rspProd: number;
  reqCons: number;
  /** 0 or EPROTO, sticky. */
  error = 0;

  constructor(shared: SharedRing, first = 0) {
    this.#shared = shared;
    this.rspProd = this.reqCons = u32(first);
  }

  /** Fills the next response slot; its free-running index, or EAGAIN: all taken are answered. */
  put(value: number): number {
    if (u32(this.reqCons - this.rspProd) === 0) return EAGAIN;
    const idx = this.rspProd;
    this.#shared.slots[slotOf(this.#shared, idx)] = value;
    this.rspProd = u32(idx + 1);
    return idx;
  }

  /** Publishes the responses; true: notify the peer. */
  push(): boolean {
    const old = this.#shared.rspProd;
    if (old === this.rspProd) return false;
    this.#shared.rspProd = this.rspProd;
    return eventCrossed(this.rspProd, old, this.#shared.rspEvent);
  }

  /** Requests waiting, or EPROTO: more than the slots not yet answered leave room for. */
  pending(): number {
    const waiting = u32(this.#shared.reqProd - this.reqCons);
    const room = u32(this.#shared.slots.length - u32(this.reqCons - this.rspProd));
    if (waiting > room) this.error = EPROTO;
    return this.error || waiting;
  }

  /** Value of the next request, EAGAIN or EPROTO. */
  take(): number {
    const waiting = this.pending();
    if (waiting <= 0) return waiting || EAGAIN;
    const value = this.#shared.slots[slotOf(this.#shared, this.reqCons)] ?? 0;
    this.reqCons = u32(this.reqCons + 1);
    return value;
  }

  /** Asks for an event after that many more requests, then looks: as pending. */
  arm(after: number): number {
    this.#shared.reqEvent = u32(this.reqCons + after);
    return this.pending();
  }
}

function slotOf(shared: SharedRing, idx: number): number {
  return u32(idx & (shared.slots.length - 1));
}
