// SPDX-License-Identifier: MIT
import { constants } from 'node:os';
import { native, type NativeSeqSocket } from '../native.cjs';
import type { Arena } from './arena.js';
import type { Domain } from './domain.js';
import type { Log } from './log.js';
import { decodeHeader, finishReply, LAYOUT, newReply, type Header } from './protocol.js';
import { errnoOfThrown, Refusal } from './refusal.js';

/** Replies a domain may leave unread before its connection is closed. */
const UNREAD_REPLIES_MAX = 4;
/** How often a reply is tried again when too many descriptors are in flight, 20 ms apart. */
const IN_FLIGHT_RETRIES = 100;

export interface Request {
  type: number;
  message: Buffer;
  /** A handler that keeps a descriptor takes it out; the others are closed afterwards. */
  fds: number[];
}

export interface Reply {
  /** With room for a header; undefined: a header only. */
  body?: Buffer;
  /** 0 or a negative errno that still carries a body. */
  status?: number;
  /** Lent for the time of sending; `ownFds` are closed afterwards. */
  fds?: number[];
  ownFds?: number[];
}

export interface ConnectionHost {
  handle(connection: Connection, request: Request): Reply;
  closed(connection: Connection): void;
  log: Log;
}

/** Grants mapped through one connection: [arena, gref, readonly], and how often. */
export interface MapRecord {
  arena: Arena;
  gref: number;
  count: number;
}

/**
 * One socket of a domain. What was made through it, arenas, mappings and ports, goes with it, as
 * with a process that closes its device file. One request at a time: the next is read when the
 * reply is out, so a peer that does not read holds up nobody but itself.
 */
export class Connection {
  readonly domain: Domain;
  readonly arenas = new Map<bigint, Arena>();
  readonly maps = new Map<number, MapRecord>();
  readonly ports = new Set<number>();
  greeted = false;
  readonly #socket: NativeSeqSocket;
  readonly #host: ConnectionHost;
  #unsent: (() => boolean) | undefined;
  #unread = 0;
  #timer: NodeJS.Timeout | undefined;
  #closed = false;

  /** @param fd ownership passes */
  constructor(domain: Domain, fd: number, host: ConnectionHost) {
    this.domain = domain;
    this.#host = host;
    this.#socket = new native.SeqSocket(fd, {
      onMessage: (message, fds, truncated) => this.#onMessage(message, fds, truncated),
      onClose: () => this.close(),
      onWritable: () => this.#resend(),
    });
  }

  /** Idempotent; the host hears of it once. */
  close(): void {
    if (this.#closed) return;
    this.#closed = true;
    clearTimeout(this.#timer);
    this.#unsent = undefined;
    this.#socket.close();
    try {
      this.#host.closed(this);
    } catch (error) {
      // a fault of ours in one domain's cleanup must not take the others down
      this.#host.log(`domain ${this.domain.domid}: cleanup: ${String((error as Error).stack)}`);
    }
  }

  #onMessage(message: Buffer, fds: number[], truncated: boolean): void {
    try {
      const header = truncated ? undefined : decodeHeader(message);
      if (header === undefined) return this.#drop('sent what is no message');
      if (this.#unread > 0 && this.#socket.unread === 0) this.#unread = 0;
      if (++this.#unread > UNREAD_REPLIES_MAX) return this.#drop('does not read its replies');
      this.#answer(header, { type: header.type, message, fds });
      this.#throttle();
    } finally {
      for (const fd of fds) native.close(fd);
    }
  }

  #answer(header: Header, request: Request): void {
    let reply: Reply;
    try {
      reply = this.#host.handle(this, request);
    } catch (thrown) {
      reply = { status: errnoOfThrown(thrown) };
      const why = thrown instanceof Refusal ? thrown.message : String((thrown as Error).stack);
      this.#host.log(`domain ${this.domain.domid}: request ${header.type} refused: ${why}`);
    }
    if (this.#closed) return closeAll(reply.ownFds);
    const body = reply.body ?? newReply(LAYOUT.nf_hv_header.size);
    finishReply(body, header, reply.status ?? 0);
    this.#send(body, reply);
  }

  #send(body: Buffer, reply: Reply): void {
    let retries = IN_FLIGHT_RETRIES;
    const attempt = (): boolean => {
      try {
        if (!this.#socket.send(body, [...(reply.fds ?? []), ...(reply.ownFds ?? [])])) {
          this.#socket.wantWritable();
          return false;
        }
      } catch (error) {
        const { errno } = error as NodeJS.ErrnoException;
        if (errno === -constants.errno.EPIPE || errno === -constants.errno.ECONNRESET) {
          closeAll(reply.ownFds);
          this.close();
          return true;
        }
        if (String((error as NodeJS.ErrnoException).code) === 'ETOOMANYREFS' && retries-- > 0) {
          this.#timer = setTimeout(() => this.#resend(), 20);
          return false;
        }
        closeAll(reply.ownFds);
        this.#drop(`can't be answered: ${(error as Error).message}`);
        return true;
      }
      closeAll(reply.ownFds);
      return true;
    };
    if (attempt()) return;
    this.#unsent = attempt;
    this.#socket.pause();
  }

  #resend(): void {
    if (this.#closed || !this.#unsent?.()) return;
    this.#unsent = undefined;
    if (!this.#closed) this.#socket.resume();
  }

  #throttle(): void {
    const wait = this.domain.throttle.take();
    if (wait === 0 || this.#closed || this.#unsent) return;
    this.#socket.pause();
    this.#timer = setTimeout(() => this.#socket.resume(), wait);
  }

  #drop(why: string): void {
    this.#host.log(`domain ${this.domain.domid}: connection closed: it ${why}`);
    this.close();
  }
}

function closeAll(fds: number[] | undefined): void {
  for (const fd of fds ?? []) native.close(fd);
}
