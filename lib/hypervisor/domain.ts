// SPDX-License-Identifier: MIT
import { native } from '../native.cjs';
import type { DomainInfo } from './adminmsg.js';
import type { Arena } from './arena.js';
import type { Connection } from './connection.js';
import { PAGE_BYTES } from './protocol.js';
import { charge, Throttle } from './quota.js';
import { GrantTable } from './table.js';
import type { Vault } from './vault.js';

/** Room for 511 blocks; of a driver domain, which has one for each queue of every guest, 8,191. */
const COUNTERS_BYTES = { guest: 256 * 1024, driver: 4096 * 1024 } as const;
export const CONTROL_BYTES = PAGE_BYTES;
const CONTROL_MAGIC = 0x4e464354;

/** A port of a domain's event channels. */
export interface Port {
  port: number;
  peer: Domain;
  owner: Connection;
  /** The end the peer gets when it binds; -1 once it has, or when an outer layer's was donated. */
  heldFd: number;
}

/** What a hypervisor's successor learns of a domain: its pages by their numbers at the keeper. */
export interface DomainFact {
  domid: number;
  name: string;
  privileged: boolean;
  state: DomainInfo['state'];
  /** Nobody can name it any more; others' grants and mappings still do. */
  isGhost: boolean;
  table: number;
  counters: number;
  control: number;
  nextFrame: number;
}

export interface DomainOptions {
  domid: number;
  name: string;
  privileged: boolean;
  /** See GrantTable. */
  topDown: boolean;
  vault: Vault;
  /** One of a predecessor's, with its descriptors. */
  restored?: { uid: number; fact: DomainFact; fdOf(id: number): number };
}

/** What one domain has: its tables, grants, ports and connections. */
export class Domain {
  readonly uid: number;
  readonly vault: Vault;
  readonly domid: number;
  readonly name: string;
  readonly privileged: boolean;
  readonly table: GrantTable;
  readonly countersFd: number;
  readonly controlFd: number;
  /** For the domain itself. */
  readonly controlReadonlyFd: number;
  #state: DomainInfo['state'] = 'created';
  #isGhost = false;

  readonly connections = new Set<Connection>();
  readonly arenas = new Set<Arena>();
  /** Every grant number in use, also of ended arenas that are still mapped. */
  readonly grants = new Map<number, Arena>();
  readonly ports = new Map<number, Port>();
  /** Arenas others took back which this domain still maps. */
  readonly quarantine = new Set<Arena>();
  quarantinedPages = 0;
  pages = 0;
  /** Grants of others mapped here. */
  mappings = 0;
  nextFrame: number;
  /** Arenas, granted by it or to it, that are not given back. */
  references = 0;
  readonly throttle = new Throttle();
  /** All below it are taken. */
  #lowestPort = 1;
  readonly #closeMemory: (() => void)[] = [];

  constructor(o: DomainOptions) {
    const { domid, name, vault, restored } = o;
    this.domid = domid;
    this.name = name;
    this.privileged = o.privileged;
    this.vault = vault;
    this.uid = restored?.uid ?? vault.nextUid();
    const fact = restored?.fact;
    const fdOf = (id: number | undefined): number | undefined =>
      restored === undefined || !id ? undefined : restored.fdOf(id);
    const tableFd = fdOf(fact?.table);
    this.table =
      tableFd === undefined
        ? GrantTable.create(`nf-grants-${domid}`, o.topDown, vault)
        : GrantTable.restore(tableFd, o.topDown, vault);
    this.#closeMemory.push(() => this.table.close());
    try {
      this.countersFd = this.#memory(
        `nf-counters-${domid}`,
        this.countersBytes,
        fdOf(fact?.counters),
      );
      this.controlFd = this.#memory(`nf-control-${domid}`, CONTROL_BYTES, fdOf(fact?.control));
      new Uint32Array(native.mapShared(this.controlFd, 0, CONTROL_BYTES, true))[0] = CONTROL_MAGIC;
      this.controlReadonlyFd = readonlyFd(this.controlFd);
      this.#closeMemory.push(() => native.close(this.controlReadonlyFd));
    } catch (error) {
      this.closeMemory();
      throw error;
    }
    this.#state = fact?.state ?? 'created';
    this.nextFrame = fact?.nextFrame ?? 1;
    if (fact === undefined) this.save();
    else if (fact.isGhost) {
      this.#isGhost = true;
      this.closeMemory();
    }
  }

  get countersBytes(): number {
    return this.privileged ? COUNTERS_BYTES.driver : COUNTERS_BYTES.guest;
  }

  get state(): DomainInfo['state'] {
    return this.#state;
  }

  set state(state: DomainInfo['state']) {
    this.#state = state;
    this.save();
  }

  /** Tells the vault what changed. */
  save(): void {
    const { vault, table, domid, name, privileged, nextFrame } = this;
    const fact: DomainFact = {
      ...{ domid, name, privileged, nextFrame },
      state: this.#state,
      isGhost: this.#isGhost,
      table: vault.idOf(table.fd),
      counters: vault.idOf(this.countersFd),
      control: vault.idOf(this.controlFd),
    };
    vault.put(`D${this.uid}`, fact);
  }

  /** Nobody names it from now on: its pages go, and it too once no arena refers to it. */
  bury(): void {
    this.#isGhost = true;
    this.closeMemory();
    this.save();
    this.settle();
  }

  /** A ghost to which nothing refers any more is forgotten. */
  settle(): void {
    if (!this.#isGhost || this.references > 0) return;
    this.vault.put(`D${this.uid}`, undefined);
  }

  get alive(): boolean {
    return this.state !== 'dead';
  }

  /** Throws EDQUOT when it could not take so many pages more, granted or in quarantine. */
  chargePages(more: number): void {
    charge('pages', this.pages + this.quarantinedPages, more);
    charge('arenas', this.arenas.size + this.quarantine.size);
  }

  /** The lowest free port, from 1 on. */
  freePort(): number {
    charge('ports', this.ports.size, 1, this.privileged);
    while (this.ports.has(this.#lowestPort)) this.#lowestPort++;
    return this.#lowestPort;
  }

  dropPort(port: number): void {
    this.ports.delete(port);
    this.#lowestPort = Math.min(this.#lowestPort, port);
  }

  closeMemory(): void {
    for (const close of this.#closeMemory.splice(0)) close();
  }

  info(): DomainInfo {
    return {
      domid: this.domid,
      name: this.name,
      privileged: this.privileged,
      state: this.state,
      connections: this.connections.size,
      arenas: this.arenas.size,
      pages: this.pages,
      quarantinedPages: this.quarantinedPages,
      ports: this.ports.size,
      mappings: this.mappings,
    };
  }

  #memory(name: string, bytes: number, restored: number | undefined): number {
    const fd = restored ?? native.memfdCreate(name, bytes / PAGE_BYTES);
    this.#closeMemory.push(() => this.vault.close(fd));
    if (restored !== undefined) return fd;
    native.memfdSeal(fd, native.F_SEAL_SEAL);
    this.vault.keep(fd);
    return fd;
  }
}

/**
 * A descriptor that can't write through itself. The control page needs no more than that: it says
 * what this one domain should do, and nobody but that domain reads it.
 */
export function readonlyFd(fd: number): number {
  try {
    return native.reopenReadonly(fd);
  } catch {
    return native.dup(fd); // no /proc in this namespace
  }
}
