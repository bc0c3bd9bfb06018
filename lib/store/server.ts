// SPDX-License-Identifier: MIT
import { Socket } from 'node:net';
import { StoreConnection, type StoreSocket } from './connection.js';
import { Account, usage } from './account.js';
import { removeOwned } from './domainrequests.js';
import { handle } from './handlers.js';
import { LIMITS, type Limits } from './limits.js';
import { remove, setPermissions, write, type Bounds } from './operations.js';
import { domainPath, INTRODUCE_DOMAIN, RELEASE_DOMAIN } from './path.js';
import { READ, type Caller, type Permissions } from './perms.js';
import { nodeRecord, replay, snapshot, type StoreRecord } from './record.js';
import { StoreError } from './storeerror.js';
import type { StoreState } from './request.js';
import { Tree } from './tree.js';
import { WatchIndex } from './watches.js';
import { dropAll } from './watchrequests.js';
import type { XsMessage } from './wire.js';

export interface StoreServerOptions {
  log: (line: string) => void;
  limits?: Partial<Limits>;
  /**
   * Called with the records of each request or call that changed something, before its reply is
   * sent: whoever keeps them, after a `snapshot()`, can make the same store again by `restore()`.
   */
  journal?: (records: readonly StoreRecord[]) => void;
}

const ROOT: Caller = { domid: 0, privileged: true };

/** A xenstored: one tree, any number of clients, Xen's wire protocol and semantics. */
export class StoreServer {
  readonly #log: (line: string) => void;
  readonly #connections = new Set<StoreConnection>();
  /** Of domains with connections, by domid; the toolstack's connections have one of their own. */
  readonly #accounts = new Map<number, Account>();
  readonly #state: StoreState;

  readonly #journal: ((records: readonly StoreRecord[]) => void) | undefined;
  /** For what the server does itself. */
  readonly #unbound: Bounds;
  #records: StoreRecord[] = [];

  constructor({ log, limits, journal }: StoreServerOptions) {
    this.#log = log;
    const watches = new WatchIndex();
    const special: Permissions = [{ domid: 0, bits: 0 }];
    this.#state = {
      tree: new Tree(
        (change) => watches.fire(change),
        (path, node) => this.#record(node ? nodeRecord(path, node) : { removed: path }),
      ),
      watches,
      limits: { ...LIMITS, ...limits },
      introduced: new Set([0]),
      specials: new Map([
        [INTRODUCE_DOMAIN, special],
        [RELEASE_DOMAIN, special],
      ]),
      targets: new Map(),
      journal: (record) => this.#record(record),
      log: (line) => this.#log(line),
      setTarget: (domid, target) => this.#setTarget(domid, target),
      usage: (domid) => usage(this.#state.tree, domid, this.#accounts.get(domid)),
      introduce: (domid) => this.introduce(domid),
      release: (domid) => this.domainGone(domid),
    };
    this.#unbound = { limits: this.#state.limits, charge: () => undefined };
    for (const path of ['/tool/xenstored', '/local/domain']) this.#write(path, '');
    this.#journal = journal;
  }

  /** What is in the store now, without its connections; lazy: take it within one turn. */
  snapshot(): Generator<StoreRecord, void> {
    return snapshot(this.#state);
  }

  /**
   * Adds what a snapshot and a journal hold, in their order; tells no watch and no journal. For a
   * new server, before its first connection.
   * @throws Error for a record that no server has written; the server is useless then
   */
  restore(records: Iterable<StoreRecord>): void {
    for (const record of records) replay(this.#state, record);
    this.#records = [];
  }

  get counts(): { connections: number; nodes: number; watches: number } {
    const { tree, watches } = this.#state;
    return { connections: this.#connections.size, nodes: tree.size, watches: watches.size };
  }

  /**
   * Serves a stream as a domain.
   * @param from a descriptor or a socket; ownership passes, but not on failure
   * @param connectionsMax StoreError ENOSPC when the domain has so many already
   */
  attach(
    from: number | StoreSocket,
    domid: number,
    privileged: boolean,
    connectionsMax = Infinity,
  ): void {
    const account = this.#account(domid, privileged);
    if (account.connections >= connectionsMax) throw new StoreError('ENOSPC');
    const socket = typeof from === 'number' ? new Socket({ fd: from }) : from;
    const connection = new StoreConnection(socket, account, this.#host);
    this.#connections.add(connection);
  }

  /** Makes a domain's node and tells who watches `@introduceDomain`. */
  introduce(domid: number, name?: string): void {
    this.#state.introduced.add(domid);
    this.#record({ introduced: domid });
    const path = domainPath(domid);
    this.#write(path, '');
    const permissions: Permissions = [
      { domid: 0, bits: 0 },
      { domid, bits: READ },
    ];
    const { tree } = this.#state;
    setPermissions(tree, path, permissions, ROOT, this.#unbound);
    if (name !== undefined) this.#write(`${path}/name`, name);
    this.#write(`${path}/domid`, String(domid));
    this.#flushJournal();
    this.#fireSpecial(INTRODUCE_DOMAIN);
  }

  /**
   * A domain died: its connections close, its nodes go, its rights to others' nodes too (its domid
   * may come again), and who watches `@releaseDomain` hears of it. Domid 0 keeps its nodes: the
   * whole store is its own.
   */
  domainGone(domid: number): void {
    this.#state.introduced.delete(domid);
    this.#state.targets.delete(domid);
    this.#record({ released: domid });
    for (const c of this.#connections) {
      // the toolstack's connections are domid 0's as well, but live on their own
      if (c.caller.domid === domid && domid !== 0) c.close();
    }
    if (domid !== 0) removeOwned(this.#state, domid);
    this.#flushJournal();
    this.#fireSpecial(RELEASE_DOMAIN);
  }

  /** Removes `/local/domain/<domid>`. */
  forgetDomain(domid: number): void {
    remove(this.#state.tree, domainPath(domid), ROOT);
    this.#flushJournal();
  }

  close(): void {
    for (const connection of [...this.#connections]) connection.close();
  }

  readonly #host = {
    handle: (connection: StoreConnection, message: XsMessage): void =>
      this.#handle(connection, message),
    closed: (connection: StoreConnection, why: string | undefined): void => {
      this.#connections.delete(connection);
      dropAll(this.#state, connection);
      const { account } = connection;
      const { domid } = account.caller;
      const last = --account.connections === 0;
      if (last && this.#accounts.get(domid) === account) this.#accounts.delete(domid);
      if (why) this.#log(`store client of domain ${domid} dropped: it ${why}`);
    },
  };

  #handle(connection: StoreConnection, message: XsMessage): void {
    try {
      const answer = handle(this.#state, connection, message);
      this.#flushJournal();
      connection.reply(message, answer);
    } catch (error) {
      this.#flushJournal(); // what it changed before it failed
      if (error instanceof StoreError) return connection.replyError(message, error.code);
      this.#log(`store request ${message.type} failed: ${String((error as Error).stack)}`);
      connection.replyError(message, 'EIO');
    }
  }

  #account(domid: number, privileged: boolean): Account {
    const found = this.#accounts.get(domid);
    if (found?.caller.privileged === privileged) return found;
    const { tree, limits, targets } = this.#state;
    const caller: Caller = { domid, privileged, target: targets.get(domid) };
    const made = new Account(caller, tree, limits);
    if (!found) this.#accounts.set(domid, made);
    return made;
  }

  #setTarget(of: number, target: number): void {
    this.#state.targets.set(of, target);
    this.#record({ target, of });
    const account = this.#accounts.get(of);
    if (account) account.caller.target = target;
  }

  #record(record: StoreRecord): void {
    if (this.#journal) this.#records.push(record);
  }

  #flushJournal(): void {
    if (this.#records.length === 0) return;
    const records = this.#records;
    this.#records = [];
    this.#journal?.(records);
  }

  #write(path: string, value: string): void {
    write(this.#state.tree, path, Buffer.from(value), ROOT, this.#unbound);
  }

  #fireSpecial(name: string): void {
    const permissions = this.#state.specials.get(name);
    if (permissions) this.#state.watches.fireSpecial(name, permissions);
  }
}
