// SPDX-License-Identifier: MIT
import { native, type NativeSeqSocket } from '../native.cjs';
import type { StoreSocket } from '../store/connection.js';
import { encodeMessage, XS, XS_HEADER_BYTES } from '../store/wire.js';
import { Outbox } from './outbox.js';
import { AT, isTooLong, requestAt } from './streamrequests.js';
import type { RestoredStream, StreamFact, StreamPendingFact } from './streamrequests.js';
import { TransactionLives } from './transactionlives.js';
import type { Vault } from './vault.js';

/** How long half a request is left alone before we look for the rest. */
const HALF_MS = 5;
const HALF_MAX_MS = 100;
/** Requests that are carried out, answered and taken out of the socket together. */
const TOGETHER = 16;

type Listeners = { data: (chunk: Buffer) => void } & Record<
  'drain' | 'error' | 'end' | 'close',
  () => void
>;

/**
 * A store client's stream whose requests stay in the socket until they are answered, so that the
 * next process goes on with it: those that came together are carried out, written down and answered
 * together. The next process registers the watches again, which fires each once; a transaction that
 * was open ends with EAGAIN.
 */
export class KeptStream implements StoreSocket {
  readonly uid: number;
  readonly #vault: Vault;
  readonly #socket: NativeSeqSocket;
  readonly #fd: number;
  readonly #who: { domid: number; privileged: boolean };
  readonly #watches: Set<string>;
  readonly #listeners: Partial<Listeners> = {};
  readonly #lives: TransactionLives;
  /** A predecessor's answers, perhaps to what is in the socket now. */
  #pending: readonly StreamPendingFact[];
  /** Whole messages to write; the first ones may be answers to what is still in the socket. */
  readonly #out = new Outbox();
  /** Bytes of the requests being carried out; 0: none. */
  #inHand = 0;
  /** To the request that was handed on last. */
  #answer: Buffer | undefined;
  /** Our reader wants no more until what it said is out. */
  #isFull = false;
  #halfMs = HALF_MS;
  #timer: NodeJS.Timeout | undefined;
  #isBlocked = false;
  #isReplaying = false;
  #isFlushing = false;
  #isClosed = false;

  /** @param fd ownership passes */
  constructor(
    fd: number,
    vault: Vault,
    who: { domid: number; privileged: boolean },
    restored?: RestoredStream,
  ) {
    this.uid = restored?.uid ?? vault.nextUid();
    this.#vault = vault;
    this.#fd = fd;
    this.#who = who;
    this.#watches = new Set(restored?.fact.watches);
    this.#lives = new TransactionLives(restored?.epoch ?? 0);
    this.#pending = restored?.pending ?? [];
    this.#socket = new native.SeqSocket(
      fd,
      {
        onMessage: (data, fds) => this.#onBytes(data, fds),
        onClose: () => this.#hungUp(),
        onWritable: () => this.#flush(),
      },
      true,
    );
    vault.keep(fd);
    if (!restored) this.#save();
  }

  /** Registers the watches of an earlier life, once somebody listens. */
  replay(): void {
    this.#isReplaying = true;
    for (const payload of this.#watches)
      this.#listeners.data?.(encodeMessage(XS.WATCH, 0, 0, Buffer.from(payload, 'latin1')));
    this.#isReplaying = false;
    this.#flush();
  }

  on<E extends keyof Listeners>(event: E, listener: Listeners[E]): this {
    this.#listeners[event] = listener;
    return this;
  }

  get writableLength(): number {
    return this.#out.bytes;
  }

  /** One whole message: a reply or an event. */
  write(message: Buffer, taken?: () => void): void {
    const isEvent = message.readUInt32LE(AT.type) === XS.WATCH_EVENT;
    if (this.#isReplaying && !isEvent) return taken?.(); // nobody asked in this life
    if (!isEvent) this.#answer = this.#lives.outward(message);
    this.#out.push(isEvent ? message : this.#answer!, taken);
    if (this.#inHand === 0) this.#flushSoon();
  }

  /** The next requests are read when these are answered anyway. */
  pause(): void {
    this.#isFull = true;
  }

  resume(): void {
    this.#isFull = false;
  }

  /** Idempotent. */
  destroy(): void {
    if (this.#isFlushing && this.#inHand === 0) this.#flush();
    if (this.#isClosed) return;
    this.#isClosed = true;
    this.#release();
    this.#socket.close();
  }

  #release(): void {
    clearTimeout(this.#timer);
    this.#vault.step(() => {
      this.#vault.put(`S${this.uid}`, undefined);
      this.#vault.put(`Q${this.uid}`, undefined);
      this.#vault.forget(this.#fd);
    });
  }

  #hungUp(): void {
    if (this.#isClosed) return;
    this.#isClosed = true;
    this.#release();
    this.#listeners.close?.();
  }

  #save(): void {
    const fd = this.#vault.idOf(this.#fd);
    const fact: StreamFact = { ...this.#who, fd, watches: [...this.#watches] };
    this.#vault.put(`S${this.uid}`, fact);
  }

  /** Once the step that goes on is done: its events wake their reader together. */
  #flushSoon(): void {
    if (this.#isFlushing) return;
    this.#isFlushing = true;
    queueMicrotask(() => {
      this.#isFlushing = false;
      if (!this.#isClosed && this.#inHand === 0) this.#flush();
    });
  }

  /** Carries requests out once the first is whole and nothing waits to go out. */
  #onBytes(data: Buffer, fds: number[]): void {
    for (const fd of fds) native.close(fd);
    if (isTooLong(data)) this.#listeners.data?.(data); // which refuses it
    if (this.#isClosed) return;
    if (requestAt(data, 0) === undefined || this.#out.length > 0) return this.#lookLater();
    this.#halfMs = HALF_MS;
    this.#vault.step(() => this.#carryOutAll(data));
    this.#flush();
  }

  #lookLater(): void {
    this.#timer = setTimeout(() => {
      if (!this.#isClosed) this.#socket.again();
    }, this.#halfMs);
    this.#halfMs = Math.min(this.#halfMs * 2, HALF_MAX_MS);
  }

  /** All that came together, as far as our reader takes it. */
  #carryOutAll(data: Buffer): void {
    const former = new Map(this.#pending.map((fact) => [fact.reqId, fact]));
    const answered: StreamPendingFact[] = [];
    this.#pending = [];
    while (answered.length < TOGETHER && !(answered.length > 0 && this.#isFull)) {
      const request = requestAt(data, this.#inHand);
      if (request === undefined) break;
      this.#inHand += request.length;
      const reqId = request.readUInt32LE(AT.reqId);
      const fact = former.get(reqId) ?? this.#carryOut(request, reqId);
      if (former.delete(reqId)) this.#out.push(Buffer.from(fact!.answer, 'base64'));
      if (fact === undefined) break; // its answer comes later, or nobody is there to hear it
      answered.push(fact);
    }
    if (answered.length > 0 && !this.#isClosed) this.#vault.put(`Q${this.uid}`, answered);
  }

  #carryOut(request: Buffer, reqId: number): StreamPendingFact | undefined {
    const { pass, answer: doomed } = this.#lives.inward(request);
    this.#answer = doomed;
    if (doomed) this.#out.push(doomed);
    else this.#listeners.data?.(pass);
    const answer = this.#answer;
    if (answer === undefined || this.#isClosed) return undefined;
    this.#note(request, answer.readUInt32LE(AT.type) === XS.ERROR);
    return { reqId, answer: answer.toString('base64') };
  }

  /** Watches that a successor registers again. */
  #note(request: Buffer, isRefused: boolean): void {
    if (isRefused) return;
    const payload = request.toString('latin1', XS_HEADER_BYTES);
    switch (request.readUInt32LE(AT.type)) {
      case XS.WATCH:
        this.#watches.add(payload);
        return this.#save();
      case XS.UNWATCH:
        this.#watches.delete(payload);
        return this.#save();
      case XS.RESET_WATCHES:
        this.#watches.clear();
        return this.#save();
      default:
    }
  }

  /** Writes what waits; then the request leaves the socket and the next one is looked for. */
  #flush(): void {
    while (this.#out.length > 0 && !this.#isClosed) {
      const { data, count } = this.#out.first();
      try {
        if (!this.#socket.send(data)) {
          this.#isBlocked = true;
          return this.#socket.wantWritable();
        }
      } catch {
        this.#socket.close();
        return this.#hungUp();
      }
      this.#out.shift(count);
    }
    if (this.#isClosed) return;
    if (this.#inHand > 0) {
      const bytes = this.#inHand;
      this.#inHand = 0;
      this.#socket.consume(bytes);
    }
    if (!this.#isBlocked) return;
    this.#isBlocked = false;
    this.#listeners.drain?.();
  }
}
