// SPDX-License-Identifier: MIT
import { native } from '../native.cjs';
import type { Connection } from './connection.js';
import type { Domain } from './domain.js';
import { isGntalloc } from './gntalloc.js';
import type { Key } from './protocol.js';
import { DOMID_SELF, PAGE_BYTES, RING_PURPOSES } from './protocol.js';
import { Refusal } from './refusal.js';
import { toRuns, type Runs } from './runs.js';

/** Where an arena's pages come from when not fresh. */
export interface Backing {
  fd: number;
  fdOffset: number;
  /** An arena of a predecessor's; its entries are in the table. */
  restored?: { id: bigint; fact: ArenaFact };
}

/** What a hypervisor's successor learns of an arena; domains and connections by their uid. */
export interface ArenaFact {
  granter: number;
  grantee: number;
  /** 0: it is ended. */
  owner: number;
  key: Key;
  grefs: Runs;
  fd: number;
  fdOffset: number;
  donated: boolean;
}

let nextId = 1n;

/** Ids from here on: none a predecessor gave out, which clients may still know. */
export function startArenaIds(epoch: number): void {
  nextId = (BigInt(epoch) << 40n) + 1n;
}

/**
 * Pages one domain granted another: a memfd of their own, never used for anything else before or
 * after. `grefs[i]` names page i. A read-only one is sealed before the grantee first gets it.
 */
export class Arena {
  readonly id: bigint;
  readonly granter: Domain;
  /** This incarnation of the domid, not a later one. */
  readonly grantee: Domain;
  readonly key: Key;
  readonly pages: number;
  readonly grefs: Uint32Array;
  readonly fd: number;
  readonly fdOffset: number;
  readonly donated: boolean;
  /** Grants in it that are mapped now, each as often as it is mapped. */
  mapped = 0;
  /** Taken back by the granter; in quarantine while mapped. */
  ended = false;
  #readonlySealed = false;

  /** The connection it was made through. */
  #owner: Connection | undefined;

  /** Takes the grant numbers and writes the entries. `backing.fd` becomes the arena's. */
  constructor(granter: Domain, grantee: Domain, key: Key, grefs: Uint32Array, backing?: Backing) {
    const restored = backing?.restored;
    this.id = restored?.id ?? nextId++;
    this.granter = granter;
    this.grantee = grantee;
    this.key = key;
    this.pages = grefs.length;
    this.grefs = grefs;
    this.donated = restored?.fact.donated ?? backing !== undefined;
    this.fd = backing?.fd ?? freshPages(granter, grantee, key, grefs.length);
    this.fdOffset = backing?.fdOffset ?? 0;
    grefs.forEach((gref) => {
      granter.grants.set(gref, this);
      if (restored) return;
      granter.table.grant(gref, grantee.domid, granter.nextFrame++, key.readonly);
    });
    granter.references++;
    grantee.references++;
    if (restored?.fact.owner === 0) {
      this.ended = true;
      return;
    }
    granter.arenas.add(this);
    granter.pages += this.pages;
  }

  /** From now on it goes with this connection. */
  adopt(owner: Connection): void {
    this.#owner = owner;
    owner.arenas.set(this.id, this);
    this.granter.vault.keep(this.fd);
    this.granter.save(); // its frame numbers
    this.save();
  }

  /** Which page the number names; -1: none of it. */
  pageOf(gref: number): number {
    const inARow = gref - this.grefs[0]!;
    return this.grefs[inARow] === gref ? inARow : this.grefs.indexOf(gref);
  }

  /** Tells the vault what changed. */
  save(): void {
    const { granter, grantee, key, fdOffset, donated } = this;
    const fact: ArenaFact = {
      ...{ key, fdOffset, donated },
      granter: granter.uid,
      grantee: grantee.uid,
      owner: this.ended ? 0 : (this.#owner?.uid ?? 0),
      grefs: toRuns(this.grefs),
      fd: granter.vault.idOf(this.fd),
    };
    granter.vault.put(`A${this.id}`, fact);
  }

  /** Of a predecessor's that is ended: what is still mapped is in quarantine, the rest goes. */
  settle(): void {
    if (!this.ended) return;
    if (this.mapped === 0) return this.#release();
    this.grantee.quarantine.add(this);
    this.grantee.quarantinedPages += this.pages;
  }

  /** The descriptor for the grantee. EACCES when read-only can't be enforced. */
  grantedFd(): number {
    if (this.key.readonly && !this.#readonlySealed) this.#sealReadonly();
    return this.fd;
  }

  /**
   * Ends every grant. The pages are freed at once, but rings and those an inner domain has; while
   * the grantee still maps some, the numbers stay reserved and the pages are charged to it. True:
   * nothing was mapped.
   */
  end(): boolean {
    if (this.ended) return this.mapped === 0;
    this.ended = true;
    for (const gref of this.grefs) this.granter.table.end(gref);
    this.granter.arenas.delete(this);
    this.granter.pages -= this.pages;
    this.#punch();
    if (this.mapped === 0) {
      this.#release();
      return true;
    }
    this.save();
    this.settle();
    return false;
  }

  /** The grantee let go of so many mapped grants. */
  unmapped(count: number): void {
    this.mapped -= count;
    if (this.mapped > 0 || !this.ended || !this.grantee.quarantine.delete(this)) return;
    this.grantee.quarantinedPages -= this.pages;
    this.#release();
  }

  #release(): void {
    for (const gref of this.grefs) this.granter.grants.delete(gref);
    this.granter.table.release(this.grefs);
    this.granter.vault.put(`A${this.id}`, undefined);
    this.granter.vault.close(this.fd);
    for (const domain of [this.granter, this.grantee]) {
      domain.references--;
      domain.settle();
    }
  }

  #sealReadonly(): void {
    // pages of real Xen have no read-only twin; whoever donated them could always write to them
    if (this.donated && isGntalloc(this.fd)) return;
    const wanted = native.F_SEAL_FUTURE_WRITE | native.F_SEAL_SEAL;
    if ((native.memfdSeals(this.fd) & native.F_SEAL_FUTURE_WRITE) === 0) {
      try {
        native.memfdSeal(this.fd, wanted);
      } catch (error) {
        const text = `arena ${this.id} can't be sealed: ${(error as Error).message}`;
        throw new Refusal('EACCES', text);
      }
    }
    this.#readonlySealed = true;
  }

  #punch(): void {
    if (this.donated) return; // the pages are the outer layer's, which ends them itself
    // who has not yet heard that the connection is over reads on: an inner domain what is in flight
    // to it, either end a ring, where zeros would look like a peer that lies. No page of these is
    // ever used anew, so what the grantee still writes lands in nobody's data
    const { purpose, innerOwner } = this.key;
    if (innerOwner !== DOMID_SELF || RING_PURPOSES.has(purpose)) return;
    if ((native.memfdSeals(this.fd) & native.F_SEAL_FUTURE_WRITE) !== 0) {
      return; // the kernel refuses; they go with the grantee's last mapping
    }
    try {
      native.memfdPunch(this.fd, 0, this.pages * PAGE_BYTES);
    } catch {
      // out of memory for the bookkeeping: they go with the last mapping, as above
    }
  }
}

function freshPages(granter: Domain, grantee: Domain, key: Key, pages: number): number {
  const name = `nf-${granter.domid}-${grantee.domid}-${key.device}.${key.queue}.${key.purpose}`;
  const fd = native.memfdCreate(name, pages);
  // a writable arena has all its seals; a read-only one gets the last when it is handed out
  if (!key.readonly) native.memfdSeal(fd, native.F_SEAL_SEAL);
  return fd;
}
