// SPDX-License-Identifier: MIT
import type { Arena } from './arena.js';
import type { Connection, Reply, Request } from './connection.js';
import type { Domain } from './domain.js';
import { need, type GrantHost } from './grants.js';
import type { MapRecord } from './mapbook.js';
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
  const { readonly, grefs } = request;
  const { mappings, privileged } = conn.domain;
  charge('mappings', mappings, grefs.length, privileged);
  charge('pages', conn.domain.pages + conn.domain.quarantinedPages, 0);
  const arenas: Arena[] = [];
  /** Of each grant: its arena's place in the list, and its page in that. */
  const slots: Slots = {
    index: new Uint32Array(grefs.length),
    page: new Uint32Array(grefs.length),
  };
  const hasFormer = conn.maps.hasFormer(request.peer);
  grefs.forEach((gref, i) => {
    const arena = findGrant(conn, request, gref, hasFormer);
    const known = arenas.indexOf(arena);
    slots.index[i] = known < 0 ? arenas.push(arena) - 1 : known;
    slots.page[i] = arena.pageOf(gref);
  });
  if (arenas.length > HV_FDS_MAX) throw new Refusal('E2BIG', `${arenas.length} arenas at once`);
  const fds = arenas.map((arena) => arena.grantedFd());
  const records = arenas.map((arena) => conn.maps.record(arena, readonly));
  grefs.forEach((gref, i) => {
    addMaps(conn, records[slots.index[i]!]!, slots.page[i]!, 1);
    request.peer.table.markMapped(gref, readonly);
  });
  for (const record of records) saveMaps(conn, record);
  return { body: mapReply(arenas, slots), fds };
}

/** By our own record; the table in shared memory can only take away. */
function findGrant(
  conn: Connection,
  { peer, readonly }: MapRequest,
  gref: number,
  hasFormer: boolean,
): Arena {
  const me = conn.domain;
  const arena = peer.grants.get(gref);
  if (!arena || arena.ended || arena.grantee !== me) {
    throw new Refusal(
      'EACCES',
      `grant ${gref} of domain ${peer.domid} is not domain ${me.domid}'s`,
    );
  }
  if (arena.key.readonly && !readonly) {
    throw new Refusal('EACCES', `grant ${gref} of domain ${peer.domid} is read-only`);
  }
  if (hasFormer && conn.maps.formerly(peer, gref, readonly)) {
    throw new Refusal('EBUSY', `grant ${gref} of the former domain ${peer.domid} is still mapped`);
  }
  if (!peer.table.permits(gref, me.domid)) {
    throw new Refusal('EACCES', `grant ${gref} was withdrawn by domain ${peer.domid}`);
  }
  return arena;
}

function addMaps(conn: Connection, record: MapRecord, page: number, times: number): void {
  record.counts[page]! += times;
  record.total += times;
  record.arena.mapped += times;
  conn.domain.mappings += times;
}

/** How often each page of an arena is mapped through a connection: [first, pages, times]. */
export type MapFact = [number, number, number][];

function saveMaps(conn: Connection, { arena, readonly, counts }: MapRecord): void {
  const fact: MapFact = [];
  counts.forEach((times, page) => {
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
  const record = conn.maps.record(arena, readonly);
  for (const [first, pages, times] of fact)
    for (let page = first; page < first + pages; page++) addMaps(conn, record, page, times);
}

interface Slots {
  readonly index: Uint32Array;
  readonly page: Uint32Array;
}

function mapReply(arenas: Arena[], slots: Slots): Buffer {
  const l = L.nf_hv_map_reply;
  const a = L.nf_hv_map_arena;
  const s = L.nf_hv_map_slot;
  const count = slots.page.length;
  const body = newReply(l.size + arenas.length * a.size + count * s.size);
  body.writeUInt32LE(arenas.length, l.arenas);
  body.writeUInt32LE(count, l.count);
  arenas.forEach((arena, i) => {
    const at = l.size + i * a.size;
    body.writeBigUInt64LE(arena.id, at + a.arena);
    body.writeBigUInt64LE(BigInt(arena.fdOffset), at + a.fd_offset);
    body.writeUInt32LE(arena.pages, at + a.pages);
    body.writeUInt32LE(arena.key.readonly ? 1 : 0, at + a.readonly);
  });
  slots.page.forEach((page, i) => {
    const at = l.size + arenas.length * a.size + i * s.size;
    body.writeUInt32LE(slots.index[i]!, at + s.arena_index);
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
  const places = Array.from(grefs, (gref) => {
    const place = conn.maps.find(peer, gref, readonly);
    const count = (wanted.get(gref) ?? 0) + 1;
    if (!place || count > place.record.counts[place.page]!) {
      throw new Refusal('EINVAL', `grant ${gref} of domain ${peer.domid} is not mapped`);
    }
    wanted.set(gref, count);
    return place;
  });
  const touched = new Map<MapRecord, number>();
  for (const { record, page } of places) {
    dropPage(conn, record, page, 1);
    touched.set(record, (touched.get(record) ?? 0) + 1);
  }
  for (const [record, count] of touched) settle(conn, record, count);
  return {};
}

/** Forgets all that was mapped through a connection. */
export function dropMaps(conn: Connection): void {
  for (const record of conn.maps.records) {
    const { total } = record;
    record.counts.forEach((times, page) => {
      if (times > 0) dropPage(conn, record, page, times);
    });
    settle(conn, record, total);
  }
}

function dropPage(conn: Connection, record: MapRecord, page: number, times: number): void {
  const { arena, counts } = record;
  counts[page]! -= times;
  record.total -= times;
  conn.domain.mappings -= times;
  if (counts[page] === 0 && !arena.ended) arena.granter.table.markUnmapped(arena.grefs[page]!);
}

/** So many mappings of it went. */
function settle(conn: Connection, record: MapRecord, count: number): void {
  if (record.total === 0) conn.maps.drop(record);
  saveMaps(conn, record);
  record.arena.unmapped(count);
}
