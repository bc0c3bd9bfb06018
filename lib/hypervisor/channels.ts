// SPDX-License-Identifier: MIT
import { native } from '../native.cjs';
import type { Connection, Reply, Request } from './connection.js';
import type { Domain, Port } from './domain.js';
import { need, type GrantHost } from './grants.js';
import { LAYOUT as L, newReply } from './protocol.js';
import { Refusal } from './refusal.js';

// An event channel is a SOCK_SEQPACKET pair: a message is a notification, EAGAIN means one is
// pending already, hang-up is the peer's death. Once both ends are out, we hold none.

function decode(message: Buffer): {
  peer: number;
  device: number;
  queue: number;
  purpose: number;
  port: number;
} {
  const l = L.nf_hv_chan;
  need(message, l.size);
  return {
    peer: message.readUInt16LE(l.peer),
    device: message.readUInt16LE(l.device),
    queue: message.readUInt16LE(l.queue),
    purpose: message.readUInt16LE(l.purpose),
    port: message.readUInt32LE(l.port),
  };
}

function reply(port: number, fd: number): Reply {
  const body = newReply(L.nf_hv_chan_reply.size);
  body.writeUInt32LE(port, L.nf_hv_chan_reply.port);
  return { body, ownFds: [fd] };
}

/** What a hypervisor's successor learns of a port; domains and connections by their uid. */
export interface PortFact {
  port: number;
  peer: number;
  owner: number;
  /** Of the end the peer gets, at the keeper; 0: it has it. */
  held: number;
}

function savePort({ domain }: Connection, { port, peer, owner, heldFd }: Port): void {
  const held = domain.vault.idOf(heldFd);
  const fact: PortFact = { port, peer: peer.uid, owner: owner.uid, held };
  domain.vault.put(`O${domain.uid}.${port}`, fact);
}

/** @param isSaved a predecessor's, which the vault knows */
export function addPort(
  conn: Connection,
  port: number,
  peer: Domain,
  heldFd: number,
  isSaved = false,
): void {
  const added = { port, peer, owner: conn, heldFd };
  conn.domain.ports.set(port, added);
  conn.ports.add(port);
  if (isSaved) return;
  if (heldFd >= 0) conn.domain.vault.keep(heldFd);
  savePort(conn, added);
}

export function allocChan(host: GrantHost, conn: Connection, { message }: Request): Reply {
  const request = decode(message);
  const peer = host.peer(request.peer);
  const port = conn.domain.freePort();
  const donation = host.donations.find('channel', conn.domain, peer, request);
  if (donation) {
    const { fd } = host.donations.consume(donation);
    addPort(conn, port, peer, -1);
    return reply(port, fd);
  }
  const [ours, theirs] = native.seqpacketPair();
  addPort(conn, port, peer, theirs);
  return reply(port, ours);
}

export function bindChan(host: GrantHost, conn: Connection, { message }: Request): Reply {
  const request = decode(message);
  const peer = host.peer(request.peer);
  const remote = peer.ports.get(request.port);
  if (remote?.peer !== conn.domain) {
    const { domid } = conn.domain;
    const text = `port ${request.port} of domain ${peer.domid} is not domain ${domid}'s`;
    throw new Refusal('EACCES', text);
  }
  if (remote.heldFd < 0) throw new Refusal('EBUSY', `port ${request.port} is bound already`);
  const port = conn.domain.freePort();
  const fd = remote.heldFd;
  remote.heldFd = -1;
  savePort(remote.owner, remote);
  addPort(conn, port, peer, -1);
  return reply(port, fd);
}

export function closeChan(conn: Connection, { message }: Request): Reply {
  const { port } = decode(message);
  const found = conn.domain.ports.get(port);
  if (!found) throw new Refusal('EINVAL', `no port ${port} of this domain`);
  dropPort(conn.domain, port);
  return {};
}

/** Its peer is dead: its owner hears the hang-up. */
export function cutPort(port: Port): void {
  port.owner.domain.vault.close(port.heldFd);
  port.heldFd = -1;
  savePort(port.owner, port);
}

/** Forgets a port; whoever would have bound it finds nothing. */
export function dropPort(domain: Domain, port: number): void {
  const found = domain.ports.get(port);
  if (!found) return;
  domain.dropPort(port);
  found.owner.ports.delete(port);
  domain.vault.put(`O${domain.uid}.${port}`, undefined);
  if (found.heldFd >= 0) domain.vault.close(found.heldFd);
}

export function donateChan(host: GrantHost, conn: Connection, { message, fds }: Request): Reply {
  const request = decode(message);
  if (!conn.domain.privileged) throw new Refusal('EACCES', 'only a privileged domain may donate');
  const inner = host.peer(request.peer);
  const [fd] = fds;
  if (fd === undefined || fds.length !== 1) throw new Refusal('EINVAL', 'one descriptor expected');
  checkChannel(fd);
  const gift = { fd, pages: 0, fdOffset: 0, grefs: undefined };
  host.donations.add('channel', conn, inner, request, gift);
  fds.length = 0; // it is the donation's now
  return {};
}

function checkChannel(fd: number): void {
  let info: { domain: number; type: number };
  try {
    info = native.socketInfo(fd);
  } catch {
    throw new Refusal('EINVAL', 'the donated descriptor is no socket');
  }
  if (info.domain !== native.AF_UNIX || info.type !== native.SOCK_SEQPACKET) {
    throw new Refusal('EINVAL', 'the donated descriptor is no end of a channel');
  }
}
