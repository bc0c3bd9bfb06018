// SPDX-License-Identifier: MIT
import type { Arena } from './arena.js';
import type { Connection, MapRecord, Reply, Request } from './connection.js';
import type { Domain } from './domain.js';
import { need, type GrantHost } from './grants.js';
import { decodeWords, HV_FDS_MAX, HV_GREFS_MAX, LAYOUT as L, newReply } from './protocol.js';
import { charge } from './quota.js';
import { Refusal } from './refusal.js';

interface MapRequest {
  peer: Domain;
  readonly: boolean;
  grefs: Uint32Array;
}

function decodeMap(message: Buffer, peerOf: (domid: number) => Domain): MapRequest {
  const l = L.nf_hv_map;
  if (message.length < l.size) need(message, l.size);
  const count = message.readUInt32LE(l.count);
  if (count < 1 || count > HV_GREFS_MAX) throw new Refusal('EINVAL', `${count} grants`);
  need(message, l.size + count * 4);
  return {
    peer: peerOf(message.readUInt16LE(l.peer)),
    readonly: message.readUInt16LE(l.readonly) !== 0,
    grefs: decodeWords(message, l.size, count),
  };
}

export function map(host: GrantHost, conn: Connection, { message }: Request): Reply {
  const request = decodeMap(message, (domid) => host.peer(domid));
  const { mappings, privileged } = conn.domain;
  charge('mappings', mappings, request.grefs.length, privileged);
  charge('pages', conn.domain.pages + conn.domain.quarantinedPages, 0);
  const arenas: Arena[] = [];
  const slots: { index: number; page: number }[] = [];
  for (const gref of request.grefs) {
    const { arena, page } = findGrant(conn, request, gref);
    let index = arenas.indexOf(arena);
    if (index < 0) index = arenas.push(arena) - 1;
    slots.push({ index, page });
  }
  if (arenas.length > HV_FDS_MAX) throw new Refusal('E2BIG', `${arenas.length} arenas at once`);
  const fds = arenas.map((arena) => arena.grantedFd());
  for (const gref of request.grefs) recordMap(conn, request, gref);
  for (const arena of arenas) saveMaps(conn, arena, request.readonly);
  return { body: mapReply(arenas, slots), fds };
}

/** By our own record; the table in shared memory can only take away. */
function findGrant(
  conn: Connection,
  { peer, readonly }: MapRequest,
  gref: number,
): { arena: Arena; page: number } {
  const me = conn.domain;
  const grant = peer.grants.get(gref);
  if (!grant || grant.arena.ended || grant.arena.grantee !== me) {
    throw new Refusal(
      'EACCES',
      `grant ${gref} of domain ${peer.domid} is not domain ${me.domid}'s`,
    );
  }
  if (grant.arena.key.readonly && !readonly) {
    throw new Refusal('EACCES', `grant ${gref} of domain ${peer.domid} is read-only`);
  }
  const former = conn.maps.get(mapKey(peer, gref, readonly));
  if (former && former.arena !== grant.arena) {
    throw new Refusal('EBUSY', `grant ${gref} of the former domain ${peer.domid} is still mapped`);
  }
  if (!peer.table.permits(gref, me.domid)) {
    throw new Refusal('EACCES', `grant ${gref} was withdrawn by domain ${peer.domid}`);
  }
  return grant;
}

function mapKey(peer: Domain, gref: number, readonly: boolean): number {
  return (peer.domid * 2 ** 32 + gref) * 2 + (readonly ? 1 : 0);
}

function recordMap(conn: Connection, { peer, readonly }: MapRequest, gref: number): void {
  const grant = peer.grants.get(gref);
  if (!grant) throw new Error('unreachable: the grant was found');
  const key = mapKey(peer, gref, readonly);
  const record = conn.maps.get(key);
  if (record) record.count++;
  else conn.maps.set(key, { arena: grant.arena, gref, readonly, count: 1 });
  grant.arena.mapped++;
  conn.domain.mappings++;
  peer.table.markMapped(gref, readonly);
}

/** How often each page of an arena is mapped through a connection: [first, pages, times]. */
export type MapFact = [number, number, number][];

function saveMaps(conn: Connection, arena: Arena, readonly: boolean): void {
  const fact: MapFact = [];
  arena.grefs.forEach((gref, page) => {
    const record = conn.maps.get(mapKey(arena.granter, gref, readonly));
    const times = record?.arena === arena ? record.count : 0;
    const last = fact.at(-1);
    if (last && last[0] + last[1] === page && last[2] === times) last[1]++;
    else if (times > 0) fact.push([page, 1, times]);
  });
  const key = `M${conn.uid}.${arena.id}.${readonly ? 1 : 0}`;
  conn.domain.vault.put(key, fact.length > 0 ? fact : undefined);
}

/** A predecessor's; the table shows them. */
export function restoreMaps(
  conn: Connection,
  arena: Arena,
  readonly: boolean,
  fact: MapFact,
): void {
  for (const [first, pages, times] of fact) {
    for (let page = first; page < first + pages; page++) {
      const gref = arena.grefs[page]!;
      conn.maps.set(mapKey(arena.granter, gref, readonly), { arena, gref, readonly, count: times });
      arena.mapped += times;
      conn.domain.mappings += times;
    }
  }
}

function mapReply(arenas: Arena[], slots: { index: number; page: number }[]): Buffer {
  const l = L.nf_hv_map_reply;
  const a = L.nf_hv_map_arena;
  const s = L.nf_hv_map_slot;
  const body = newReply(l.size + arenas.length * a.size + slots.length * s.size);
  body.writeUInt32LE(arenas.length, l.arenas);
  body.writeUInt32LE(slots.length, l.count);
  arenas.forEach((arena, i) => {
    const at = l.size + i * a.size;
    body.writeBigUInt64LE(arena.id, at + a.arena);
    body.writeBigUInt64LE(BigInt(arena.fdOffset), at + a.fd_offset);
    body.writeUInt32LE(arena.pages, at + a.pages);
    body.writeUInt32LE(arena.key.readonly ? 1 : 0, at + a.readonly);
  });
  slots.forEach(({ index, page }, i) => {
    const at = l.size + arenas.length * a.size + i * s.size;
    body.writeUInt32LE(index, at + s.arena_index);
    body.writeUInt32LE(page, at + s.page);
  });
  return body;
}

/** The peer may be dead or the arena taken back: what counts is that this connection mapped it. */
export function unmap(
  domainOf: (domid: number) => Domain,
  conn: Connection,
  { message }: Request,
): Reply {
  const { peer, readonly, grefs } = decodeMap(message, domainOf);
  const wanted = new Map<number, number>();
  for (const gref of grefs) {
    const key = mapKey(peer, gref, readonly);
    const count = (wanted.get(key) ?? 0) + 1;
    if (count > (conn.maps.get(key)?.count ?? 0)) {
      throw new Refusal('EINVAL', `grant ${gref} of domain ${peer.domid} is not mapped`);
    }
    wanted.set(key, count);
  }
  dropMaps(conn, wanted);
  return {};
}

/** Forgets so many mappings of each of these grants; `undefined`: all of them. */
export function dropMaps(conn: Connection, wanted: Map<number, number | undefined>): void {
  const touched = new Set<Arena>();
  for (const [key, count] of wanted) {
    const record = conn.maps.get(key);
    if (!record) continue;
    touched.add(record.arena);
    dropMap(conn, key, record, count);
  }
  for (const arena of touched) {
    saveMaps(conn, arena, false);
    saveMaps(conn, arena, true);
  }
}

function dropMap(conn: Connection, key: number, record: MapRecord, count?: number): void {
  const n = count ?? record.count;
  record.count -= n;
  conn.domain.mappings -= n;
  if (record.count === 0) {
    conn.maps.delete(key);
    if (!record.arena.ended) record.arena.granter.table.markUnmapped(record.gref);
  }
  record.arena.unmapped(n);
}
