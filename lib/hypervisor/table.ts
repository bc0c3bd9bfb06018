// SPDX-License-Identifier: MIT
import { native } from '../native.cjs';
import {
  GREF_RESERVED,
  GTF_PERMIT_ACCESS,
  GTF_READING,
  GTF_READONLY,
  GTF_WRITING,
  LAYOUT,
  PAGE_BYTES,
} from './protocol.js';
import { QUOTA } from './quota.js';
import { Refusal } from './refusal.js';

export const TABLE_ENTRIES = QUOTA.grefs;
const ENTRY_WORDS16 = LAYOUT.nf_grant_entry.size / 2;

/**
 * A domain's grant table: Xen's v1 entries in a memfd that the domain may write and its peers may
 * read, and the numbers in use. What an entry names is not in here: see Arena.
 */
export class GrantTable {
  readonly fd: number;
  readonly #words16: Uint16Array;
  readonly #words32: Uint32Array;
  readonly #used = new Uint8Array(TABLE_ENTRIES);
  readonly #topDown: boolean;
  #sealed = false;

  /** @param topDown numbers from the end, leaving the low ones to an outer layer's equal ones */
  constructor(name: string, topDown: boolean) {
    const bytes = TABLE_ENTRIES * LAYOUT.nf_grant_entry.size;
    this.fd = native.memfdCreate(name, bytes / PAGE_BYTES);
    const memory = native.mapShared(this.fd, 0, bytes, true);
    this.#words16 = new Uint16Array(memory);
    this.#words32 = new Uint32Array(memory);
    this.#topDown = topDown;
  }

  /** So many unused numbers, taken. ENOSPC when the table is full. */
  take(count: number): Uint32Array {
    const out = new Uint32Array(count);
    let found = 0;
    for (let i = GREF_RESERVED; i < TABLE_ENTRIES && found < count; i++) {
      const gref = this.#topDown ? TABLE_ENTRIES - 1 - (i - GREF_RESERVED) : i;
      if (!this.#used[gref]) out[found++] = gref;
    }
    if (found < count) throw new Refusal('ENOSPC', 'the grant table is full');
    for (const gref of out) this.#used[gref] = 1;
    return out;
  }

  /** Exactly these numbers. EEXIST when one is taken, EINVAL when one can't be or comes twice. */
  takeExactly(grefs: Uint32Array): void {
    for (const gref of grefs) {
      if (gref < GREF_RESERVED || gref >= TABLE_ENTRIES) {
        throw new Refusal('EINVAL', `grant ${gref} is outside 8 to ${TABLE_ENTRIES - 1}`);
      }
      if (this.#used[gref]) throw new Refusal('EEXIST', `grant ${gref} is taken`);
    }
    if (new Set(grefs).size !== grefs.length) throw new Refusal('EINVAL', 'a grant comes twice');
    for (const gref of grefs) this.#used[gref] = 1;
  }

  release(grefs: Uint32Array): void {
    for (const gref of grefs) this.#used[gref] = 0;
  }

  grant(gref: number, domid: number, frame: number, readonly: boolean): void {
    Atomics.store(this.#words32, gref * 2 + 1, frame);
    Atomics.store(this.#words16, gref * ENTRY_WORDS16 + 1, domid);
    // flags last: who sees them sees the rest
    const flags = GTF_PERMIT_ACCESS | (readonly ? GTF_READONLY : 0);
    Atomics.store(this.#words16, gref * ENTRY_WORDS16, flags);
  }

  end(gref: number): void {
    Atomics.store(this.#words16, gref * ENTRY_WORDS16, 0);
  }

  /** Whether the granter still lets `domid` in, by what stands in the table now. */
  permits(gref: number, domid: number): boolean {
    const flags = Atomics.load(this.#words16, gref * ENTRY_WORDS16);
    const to = Atomics.load(this.#words16, gref * ENTRY_WORDS16 + 1);
    return (flags & 3) === GTF_PERMIT_ACCESS && to === domid;
  }

  markMapped(gref: number, readonly: boolean): void {
    const bits = readonly ? GTF_READING : GTF_READING | GTF_WRITING;
    Atomics.or(this.#words16, gref * ENTRY_WORDS16, bits);
  }

  markUnmapped(gref: number): void {
    Atomics.and(this.#words16, gref * ENTRY_WORDS16, ~(GTF_READING | GTF_WRITING));
  }

  /** The descriptor for a peer: from now on nobody makes a new writable mapping. */
  sealed(): number {
    if (!this.#sealed) native.memfdSeal(this.fd, native.F_SEAL_FUTURE_WRITE | native.F_SEAL_SEAL);
    this.#sealed = true;
    return this.fd;
  }

  /** The mapping goes when it is collected, its memory now, unless the seal forbids. */
  close(): void {
    const bytes = TABLE_ENTRIES * LAYOUT.nf_grant_entry.size;
    if (!this.#sealed) native.memfdPunch(this.fd, 0, bytes);
    native.close(this.fd);
  }
}
