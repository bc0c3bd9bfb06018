// SPDX-License-Identifier: MIT
import { Socket } from 'node:net';
import { StoreConnection } from './connection.js';
import { handlers, type StoreState } from './handlers.js';
import { remove, removeTree, setPermissions, write } from './operations.js';
import { domainPath, INTRODUCE_DOMAIN, RELEASE_DOMAIN } from './path.js';
import { formatPermission, READ, without, type Caller, type Permissions } from './perms.js';
import { nodeRecord, replay, snapshot, type StoreRecord } from './record.js';
import { StoreError } from './storeerror.js';
import { LIMITS, Tree, type Limits } from './tree.js';
import { WatchIndex } from './watches.js';
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
  readonly #state: StoreState;

  readonly #journal: ((records: readonly StoreRecord[]) => void) | undefined;
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
      introduce: (domid) => this.introduce(domid),
      release: (domid) => this.domainGone(domid),
    };
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
    from: number | Socket,
    domid: number,
    privileged: boolean,
    connectionsMax = Infinity,
  ): void {
    let count = 0;
    for (const c of this.#connections) if (c.caller.domid === domid) count++;
    if (count >= connectionsMax) throw new StoreError('ENOSPC');
    const socket = typeof from === 'number' ? new Socket({ fd: from }) : from;
    const connection = new StoreConnection(socket, { domid, privileged }, this.#host);
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
    const { tree, limits } = this.#state;
    setPermissions(tree, path, permissions, ROOT, limits);
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
    if (domid !== 0) this.#removeOwned(domid);
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
      for (const watch of connection.watches.values()) this.#state.watches.remove(watch);
      connection.watches.clear();
      connection.transactions.clear();
      if (why) this.#log(`store client of domain ${connection.caller.domid} dropped: it ${why}`);
    },
  };

  #handle(connection: StoreConnection, message: XsMessage): void {
    try {
      const handler = handlers[message.type];
      if (!handler) throw new StoreError('ENOSYS');
      const answer = handler(this.#state, connection, message);
      this.#flushJournal();
      connection.reply(message, answer);
    } catch (error) {
      this.#flushJournal(); // what it changed before it failed
      if (error instanceof StoreError) return connection.replyError(message, error.code);
      this.#log(`store request ${message.type} failed: ${String((error as Error).stack)}`);
      connection.replyError(message, 'EIO');
    }
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
    write(this.#state.tree, path, Buffer.from(value), ROOT, this.#state.limits);
  }

  #fireSpecial(name: string): void {
    const permissions = this.#state.specials.get(name);
    if (permissions) this.#state.watches.fireSpecial(name, permissions);
  }

  #removeOwned(domid: number): void {
    const { tree, specials } = this.#state;
    for (const [path, node] of [...tree.entries()]) {
      const current = tree.get(path);
      if (!current) continue; // went with its parent
      if (current.permissions[0].domid === domid && path !== '/') {
        removeTree(tree, path, current);
        continue;
      }
      const permissions = without(node.permissions, domid);
      if (permissions !== node.permissions) tree.set(path, { ...current, permissions });
    }
    for (const [name, permissions] of specials) {
      const left = without(permissions, domid);
      specials.set(name, left);
      if (left !== permissions) {
        this.#record({ special: name, permissions: left.map(formatPermission) });
      }
    }
  }
}
