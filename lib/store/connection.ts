// SPDX-License-Identifier: MIT
import type { Socket } from 'node:net';
import type { Caller } from './perms.js';
import type { Transaction } from './tree.js';
import type { Watch } from './watches.js';
import { encodeMessage, MessageReader, strings, XS, type XsMessage } from './wire.js';

/** Bytes of replies a client may leave unread before we stop listening to it. */
const BACKLOG_BYTES = 64 * 1024;
/** Different events that wait for a client that does not read; beyond, it is dropped. */
const EVENTS_MAX = 4096;
/** Requests in a row before others get their turn. */
const REQUESTS_PER_TURN = 32;

export interface StoreConnectionHost {
  /** Sends exactly one reply. */
  handle(connection: StoreConnection, message: XsMessage): void;
  closed(connection: StoreConnection, why: string | undefined): void;
}

/** One client's socket: bounded in what it may queue on us, whatever it does. */
export class StoreConnection {
  readonly caller: Caller;
  /** By path and token. */
  readonly watches = new Map<string, Watch>();
  readonly transactions = new Map<number, Transaction>();
  nextTransaction = 1;
  readonly #socket: Socket;
  readonly #host: StoreConnectionHost;
  readonly #reader = new MessageReader();
  /** Events not yet given to the socket: path and token, each once. */
  readonly #events = new Map<string, Buffer>();
  #scheduled = false;
  #closed = false;

  constructor(socket: Socket, caller: Caller, host: StoreConnectionHost) {
    this.#socket = socket;
    this.caller = caller;
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

  reply(request: XsMessage, payload: Buffer): void {
    this.#write(encodeMessage(request.type, request.reqId, request.txId, payload));
  }

  replyError(request: XsMessage, code: string): void {
    this.#write(encodeMessage(XS.ERROR, request.reqId, request.txId, strings(code)));
  }

  /** Equal events that still wait are one. */
  event(path: string, token: string): void {
    if (this.#closed) return;
    const payload = strings(path, token);
    this.#events.set(payload.toString('latin1'), payload);
    if (this.#events.size > EVENTS_MAX) return this.close('does not read its watch events');
    this.#schedule();
  }

  close(why?: string): void {
    if (this.#closed) return;
    this.#closed = true;
    this.#events.clear();
    this.#socket.destroy();
    this.#host.closed(this, why);
  }

  get #backlogged(): boolean {
    return this.#socket.writableLength > BACKLOG_BYTES;
  }

  #write(data: Buffer): void {
    if (!this.#closed) this.#socket.write(data);
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
    // more to do: no new input until then; drain or the next turn goes on
    this.#socket.pause();
    this.#flushEvents();
    if (!this.#backlogged) this.#schedule();
  }

  #flushEvents(): void {
    for (const [key, payload] of this.#events) {
      if (this.#closed || this.#backlogged) return;
      this.#events.delete(key);
      this.#write(encodeMessage(XS.WATCH_EVENT, 0, 0, payload));
    }
  }
}
