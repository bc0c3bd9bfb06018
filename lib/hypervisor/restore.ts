// SPDX-License-Identifier: MIT
// A hypervisor made anew from what its predecessor left with the keeper.
import { Arena, startArenaIds, type ArenaFact } from './arena.js';
import { addPort, type PortFact } from './channels.js';
import { Connection } from './connection.js';
import type { ConnectionFact, PendingFact, RestoredConnection } from './connectionfact.js';
import { Domain, type DomainFact } from './domain.js';
import type { DonationFact } from './donations.js';
import type { Hypervisor } from './hypervisor.js';
import { KeptStream } from './keptstream.js';
import type { StreamFact, StreamPendingFact } from './streamrequests.js';
import { restoreMaps, type MapFact } from './mappings.js';
import { fromRuns } from './runs.js';
import type { KeptVault, Remains } from './vault.js';

/** How often a hypervisor was restarted. */
export const EPOCH_FACT = 'E';

class Restorer {
  readonly #hv: Hypervisor;
  readonly #vault: KeptVault;
  readonly #remains: Remains;
  readonly #epoch: number;
  readonly #unused: Set<number>;
  readonly #domains = new Map<number, Domain>();
  readonly #connections = new Map<number, Connection>();
  readonly #arenas = new Map<string, Arena>();
  readonly #streams: KeptStream[] = [];

  constructor(hv: Hypervisor, vault: KeptVault, remains: Remains) {
    this.#hv = hv;
    this.#vault = vault;
    this.#remains = remains;
    this.#unused = new Set(remains.fds.keys());
    this.#epoch = ((remains.facts.get(EPOCH_FACT) as number | undefined) ?? 0) + 1;
  }

  run(): void {
    this.#vault.step(() => {
      this.#vault.put(EPOCH_FACT, this.#epoch);
      startArenaIds(this.#epoch);
      for (const [uid, fact] of this.#facts<DomainFact>('D')) this.#domain(Number(uid), fact);
      for (const [id, fact] of this.#facts<ArenaFact>('A')) this.#arena(id, fact);
      for (const [uid, fact] of this.#facts<ConnectionFact>('C')) this.#connection(uid, fact);
      this.#owned();
      this.#hv.store.restore(this.#remains.store);
      for (const [uid, fact] of this.#facts<StreamFact>('S')) this.#stream(uid, fact);
      this.#settle();
    });
  }

  /** What is left over belonged to a request that was not finished. */
  dropUnused(): void {
    for (const id of this.#unused) this.#vault.close(this.#remains.fds.get(id)!);
  }

  /** Takes a descriptor the journal names. */
  fdOf(id: number): number {
    const fd = this.#remains.fds.get(id);
    if (fd === undefined) throw new Error(`the keeper has no descriptor ${id}`);
    this.#unused.delete(id);
    return fd;
  }

  *#facts<T>(kind: string): Generator<[string, T], void> {
    for (const [key, fact] of this.#remains.facts) {
      if (!key.startsWith(kind)) continue;
      const id = key.slice(1);
      if (/^\d+$/.test(id) && kind !== 'A') this.#vault.startUidsAbove(Number(id));
      yield [id, fact as T];
    }
  }

  #domain(uid: number, fact: DomainFact): void {
    const { domid, name, privileged } = fact;
    const restored = { uid, fact, fdOf: (id: number): number => this.fdOf(id) };
    const topDown = this.#hv.inner;
    const domain = new Domain({ domid, name, privileged, topDown, vault: this.#vault, restored });
    this.#domains.set(uid, domain);
    if (!fact.isGhost) this.#hv.domains.set(domid, domain);
  }

  #domainOf(uid: number): Domain {
    const domain = this.#domains.get(uid);
    if (!domain) throw new Error(`no domain of number ${uid}`);
    return domain;
  }

  #arena(id: string, fact: ArenaFact): void {
    const grefs = fromRuns(fact.grefs);
    const granter = this.#domainOf(fact.granter);
    granter.table.takeExactly(grefs);
    const { fdOffset, key } = fact;
    const backing = { fd: this.fdOf(fact.fd), fdOffset, restored: { id: BigInt(id), fact } };
    this.#arenas.set(id, new Arena(granter, this.#domainOf(fact.grantee), key, grefs, backing));
  }

  #connection(id: string, fact: ConnectionFact): void {
    const pending = this.#pending(this.#remains.facts.get(`P${id}`) as PendingFact | undefined);
    const restored: RestoredConnection = {
      uid: Number(id),
      greeted: fact.greeted,
      ...(pending && { pending }),
    };
    const domain = this.#domainOf(fact.domain);
    const connection = new Connection(domain, this.fdOf(fact.fd), this.#hv.host, restored);
    domain.connections.add(connection);
    this.#connections.set(restored.uid, connection);
  }

  /** Undefined also where descriptors are gone, which happens only once it was answered. */
  #pending(fact: PendingFact | undefined): RestoredConnection['pending'] {
    const ids = [...(fact?.fds ?? []), ...(fact?.own ?? [])];
    if (!fact || !ids.every((id) => this.#remains.fds.has(id))) return undefined;
    const { seq, body, fds, own } = fact;
    return {
      seq,
      body: Buffer.from(body, 'base64'),
      fds: fds.map((id) => this.#remains.fds.get(id)!),
      ownFds: own.map((id) => this.fdOf(id)),
    };
  }

  /** Grants, mappings, ports and donations of the connections. */
  #owned(): void {
    for (const [id, arena] of this.#arenas) {
      const { owner } = this.#remains.facts.get(`A${id}`) as ArenaFact;
      if (owner !== 0) arena.adopt(this.#connections.get(owner)!);
    }
    for (const [id, fact] of this.#facts<MapFact>('M')) {
      const [connection = '', arena = '', readonly] = id.split('.');
      const found = this.#connections.get(Number(connection))!;
      restoreMaps(found, this.#arenas.get(arena)!, readonly === '1', fact);
    }
    for (const [, fact] of this.#facts<PortFact>('O')) {
      const held = fact.held === 0 ? -1 : this.fdOf(fact.held);
      const owner = this.#connections.get(fact.owner)!;
      addPort(owner, fact.port, this.#domainOf(fact.peer), held, true);
    }
    for (const [, fact] of this.#facts<DonationFact>('G')) {
      const owner = this.#connections.get(fact.owner)!;
      this.#hv.donations.restore(fact, owner, this.#domainOf(fact.inner), this.fdOf(fact.fd));
    }
  }

  #stream(id: string, fact: StreamFact): void {
    const uid = Number(id);
    const pending = (this.#remains.facts.get(`Q${id}`) ?? []) as StreamPendingFact[];
    const { domid, privileged } = fact;
    const restored = { uid, fact, pending, epoch: this.#epoch };
    const fd = this.fdOf(fact.fd);
    const stream = new KeptStream(fd, this.#vault, { domid, privileged }, restored);
    this.#hv.store.attach(stream, domid, privileged);
    stream.replay();
    this.#streams.push(stream);
  }

  /** What the facts imply: quarantine, entries of unfinished requests, ghosts nobody refers to. */
  #settle(): void {
    for (const arena of this.#arenas.values()) arena.settle();
    for (const domain of this.#domains.values()) {
      if (this.#hv.domains.get(domain.domid) === domain) domain.table.sweep();
      domain.settle();
    }
    const { domains } = this.#hv;
    this.#hv.log(
      `restarted: ${domains.size} domains, ${this.#connections.size} connections, ` +
        `${this.#arenas.size} arenas, ${this.#streams.length} store connections`,
    );
  }
}

/**
 * Fills a new hypervisor with what a predecessor left.
 * @returns what takes a further descriptor, and what ends the restoring
 * @throws Error what it left makes no sense
 */
export function restore(hv: Hypervisor, vault: KeptVault, remains: Remains): Restorer {
  const restorer = new Restorer(hv, vault, remains);
  restorer.run();
  return restorer;
}

export type { Restorer };
