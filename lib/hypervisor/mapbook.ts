// SPDX-License-Identifier: MIT
import type { Arena } from './arena.js';
import type { Domain } from './domain.js';

/** How often the pages of one arena are mapped through one connection, with one access. */
export interface MapRecord {
  readonly arena: Arena;
  readonly readonly: boolean;
  readonly counts: Uint32Array;
  /** Sum of the counts. */
  total: number;
}

/** One page of a record. */
export interface MapPlace {
  readonly record: MapRecord;
  readonly page: number;
}

type Records = Map<Arena, MapRecord>;

/**
 * What is mapped through one connection: a record an arena, not a page, since a driver domain maps
 * hundreds of pages of each of thousands of arenas.
 */
export class MapBook {
  /** Of this incarnation of a domid and of former ones; read-write, then read-only. */
  readonly #byGranter = new Map<Domain, readonly [Records, Records]>();

  /** Made when there is none. One with a total of 0 must be dropped. */
  record(arena: Arena, readonly: boolean): MapRecord {
    const { granter } = arena;
    const fresh: readonly [Records, Records] = [new Map(), new Map()];
    const both = this.#byGranter.get(granter) ?? fresh;
    if (both === fresh) this.#byGranter.set(granter, both);
    const records = both[readonly ? 1 : 0];
    const found = records.get(arena);
    if (found) return found;
    const made = { arena, readonly, counts: new Uint32Array(arena.pages), total: 0 };
    records.set(arena, made);
    return made;
  }

  drop({ arena, readonly }: MapRecord): void {
    const both = this.#byGranter.get(arena.granter);
    both?.[readonly ? 1 : 0].delete(arena);
    if (both && both[0].size + both[1].size === 0) this.#byGranter.delete(arena.granter);
  }

  /** Where this number of a domain, or of a former one of its domid, is mapped. */
  find(peer: Domain, gref: number, readonly: boolean): MapPlace | undefined {
    const arena = peer.grants.get(gref);
    const record = arena && this.#byGranter.get(peer)?.[readonly ? 1 : 0].get(arena);
    const page = record ? arena.pageOf(gref) : -1;
    if (record && record.counts[page]! > 0) return { record, page };
    return this.formerly(peer, gref, readonly);
  }

  /** Whether anything of a former domain of this domid is mapped. */
  hasFormer(peer: Domain): boolean {
    for (const granter of this.#byGranter.keys())
      if (granter !== peer && granter.domid === peer.domid) return true;
    return false;
  }

  /** As `find`, of former domains alone. */
  formerly(peer: Domain, gref: number, readonly: boolean): MapPlace | undefined {
    for (const [granter, both] of this.#byGranter) {
      if (granter === peer || granter.domid !== peer.domid) continue;
      for (const record of both[readonly ? 1 : 0].values()) {
        const page = record.arena.pageOf(gref);
        if (page >= 0 && record.counts[page]! > 0) return { record, page };
      }
    }
    return undefined;
  }

  /** All, as they are now. */
  get records(): MapRecord[] {
    return [...this.#byGranter.values()].flatMap(([rw, ro]) => [...rw.values(), ...ro.values()]);
  }
}
