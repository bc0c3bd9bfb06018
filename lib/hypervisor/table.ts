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
import type { Vault } from './vault.js';

export const TABLE_ENTRIES = QUOTA.grefs;
const TABLE_BYTES = TABLE_ENTRIES * LAYOUT.nf_grant_entry.size;

/**
 * A domain's grant table: Xen's v1 entries in a memfd that the domain may write and its peers may
 * read, and the numbers in use. What an entry names is not in here: see Arena.
 */
export class GrantTable {
  readonly fd: number;
  readonly #words: Uint32Array;
  readonly #used = new Uint8Array(TABLE_ENTRIES);
  readonly #topDown: boolean;
  readonly #vault: Vault;
  /** A predecessor sealed it: only the keeper, who mapped it before, can still write to it. */
  readonly #isForeign: boolean;
  #sealed: boolean;
  #isClosed = false;

  private constructor(fd: number, topDown: boolean, sealed: boolean, vault: Vault) {
    this.fd = fd;
    this.#words = new Uint32Array(native.mapShared(fd, 0, TABLE_BYTES, !sealed));
    this.#topDown = topDown;
    this.#vault = vault;
    this.#sealed = this.#isForeign = sealed;
  }

  /** @param topDown numbers from the end, leaving the low ones to an outer layer's equal ones */
  static create(name: string, topDown: boolean, vault: Vault): GrantTable {
    const fd = native.memfdCreate(name, TABLE_BYTES / PAGE_BYTES);
    vault.keep(fd, TABLE_BYTES);
    return new GrantTable(fd, topDown, false, vault);
  }

  /** A predecessor's. Its entries stay; the numbers in use are taken anew. */
  static restore(fd: number, topDown: boolean, vault: Vault): GrantTable {
    const sealed = (native.memfdSeals(fd) & native.F_SEAL_FUTURE_WRITE) !== 0;
    return new GrantTable(fd, topDown, sealed, vault);
  }

  /** Ends entries that no grant stands behind: of a request that was not finished. */
  sweep(): void {
    for (let gref = GREF_RESERVED; gref < TABLE_ENTRIES; gref++) {
      if (!this.#used[gref] && this.#load(gref) !== 0) this.#store(gref * 2, 0);
    }
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
    this.#store(gref * 2 + 1, frame);
    // flags last: who sees them sees the rest
    const flags = GTF_PERMIT_ACCESS | (readonly ? GTF_READONLY : 0);
    this.#store(gref * 2, flags | (domid << 16));
  }

  end(gref: number): void {
    this.#store(gref * 2, this.#load(gref) & ~0xffff);
  }

  /** Whether the granter still lets `domid` in, by what stands in the table now. */
  permits(gref: number, domid: number): boolean {
    const word = this.#load(gref);
    return (word & 3) === GTF_PERMIT_ACCESS && word >>> 16 === domid;
  }

  markMapped(gref: number, readonly: boolean): void {
    const bits = readonly ? GTF_READING : GTF_READING | GTF_WRITING;
    if (this.#isForeign) this.#store(gref * 2, this.#load(gref) | bits);
    else Atomics.or(this.#words, gref * 2, bits);
  }

  markUnmapped(gref: number): void {
    const bits = GTF_READING | GTF_WRITING;
    if (this.#isForeign) this.#store(gref * 2, this.#load(gref) & ~bits);
    else Atomics.and(this.#words, gref * 2, ~bits);
  }

  /** Flags and domid of an entry. */
  #load(gref: number): number {
    return Atomics.load(this.#words, gref * 2);
  }

  #store(index: number, word: number): void {
    if (this.#isClosed) return;
    if (this.#isForeign) this.#vault.storeWord(this.fd, index * 4, word);
    else Atomics.store(this.#words, index, word);
  }

  /** The descriptor for a peer: from now on nobody makes a new writable mapping. */
  sealed(): number {
    if (!this.#sealed) native.memfdSeal(this.fd, native.F_SEAL_FUTURE_WRITE | native.F_SEAL_SEAL);
    this.#sealed = true;
    return this.fd;
  }

  /** The mapping goes when it is collected, its memory now, unless the seal forbids. */
  close(): void {
    if (!this.#sealed) native.memfdPunch(this.fd, 0, TABLE_BYTES);
    this.#isClosed = true;
    this.#vault.close(this.fd);
  }
}
