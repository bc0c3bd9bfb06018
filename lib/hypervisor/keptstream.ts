// SPDX-License-Identifier: MIT
import { native, type NativeSeqSocket } from '../native.cjs';
import type { StoreSocket } from '../store/connection.js';
import { encodeMessage, XS } from '../store/wire.js';
import { Outbox } from './outbox.js';
import { TransactionLives } from './transactionlives.js';
import type { Vault } from './vault.js';

const HEADER_BYTES = 16;
const AT = { type: 0, reqId: 4, length: 12 };
/** How long half a request is left alone before we look for the rest. */
const HALF_MS = 5;
const HALF_MAX_MS = 100;

/** What a hypervisor's successor learns of a store connection. */
export interface StreamFact {
  domid: number;
  privileged: boolean;
  fd: number;
  /** Payloads of the WATCH requests that stand, each byte a character. */
  watches: string[];
}

/** A request that is carried out but perhaps not answered. */
export interface StreamPendingFact {
  reqId: number;
  /** Its answer, base64. */
  answer: string;
}

export interface RestoredStream {
  uid: number;
  fact: StreamFact;
  pending: StreamPendingFact | undefined;
  /** How often this hypervisor was restarted. */
  epoch: number;
}

type Listeners = { data: (chunk: Buffer) => void } & Record<
  'drain' | 'error' | 'end' | 'close',
  () => void
>;

/**
 * A store client's stream whose requests stay in the socket until they are answered, one at a time,
 * so that the next process goes on with it. That one registers the watches again, which fires each
 * once; a transaction that was open ends with EAGAIN.
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
  #pending: StreamPendingFact | undefined;
  /** Whole messages to write; the first ones may be the answer to what is still in the socket. */
  readonly #out = new Outbox();
  /** Bytes of the request being carried out; 0: none. */
  #inHand = 0;
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
    this.#pending = restored?.pending;
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
    this.#out.push(isEvent ? message : this.#lives.outward(message), taken);
    if (this.#inHand === 0) this.#flushSoon();
  }

  /** One request at a time is read anyway. */
  pause(): void {
    /* nothing to stop */
  }

  resume(): void {
    /* nothing was stopped */
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

  /** Carries the first request out once it is whole and nothing waits to go out. */
  #onBytes(data: Buffer, fds: number[]): void {
    for (const fd of fds) native.close(fd);
    const bytes = data.length < HEADER_BYTES ? 0 : HEADER_BYTES + data.readUInt32LE(AT.length);
    if (bytes > HEADER_BYTES + 4096) this.#listeners.data?.(data); // which refuses it
    if (this.#isClosed) return;
    if (bytes === 0 || data.length < bytes || this.#out.length > 0) return this.#lookLater();
    this.#halfMs = HALF_MS;
    const request = data.subarray(0, bytes);
    this.#inHand = bytes;
    const reqId = request.readUInt32LE(AT.reqId);
    if (this.#pending?.reqId === reqId) this.#out.push(Buffer.from(this.#pending.answer, 'base64'));
    else this.#vault.step(() => this.#carryOut(request, reqId));
    this.#pending = undefined;
    this.#flush();
  }

  #lookLater(): void {
    this.#timer = setTimeout(() => {
      if (!this.#isClosed) this.#socket.again();
    }, this.#halfMs);
    this.#halfMs = Math.min(this.#halfMs * 2, HALF_MAX_MS);
  }

  #carryOut(request: Buffer, reqId: number): void {
    const { pass, answer: doomed } = this.#lives.inward(request);
    if (doomed) this.#out.push(doomed);
    else this.#listeners.data?.(pass);
    const answer = this.#out.messages.find((m) => m.readUInt32LE(AT.type) !== XS.WATCH_EVENT);
    if (answer === undefined || this.#isClosed) return;
    this.#vault.put(`Q${this.uid}`, { reqId, answer: answer.toString('base64') });
    this.#note(request, answer.readUInt32LE(AT.type) === XS.ERROR);
  }

  /** Watches that a successor registers again. */
  #note(request: Buffer, isRefused: boolean): void {
    if (isRefused) return;
    const payload = request.toString('latin1', HEADER_BYTES);
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
