// SPDX-License-Identifier: MIT
// What a toolstack may see of grants and channels. Answers come in pages: a message is bounded.
import type { Domain } from './domain.js';
import type { Hypervisor } from './hypervisor.js';
import { toRuns, type Runs } from './runs.js';

/** One arena: pages that one domain granted another together. */
export interface GrantInfo {
  granter: number;
  grantee: number;
  device: number;
  queue: number;
  /** NF_PURPOSE_* of nf/layer.h. */
  purpose: number;
  access: 'read' | 'write';
  pages: number;
  /** Grants in it that are mapped, each as often as it is. */
  mapped: number;
  /** Runs of grant numbers: first, how many. */
  grefs: Runs;
  /** Its pages are those of a grant on the outer layer. */
  donated: boolean;
  /** Taken back by the granter and still mapped: never used again. */
  quarantined: boolean;
}

/** One port of a domain's event channels. */
export interface PortInfo {
  domid: number;
  port: number;
  peer: number;
  /** `unbound`: the peer has not bound to it yet; `closed`: the peer is dead. */
  state: 'unbound' | 'bound' | 'closed';
}

export interface Page<T> {
  rows: T[];
  /** Where the next page begins; absent in the last one. */
  next?: number;
}

/** Bytes of rows in a page, then one row more: an arena of 2,048 scattered pages takes 28 KiB. */
const PAGE_MAX = 24_576;

function page<T>(all: readonly T[], from: number): Page<T> {
  const rows: T[] = [];
  let bytes = 0;
  let next = from;
  for (; next < all.length && bytes < PAGE_MAX; next++) {
    rows.push(all[next]!);
    bytes += JSON.stringify(all[next]).length;
  }
  return next < all.length ? { rows, next } : { rows };
}

function* arenasOf(domain: Domain): Generator<GrantInfo> {
  for (const [set, quarantined] of [
    [domain.arenas, false],
    [domain.quarantine, true],
  ] as const)
    for (const { granter, grantee, key, pages, mapped, grefs, donated } of set)
      yield {
        ...{ granter: granter.domid, grantee: grantee.domid },
        ...{ device: key.device, queue: key.queue, purpose: key.purpose },
        ...{ access: key.readonly ? 'read' : 'write', pages, mapped },
        ...{ grefs: toRuns(grefs), donated, quarantined },
      };
}

/** Every arena that is granted, or taken back and still mapped. */
export function listGrants(hv: Hypervisor, from: number): Page<GrantInfo> {
  return page(
    [...hv.domains.values()].flatMap((domain) => [...arenasOf(domain)]),
    from,
  );
}

export function listPorts(hv: Hypervisor, from: number): Page<PortInfo> {
  const all = [...hv.domains.values()].flatMap(({ domid, ports }) =>
    [...ports.values()].map(({ port, peer, heldFd }): PortInfo => {
      const state = heldFd >= 0 ? 'unbound' : peer.alive ? 'bound' : 'closed';
      return { domid, port, peer: peer.domid, state };
    }),
  );
  return page(all, from);
}
