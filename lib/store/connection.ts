// SPDX-License-Identifier: MIT
import type { Account } from './account.js';
import type { Caller } from './perms.js';
import type { Transaction } from './transaction.js';
import type { Watch } from './watches.js';
import { encodeMessage, MessageReader, strings, XS, type XsMessage } from './wire.js';

/** Bytes of replies a client may leave unread before we stop listening to it. */
const BACKLOG_BYTES = 64 * 1024;
/** Different events, and their bytes, that wait for a client that does not read: then it goes. */
const EVENTS_MAX = 4096;
const EVENT_BYTES_MAX = 1024 * 1024;
/** Requests in a row before others get their turn. */
const REQUESTS_PER_TURN = 32;

/** What a connection needs of its stream: a net.Socket, or what stands for one. */
export interface StoreSocket {
  readonly writableLength: number;
  on(event: 'data', listener: (chunk: Buffer) => void): unknown;
  on(event: 'drain' | 'error' | 'end' | 'close', listener: () => void): unknown;
  /** One whole message; `taken` is called once the kernel has it. */
  write(message: Buffer, taken?: () => void): unknown;
  pause(): unknown;
  resume(): unknown;
  destroy(): unknown;
}

export interface StoreConnectionHost {
  /** Sends exactly one reply. */
  handle(connection: StoreConnection, message: XsMessage): void;
  closed(connection: StoreConnection, why: string | undefined): void;
}

/** One client's socket: bounded in what it may queue on us, whatever it does. */
export class StoreConnection {
  readonly account: Account;
  /** By path and token. */
  readonly watches = new Map<string, Watch>();
  readonly transactions = new Map<number, Transaction>();
  #nextTransaction = 1;
  readonly #socket: StoreSocket;
  readonly #host: StoreConnectionHost;
  readonly #reader = new MessageReader();
  /** Events not yet given to the socket: path and token, each once. */
  readonly #events = new Map<string, Buffer>();
  #eventBytes = 0;
  /** Replies the kernel has not taken yet. */
  #unread = 0;
  #scheduled = false;
  #stalled = false;
  #closed = false;

  constructor(socket: StoreSocket, account: Account, host: StoreConnectionHost) {
    this.#socket = socket;
    this.account = account;
    account.connections++;
    this.#host = host;
    socket.on('data', (chunk: Buffer) => {
      this.#reader.push(chunk);
      this.#run();
    });
    socket.on('drain', () => this.#run());
    socket.on('error', () => this.close());
    socket.on('end', () => this.close());
    socket.on('close', () => this.close());
  }

  get caller(): Caller {
    return this.account.caller;
  }

  /** One that names no open transaction. */
  freeTransactionId(): number {
    while (this.transactions.has(this.#nextTransaction)) this.#advance();
    const id = this.#nextTransaction;
    this.#advance();
    return id;
  }

  #advance(): void {
    this.#nextTransaction = (this.#nextTransaction % 0x7fffffff) + 1;
  }

  reply(request: XsMessage, payload: Buffer): void {
    this.#answer(encodeMessage(request.type, request.reqId, request.txId, payload));
  }

  replyError(request: XsMessage, code: string): void {
    this.#answer(encodeMessage(XS.ERROR, request.reqId, request.txId, strings(code)));
  }

  /** Equal events that still wait are one. */
  event(path: string, token: string): void {
    if (this.#closed) return;
    const payload = strings(path, token);
    const key = payload.toString('latin1');
    if (!this.#events.has(key)) this.#eventBytes += payload.length;
    this.#events.set(key, payload);
    if (this.#events.size > EVENTS_MAX || this.#eventBytes > EVENT_BYTES_MAX) {
      return this.close('does not read its watch events');
    }
    this.#schedule();
  }

  close(why?: string): void {
    if (this.#closed) return;
    this.#closed = true;
    this.#events.clear();
    this.account.outstanding -= this.#unread;
    this.#socket.destroy();
    this.#host.closed(this, why);
  }

  /** Nothing more is read from a client then. */
  get #backlogged(): boolean {
    const { caller, outstanding, limits } = this.account;
    if (!caller.privileged && outstanding >= limits.outstanding) return true;
    return this.#socket.writableLength > BACKLOG_BYTES;
  }

  #write(data: Buffer): void {
    if (!this.#closed) this.#socket.write(data);
  }

  /** What happened before a request was answered is told before its answer. */
  #answer(data: Buffer): void {
    this.#flushEvents();
    if (this.#closed) return;
    this.#unread++;
    this.account.outstanding++;
    this.#socket.write(data, () => {
      if (this.#closed) return;
      this.#unread--;
      this.account.outstanding--;
      if (this.#stalled && !this.#backlogged) this.#schedule();
    });
  }

  #schedule(): void {
    if (this.#scheduled) return;
    this.#scheduled = true;
    setImmediate(() => {
      this.#scheduled = false;
      this.#run();
    });
  }

  /** Answers what is there, then sends events; stops while the client does not read. */
  #run(): void {
    this.#stalled = false;
    try {
      for (let i = 0; i < REQUESTS_PER_TURN && !this.#closed && !this.#backlogged; i++) {
        const message = this.#reader.next();
        if (!message) {
          this.#flushEvents();
          if (!this.#closed) this.#socket.resume();
          return;
        }
        this.#host.handle(this, message);
      }
    } catch (error) {
      if (error instanceof RangeError) return this.close(`sent ${error.message}`);
      throw error;
    }
    if (this.#closed) return;
    // more to do: no new input until then; the kernel taking a reply or the next turn goes on
    this.#socket.pause();
    this.#flushEvents();
    this.#stalled = this.#backlogged;
    if (!this.#stalled) this.#schedule();
  }

  #flushEvents(): void {
    for (const [key, payload] of this.#events) {
      if (this.#closed || this.#backlogged) return;
      this.#events.delete(key);
      this.#eventBytes -= payload.length;
      this.#write(encodeMessage(XS.WATCH_EVENT, 0, 0, payload));
    }
  }
}
