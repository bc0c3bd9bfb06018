// SPDX-License-Identifier: MIT
import { native } from '../native.cjs';
import type { StoreRecord } from '../store/record.js';
import { Journal } from './journal.js';
import type { Keeper } from './keeper.js';
import type { Log } from './log.js';
import { Refusal } from './refusal.js';

/** The journal's number at the keeper; all others come after. */
const JOURNAL_ID = 1;

/** What a predecessor left. */
export interface Remains {
  facts: Map<string, unknown>;
  store: StoreRecord[];
  /** Descriptors by their number at the keeper. */
  fds: Map<number, number>;
}

/** Where a hypervisor puts what its successor needs. The plain one keeps nothing. */
export class Vault {
  /** True: sockets are read so that a killed process loses no message of theirs. */
  readonly isKept: boolean;
  #uid = 0;

  constructor(isKept = false) {
    this.isKept = isKept;
  }

  /** A number no object of this hypervisor or its predecessors has. */
  nextUid(): number {
    return ++this.#uid;
  }

  /** Numbers go on above these. */
  startUidsAbove(uid: number): void {
    this.#uid = Math.max(this.#uid, uid);
  }

  /** The descriptor's number for a fact; 0: it is not kept. */
  idOf(_fd: number): number {
    return 0;
  }

  /** A copy of it lives on. `mapBytes`: words of it can be stored though a seal forbids us to. */
  keep(_fd: number, _mapBytes = 0): void {
    /* nothing is kept */
  }

  /** No copy lives on, from the end of this step; the descriptor itself stays open. */
  forget(_fd: number): void {
    /* nothing was kept */
  }

  /** `forget`, and closes it here. */
  close(fd: number): void {
    this.forget(fd);
    native.close(fd);
  }

  /** Writes a word of a kept and mapped memfd. */
  storeWord(_fd: number, _offset: number, _value: number): void {
    throw new Error('unreachable: only who was restarted writes this way');
  }

  /** A fact, or (undefined) no more. Values are JSON. */
  put(_key: string, _value: unknown): void {
    /* nothing is kept */
  }

  /** What the store holds from now on. */
  stored(_records: readonly StoreRecord[]): void {
    /* nothing is kept */
  }

  /** One step: its facts are kept together, before this returns. */
  step<T>(work: () => T): T {
    return work();
  }
}

/** Puts everything with a keeper, so that a process killed at any instruction has a successor. */
export class KeptVault extends Vault {
  readonly #keeper: Keeper;
  readonly #log: Log;
  readonly #ids = new Map<number, number>();
  readonly #facts = new Map<string, unknown>();
  #nextId = JOURNAL_ID + 1;
  #journal: Journal | undefined;
  #changed = new Map<string, unknown>();
  #records: StoreRecord[] = [];
  #drops: number[] = [];
  #depth = 0;
  #isUnsynced = false;
  #isGone = false;
  /** Everything the store holds. */
  snapshot: () => Iterable<StoreRecord> = () => [];

  constructor(keeper: Keeper, log: Log) {
    super(true);
    this.#keeper = keeper;
    this.#log = log;
  }

  /** What a predecessor left, or undefined: this is the first. Throws when it makes no sense. */
  remains(): Remains | undefined {
    const fds = this.#keeper.fetch();
    const journal = fds.get(JOURNAL_ID);
    if (journal === undefined) return undefined;
    const store: StoreRecord[] = [];
    for (const batch of Journal.read(journal)) {
      store.push(...batch.store);
      for (const [key, value] of batch.facts) {
        if (value === null) this.#facts.delete(key);
        else this.#facts.set(key, value);
      }
    }
    native.close(journal);
    fds.delete(JOURNAL_ID);
    for (const [id, fd] of fds) {
      this.#ids.set(fd, id);
      this.#nextId = Math.max(this.#nextId, id + 1);
    }
    return { facts: new Map(this.#facts), store, fds };
  }

  /** From here on what happens is written down. */
  begin(): void {
    this.#rewrite();
    this.#commit();
  }

  override idOf(fd: number): number {
    return this.#ids.get(fd) ?? 0;
  }

  override keep(fd: number, mapBytes = 0): void {
    if (this.#isGone || this.#ids.has(fd)) return;
    const id = this.#nextId++;
    this.#ids.set(fd, id);
    this.#tell(() => this.#keeper.put(id, fd, mapBytes));
  }

  override forget(fd: number): void {
    const id = this.#ids.get(fd);
    if (id === undefined) return;
    this.#ids.delete(fd);
    this.#drops.push(id);
    if (this.#depth === 0) this.#commit();
  }

  override storeWord(fd: number, offset: number, value: number): void {
    const id = this.idOf(fd);
    if (!this.#isGone) this.#tell(() => this.#keeper.store(id, offset, value >>> 0));
    this.#isUnsynced = true;
    if (this.#isGone)
      throw new Refusal('EIO', 'the grant table is sealed and its keeper gone: start anew');
  }

  override put(key: string, value: unknown): void {
    if (value === undefined && !this.#facts.has(key)) return;
    if (value === undefined) this.#facts.delete(key);
    else this.#facts.set(key, value);
    this.#changed.set(key, value ?? null);
    if (this.#depth === 0) this.#commit();
  }

  override stored(records: readonly StoreRecord[]): void {
    this.#records.push(...records);
    if (this.#depth === 0) this.#commit();
  }

  override step<T>(work: () => T): T {
    this.#depth++;
    try {
      return work();
    } finally {
      this.#depth--;
      if (this.#depth === 0) this.#commit();
    }
  }

  #commit(): void {
    if (this.#isUnsynced) {
      this.#isUnsynced = false;
      this.#tell(() => this.#keeper.sync());
    }
    const batch = { facts: [...this.#changed], store: this.#records };
    if (batch.facts.length > 0 || batch.store.length > 0) {
      this.#changed = new Map();
      this.#records = [];
      if (this.#journal?.append(batch) === false) this.#rewrite();
    }
    // last: until here the journal may name them, a predecessor's too
    if (!this.#journal) return;
    for (const id of this.#drops.splice(0)) this.#tell(() => this.#keeper.drop(id));
  }

  /** A new journal that holds what is, in place of one that holds how it came to be. */
  #rewrite(): void {
    if (this.#isGone) return;
    const former = this.#journal;
    this.#journal = Journal.create({ facts: [...this.#facts], store: [...this.snapshot()] });
    const { fd } = this.#journal;
    this.#tell(() => this.#keeper.put(JOURNAL_ID, fd, 0));
    former?.close();
  }

  /** A keeper that is gone costs the next restart, nothing else. */
  #tell(work: () => void): void {
    if (this.#isGone) return;
    try {
      work();
    } catch (error) {
      this.lost((error as Error).message);
    }
  }

  lost(why: string): void {
    if (this.#isGone) return;
    this.#isGone = true;
    this.#journal?.close();
    this.#journal = undefined;
    this.#log(`the keeper is gone (${why}): all goes on, but a restart would begin with nothing`);
  }
}
