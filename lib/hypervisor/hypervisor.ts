// SPDX-License-Identifier: MIT
import { native } from '../native.cjs';
import type { StoreRecord } from '../store/record.js';
import { StoreServer } from '../store/server.js';
import { allocChan, bindChan, closeChan, cutPort, donateChan, dropPort } from './channels.js';
import { Connection, type Reply, type Request } from './connection.js';
import { CONTROL_BYTES, Domain } from './domain.js';
import { Donations } from './donations.js';
import { alloc, donate, end, need, table } from './grants.js';
import { limited, type Log } from './log.js';
import { dropMaps, map, unmap } from './mappings.js';
import { KeptStream } from './keptstream.js';
import { HV, HV_VERSION, LAYOUT as L, newReply } from './protocol.js';
import { charge, QUOTA } from './quota.js';
import { Refusal } from './refusal.js';
import { TABLE_ENTRIES } from './table.js';
import { Vault } from './vault.js';

export interface HypervisorOptions {
  name: string;
  /** An inner layer numbers its own grants from the top: see GrantTable. */
  inner: boolean;
  log: Log;
  /** Where it keeps what a successor needs. Default: nothing is kept. */
  vault?: Vault;
}

/** One layer: its domains and its store. Knows nothing of sockets in the file system. */
export class Hypervisor {
  readonly name: string;
  readonly store: StoreServer;
  readonly domains = new Map<number, Domain>();
  readonly donations = new Donations();
  readonly inner: boolean;
  readonly vault: Vault;
  readonly log: Log;
  readonly #requestLog: Log;

  constructor({ name, inner, log, vault = new Vault() }: HypervisorOptions) {
    this.name = name;
    this.inner = inner;
    this.vault = vault;
    this.log = log;
    this.#requestLog = limited(log, 20);
    const kept = vault.isKept
      ? { journal: (records: readonly StoreRecord[]): void => vault.stored(records) }
      : {};
    this.store = new StoreServer({ log: this.#requestLog, ...kept });
  }

  createDomain(name: string, privileged: boolean, wanted?: number): Domain {
    return this.vault.step(() => this.#createDomain(name, privileged, wanted));
  }

  #createDomain(name: string, privileged: boolean, wanted?: number): Domain {
    const taken = [...this.domains.values()].find((d) => d.alive && d.name === name);
    if (taken) throw new Refusal('EEXIST', `domain ${taken.domid} is called ${name} already`);
    const domid = wanted ?? this.#freeDomid();
    const old = this.domains.get(domid);
    if (old?.alive) throw new Refusal('EEXIST', `domid ${domid} is ${old.name}'s`);
    const { vault, inner: topDown } = this;
    const isPrivileged = privileged || domid === 0;
    const domain = new Domain({ domid, name, privileged: isPrivileged, topDown, vault });
    old?.bury();
    this.domains.set(domid, domain);
    this.store.introduce(domid, name);
    this.log(`domain ${domid} (${name}) created`);
    return domain;
  }

  /** ENOENT when there is none or it is dead. */
  living(domid: number): Domain {
    const domain = this.domains.get(domid);
    if (!domain?.alive) throw new Refusal('ENOENT', `no domain ${domid}`);
    return domain;
  }

  /** A domain as another domain names it. */
  peer(domid: number): Domain {
    const domain = this.domains.get(domid);
    if (!domain?.alive) throw new Refusal('EACCES', `domain ${domid} is not there`);
    return domain;
  }

  /** A new connection of a domain; the returned descriptor is the caller's. */
  connect(domain: Domain): number {
    charge('connections', domain.connections.size);
    const [ours, theirs] = native.seqpacketPair();
    domain.connections.add(new Connection(domain, ours, this.host));
    domain.state = 'running';
    return theirs;
  }

  /** Forgets a domain, dead or alive, and its part of the store. */
  destroyDomain(domid: number): void {
    const domain = this.domains.get(domid);
    if (!domain) throw new Refusal('ENOENT', `no domain ${domid}`);
    this.vault.step(() => {
      this.#die(domain, 'destroyed');
      this.domains.delete(domid);
      domain.bury();
      this.store.forgetDomain(domid);
    });
  }

  close(): void {
    for (const domid of [...this.domains.keys()]) this.destroyDomain(domid);
    this.store.close();
  }

  /** @internal For connections. */
  readonly host = {
    handle: (conn: Connection, request: Request): Reply => this.#handle(conn, request),
    closed: (conn: Connection): void => this.#closed(conn),
    log: (line: string): void => this.#requestLog(line),
  };

  #handle(conn: Connection, request: Request): Reply {
    const { type, fds } = request;
    if (type !== HV.DONATE && type !== HV.CHAN_DONATE && fds.length > 0) {
      throw new Refusal('EINVAL', 'a descriptor nobody asked for');
    }
    if (type === HV.HELLO) return this.#hello(conn, request);
    if (!conn.greeted) throw new Refusal('EPROTO', 'the first request must be HELLO');
    const handler = handlers[type];
    if (!handler) throw new Refusal('ENOSYS', `request type ${type}`);
    return handler(this, conn, request);
  }

  #hello(conn: Connection, { message }: Request): Reply {
    need(message, L.nf_hv_hello.size);
    const l = L.nf_hv_hello_reply;
    const { domain } = conn;
    const body = newReply(l.size);
    body.writeUInt32LE(HV_VERSION, l.version);
    const version = message.readUInt32LE(L.nf_hv_hello.version);
    if (version !== HV_VERSION) {
      this.log(`domain ${domain.domid} speaks version ${version}, this is ${HV_VERSION}`);
      return { body, status: new Refusal('EPROTONOSUPPORT', '').errno };
    }
    body.writeUInt16LE(domain.domid, l.domid);
    body.writeUInt16LE(domain.privileged ? 1 : 0, l.privileged);
    body.writeUInt32LE(TABLE_ENTRIES, l.table_entries);
    body.writeUInt32LE(domain.countersBytes, l.counters_bytes);
    body.writeUInt32LE(CONTROL_BYTES, l.control_bytes);
    conn.greet();
    return { body, fds: [domain.table.fd, domain.countersFd, domain.controlReadonlyFd] };
  }

  /** A store connection as this domain; the returned descriptor is the caller's. */
  openStore(domain: Domain): number {
    const [ours, theirs] = native.streamPair();
    try {
      this.attachStore(ours, domain.domid, domain.privileged, QUOTA.storeConnections);
    } catch (error) {
      native.close(theirs);
      throw error;
    }
    return theirs;
  }

  /** Serves a store stream that a successor takes over. The descriptor is ours, also on failure. */
  attachStore(fd: number, domid: number, privileged: boolean, max = Infinity): void {
    const { vault, store } = this;
    const kept = vault.isKept ? new KeptStream(fd, vault, { domid, privileged }) : undefined;
    try {
      store.attach(kept ?? fd, domid, privileged, max);
    } catch (error) {
      if (kept) kept.destroy();
      else native.close(fd);
      throw error;
    }
  }

  #freeDomid(): number {
    for (let domid = 1; domid < 0x7ff0; domid++) if (!this.domains.has(domid)) return domid;
    throw new Refusal('ENOSPC', 'no domid is left');
  }

  #closed(conn: Connection): void {
    const { domain } = conn;
    this.#release(conn);
    domain.connections.delete(conn);
    if (domain.alive && domain.connections.size === 0) this.#die(domain, 'died');
  }

  /** What a process had goes with its connection. */
  #release(conn: Connection): void {
    for (const port of [...conn.ports]) dropPort(conn.domain, port);
    dropMaps(conn);
    for (const arena of conn.arenas.values()) arena.end();
    conn.arenas.clear();
    this.donations.forgetOwner(conn);
  }

  #die(domain: Domain, how: string): void {
    if (!domain.alive) return;
    domain.state = 'dead';
    for (const conn of [...domain.connections]) conn.close();
    this.donations.forget(domain);
    this.#hangUp(domain);
    this.store.domainGone(domain.domid);
    this.log(`domain ${domain.domid} (${domain.name}) ${how}`);
  }

  /** Ports that wait for a dead domain: their owners hear the hang-up. */
  #hangUp(dead: Domain): void {
    for (const domain of this.domains.values()) {
      for (const port of domain.ports.values()) {
        if (port.peer !== dead || port.heldFd < 0) continue;
        cutPort(port);
      }
    }
  }
}

type Handler = (hv: Hypervisor, conn: Connection, request: Request) => Reply;

const handlers: Record<number, Handler> = {
  [HV.CLONE]: (hv, conn, { message }) => {
    need(message, L.nf_hv_header.size);
    return { ownFds: [hv.connect(conn.domain)] };
  },
  [HV.STORE]: (hv, conn, { message }) => {
    need(message, L.nf_hv_header.size);
    return { ownFds: [hv.openStore(conn.domain)] };
  },
  [HV.ALLOC]: alloc,
  [HV.END]: (_hv, conn, request) => end(conn, request),
  [HV.DONATE]: donate,
  [HV.MAP]: map,
  [HV.UNMAP]: (hv, conn, request) =>
    unmap((domid) => hv.domains.get(domid) ?? hv.peer(domid), conn, request),
  [HV.CHAN_ALLOC]: allocChan,
  [HV.CHAN_BIND]: bindChan,
  [HV.CHAN_CLOSE]: (_hv, conn, request) => closeChan(conn, request),
  [HV.CHAN_DONATE]: donateChan,
  [HV.TABLE]: table,
};
