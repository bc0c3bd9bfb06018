// SPDX-License-Identifier: MIT
import { native } from '../native.cjs';
import { Arena, type Backing } from './arena.js';
import type { Connection, Reply, Request } from './connection.js';
import type { Domain } from './domain.js';
import type { Donations } from './donations.js';
import {
  ARENA_PAGES_MAX,
  decodeKey,
  decodeWords,
  LAYOUT as L,
  newReply,
  PAGE_BYTES,
} from './protocol.js';
import { charge } from './quota.js';
import { isGntalloc } from './gntalloc.js';
import { Refusal } from './refusal.js';

/** What the grant handlers need of the hypervisor. */
export interface GrantHost {
  /** A living domain; EACCES when there is none, the same as for one that grants nothing. */
  peer(domid: number): Domain;
  donations: Donations;
}

export function need(message: Buffer, bytes: number): void {
  if (message.length === bytes) return;
  throw new Refusal('EINVAL', `a message of ${message.length} bytes, ${bytes} expected`);
}

export function alloc(host: GrantHost, conn: Connection, { message }: Request): Reply {
  need(message, L.nf_hv_alloc.size);
  const key = decodeKey(message, L.nf_hv_alloc.key);
  const pages = message.readUInt32LE(L.nf_hv_alloc.pages);
  const granter = conn.domain;
  const grantee = host.peer(key.peer);
  if (pages < 1 || pages > ARENA_PAGES_MAX) throw new Refusal('EINVAL', `${pages} pages`);
  granter.chargePages(pages);
  // who keeps what others took back gets nothing new
  if (grantee !== granter) charge('pages', grantee.pages + grantee.quarantinedPages, 0);
  const donation = host.donations.find('pages', granter, grantee, key);
  if (donation && pages > donation.pages) {
    throw new Refusal('EINVAL', `${pages} pages wanted, ${donation.pages} donated`);
  }
  let grefs: Uint32Array;
  if (donation?.grefs) {
    grefs = donation.grefs.slice(0, pages);
    granter.table.takeExactly(grefs);
  } else {
    grefs = granter.table.take(pages);
  }
  let backing: Backing | undefined;
  if (donation) backing = host.donations.consume(donation);
  let arena: Arena;
  try {
    arena = new Arena(granter, grantee, key, grefs, backing);
  } catch (error) {
    granter.table.release(grefs);
    if (backing) granter.vault.close(backing.fd);
    throw error;
  }
  arena.adopt(conn);
  return { body: allocReply(arena), fds: [arena.fd] };
}

function allocReply(arena: Arena): Buffer {
  const l = L.nf_hv_alloc_reply;
  const body = newReply(l.size + arena.pages * 4);
  body.writeBigUInt64LE(arena.id, l.arena);
  body.writeBigUInt64LE(BigInt(arena.fdOffset), l.fd_offset);
  body.writeUInt32LE(arena.pages, l.pages);
  body.writeUInt32LE(arena.donated ? 1 : 0, l.donated);
  arena.grefs.forEach((gref, i) => body.writeUInt32LE(gref, l.size + i * 4));
  return body;
}

export function end(conn: Connection, { message }: Request): Reply {
  need(message, L.nf_hv_end.size);
  const id = message.readBigUInt64LE(L.nf_hv_end.arena);
  const owner = [...conn.domain.connections].find((c) => c.arenas.has(id));
  const arena = owner?.arenas.get(id);
  if (!arena) throw new Refusal('EINVAL', `no arena ${id} of this domain`);
  owner?.arenas.delete(id);
  // not a failure: the arena is gone for the caller either way
  return arena.end() ? {} : { status: EBUSY };
}

const EBUSY = new Refusal('EBUSY', '').errno;

export function donate(host: GrantHost, conn: Connection, { message, fds }: Request): Reply {
  const l = L.nf_hv_donate;
  if (message.length < l.size) need(message, l.size);
  const key = decodeKey(message, l.key);
  const pages = message.readUInt32LE(l.pages);
  const fdOffset = Number(message.readBigUInt64LE(l.fd_offset));
  const equal = message.readUInt32LE(l.equal_grefs) !== 0;
  if (!conn.domain.privileged) throw new Refusal('EACCES', 'only a privileged domain may donate');
  if (pages < 1 || pages > ARENA_PAGES_MAX) throw new Refusal('EINVAL', `${pages} pages`);
  need(message, l.size + (equal ? pages * 4 : 0));
  const grefs = equal ? decodeWords(message, l.size, pages) : undefined;
  const inner = host.peer(key.peer);
  const [fd] = fds;
  if (fd === undefined || fds.length !== 1) throw new Refusal('EINVAL', 'one descriptor expected');
  checkPages(fd, fdOffset, pages);
  host.donations.add('pages', conn, inner, key, { pages, fdOffset, grefs, fd });
  fds.length = 0; // it is the donation's now
  return {};
}

/** A donor must not be able to take the memory away under the inner domain. */
function checkPages(fd: number, offset: number, pages: number): void {
  if (offset % PAGE_BYTES === 0 && isGntalloc(fd)) return; // its pages live as long as the file
  let seals: number;
  try {
    seals = native.memfdSeals(fd);
  } catch {
    throw new Refusal('EINVAL', 'the donated descriptor is no memfd');
  }
  if ((seals & native.F_SEAL_SHRINK) === 0) {
    throw new Refusal('EINVAL', 'the donated pages are not sealed against shrinking');
  }
  const fits = offset % PAGE_BYTES === 0 && offset + pages * PAGE_BYTES <= native.fileBytes(fd);
  if (!fits) throw new Refusal('EINVAL', `${pages} pages at ${offset} are not in the file`);
}

export function table(host: GrantHost, conn: Connection, { message }: Request): Reply {
  need(message, L.nf_hv_table.size);
  const peer = host.peer(message.readUInt16LE(L.nf_hv_table.peer));
  const grants = [...peer.arenas].some((arena) => arena.grantee === conn.domain);
  if (!grants) throw new Refusal('EACCES', `domain ${peer.domid} grants nothing here`);
  return { fds: [peer.table.sealed()] };
}
