// SPDX-License-Identifier: MIT
// Raw clients of a store: over a socket, or over the page a domain shares with a real xenstored.
import { closeSync, openSync, readSync, writeSync } from 'node:fs';
import type { Socket } from 'node:net';
import { encodeMessage, MessageReader, split, XS } from '../../../lib/store/wire.js';

export interface Answer {
  /** An errno's name, else undefined. */
  error: string | undefined;
  payload: string;
}

/** After so long there will be none. */
const PATIENCE_MS = 45_000;

/** Sends one request at a time and keeps the watch events that came before each reply. */
export abstract class Talker {
  readonly #reader = new MessageReader();
  #waiting: ((answer: Answer | undefined) => void) | undefined;
  #events: string[] = [];
  #nextId = 1;

  protected abstract send(bytes: Buffer): void;
  abstract close(): void;

  /** Undefined when the server hung up. */
  async request(type: number, payload: Buffer, txId = 0): Promise<Answer | undefined> {
    if (this.#waiting) throw new Error('one request at a time');
    const answer = new Promise<Answer | undefined>((resolve) => (this.#waiting = resolve));
    this.send(encodeMessage(type, this.#nextId++, txId, payload));
    let late: NodeJS.Timeout | undefined;
    const never = new Promise<never>((_resolve, reject) => {
      late = setTimeout(() => reject(new Error('a store does not answer')), PATIENCE_MS);
    });
    return Promise.race([answer, never]).finally(() => clearTimeout(late));
  }

  /** `path token` of those that came since the last call. */
  takeEvents(): string[] {
    const taken = this.#events;
    this.#events = [];
    return taken;
  }

  protected received(chunk: Buffer): void {
    this.#reader.push(chunk);
    for (let m = this.#reader.next(); m; m = this.#reader.next()) {
      const payload = Buffer.from(m.payload);
      if (m.type === XS.WATCH_EVENT) {
        this.#events.push(split(payload).slice(0, 2).join(' '));
        continue;
      }
      const error = m.type === XS.ERROR ? split(payload)[0] : undefined;
      this.#answer({ error, payload: payload.toString('latin1') });
    }
  }

  protected hungUp(): void {
    this.#answer(undefined);
  }

  #answer(answer: Answer | undefined): void {
    const resolve = this.#waiting;
    this.#waiting = undefined;
    resolve?.(answer);
  }
}

export class SocketTalker extends Talker {
  readonly #socket: Socket;

  constructor(socket: Socket) {
    super();
    this.#socket = socket;
    socket.on('data', (chunk: Buffer) => this.received(chunk));
    socket.on('error', () => undefined);
    socket.on('close', () => this.hungUp());
  }

  protected override send(bytes: Buffer): void {
    this.#socket.write(bytes);
  }

  override close(): void {
    this.#socket.destroy();
  }
}

/** Offsets in Xen's struct xenstore_domain_interface. */
const RING = { bytes: 1024, req: 0, rsp: 1024, reqCons: 2048, reqProd: 2052, rspCons: 2056 };
const RSP_PROD = 2060;

/** A domain's end of its store page, by reads and writes of the file that stands for it. */
export class RingTalker extends Talker {
  readonly #page: number;
  readonly #kick: () => void;
  #unsent = Buffer.alloc(0);
  #closed = false;

  /** @param kick tells the server that the page changed */
  constructor(path: string, kick: () => void) {
    super();
    this.#page = openSync(path, 'r+');
    this.#kick = kick;
    this.#turn();
  }

  protected override send(bytes: Buffer): void {
    this.#unsent = Buffer.concat([this.#unsent, bytes]);
    this.#produce();
  }

  override close(): void {
    this.#closed = true;
    closeSync(this.#page);
  }

  #turn(): void {
    if (this.#closed) return;
    if (this.#unsent.length > 0) this.#produce();
    this.#consume();
    setImmediate(() => this.#turn());
  }

  #word(offset: number): number {
    const word = Buffer.alloc(4);
    readSync(this.#page, word, 0, 4, offset);
    return word.readUInt32LE(0);
  }

  #setWord(offset: number, value: number): void {
    const word = Buffer.alloc(4);
    word.writeUInt32LE(value >>> 0, 0);
    writeSync(this.#page, word, 0, 4, offset);
  }

  #produce(): void {
    const prod = this.#word(RING.reqProd);
    const free = RING.bytes - ((prod - this.#word(RING.reqCons)) >>> 0);
    const part = this.#unsent.subarray(0, free);
    if (part.length === 0) return;
    this.#unsent = this.#unsent.subarray(part.length);
    part.forEach((byte, i) => {
      writeSync(this.#page, Buffer.of(byte), 0, 1, RING.req + ((prod + i) % RING.bytes));
    });
    this.#setWord(RING.reqProd, prod + part.length);
    this.#kick();
  }

  #consume(): void {
    const cons = this.#word(RING.rspCons);
    const count = (this.#word(RSP_PROD) - cons) >>> 0;
    if (count === 0) return;
    const ring = Buffer.alloc(RING.bytes);
    readSync(this.#page, ring, 0, RING.bytes, RING.rsp);
    const chunk = Buffer.alloc(count);
    for (let i = 0; i < count; i++) chunk[i] = ring[(cons + i) % RING.bytes] ?? 0;
    this.#setWord(RING.rspCons, cons + count);
    this.#kick();
    this.received(chunk);
  }
}
