// SPDX-License-Identifier: MIT
import { constants } from 'node:os';
import { native, type NativeSeqSocket } from '../native.cjs';
import type { Arena } from './arena.js';
import type { Answer, ConnectionFact, PendingFact, RestoredConnection } from './connectionfact.js';
import type { Domain } from './domain.js';
import type { Log } from './log.js';
import { MapBook } from './mapbook.js';
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

/**
 * One socket of a domain. What was made through it, arenas, mappings and ports, goes with it, as
 * with a process that closes its device file. One request at a time: the next is read when the
 * reply is out, so a peer that does not read holds up nobody but itself.
 */
export class Connection {
  readonly uid: number;
  readonly domain: Domain;
  readonly arenas = new Map<bigint, Arena>();
  readonly maps = new MapBook();
  readonly ports = new Set<number>();
  readonly #socket: NativeSeqSocket;
  readonly #fd: number;
  readonly #host: ConnectionHost;
  #greeted: boolean;
  /** The answer to the request that is still in the socket. */
  #answer: Answer | undefined;
  #unsent: (() => boolean) | undefined;
  #unread = 0;
  #timer: NodeJS.Timeout | undefined;
  #closed = false;

  /** @param fd ownership passes */
  constructor(domain: Domain, fd: number, host: ConnectionHost, restored?: RestoredConnection) {
    const { vault } = domain;
    this.uid = restored?.uid ?? vault.nextUid();
    this.domain = domain;
    this.#host = host;
    this.#fd = fd;
    this.#greeted = restored?.greeted ?? false;
    this.#answer = restored?.pending;
    // where a successor may take over a request stays in the socket until it is answered
    this.#socket = new native.SeqSocket(
      fd,
      {
        onMessage: (message, fds, truncated) => this.#onMessage(message, fds, truncated),
        onClose: () => this.close(),
        onWritable: () => this.#resend(),
      },
      vault.isKept,
    );
    vault.keep(fd);
    if (!restored) this.#save();
  }

  get greeted(): boolean {
    return this.#greeted;
  }

  greet(): void {
    this.#greeted = true;
    this.#save();
  }

  #save(): void {
    const { vault, uid } = this.domain;
    const fd = vault.idOf(this.#socket.fd);
    vault.put(`C${this.uid}`, { domain: uid, fd, greeted: this.#greeted } as ConnectionFact);
  }

  /** Idempotent; the host hears of it once. */
  close(): void {
    if (this.#closed) return;
    this.#closed = true;
    clearTimeout(this.#timer);
    this.#unsent = undefined;
    const { vault } = this.domain;
    vault.step(() => {
      this.#dropAnswer();
      vault.put(`C${this.uid}`, undefined);
      vault.forget(this.#fd); // also when the socket has closed it by itself
      this.#socket.close();
      try {
        this.#host.closed(this);
      } catch (error) {
        // a fault of ours in one domain's cleanup must not take the others down
        this.#host.log(`domain ${this.domain.domid}: cleanup: ${String((error as Error).stack)}`);
      }
    });
  }

  #onMessage(message: Buffer, fds: number[], truncated: boolean): void {
    try {
      const header = truncated ? undefined : decodeHeader(message);
      if (header === undefined) return this.#drop('sent what is no message');
      if (this.#unread > 0 && this.#socket.unread === 0) this.#unread = 0;
      if (++this.#unread > UNREAD_REPLIES_MAX) return this.#drop('does not read its replies');
      // a predecessor carried it out and did not live to tell, or nobody knows whether it did
      if (this.#answer?.seq !== header.seq) {
        this.#dropAnswer();
        this.domain.vault.step(() => this.#handle(header, { type: header.type, message, fds }));
      }
      if (this.#closed) return this.#dropAnswer();
      this.#send();
      this.#throttle();
    } finally {
      for (const fd of fds) native.close(fd);
    }
  }

  #handle(header: Header, request: Request): void {
    let reply: Reply;
    try {
      reply = this.#host.handle(this, request);
    } catch (thrown) {
      reply = { status: errnoOfThrown(thrown) };
      const why = thrown instanceof Refusal ? thrown.message : String((thrown as Error).stack);
      this.#host.log(`domain ${this.domain.domid}: request ${header.type} refused: ${why}`);
    }
    const body = reply.body ?? newReply(LAYOUT.nf_hv_header.size);
    finishReply(body, header, reply.status ?? 0);
    const { fds = [], ownFds = [] } = reply;
    this.#answer = { seq: header.seq, body, fds, ownFds };
    const { vault } = this.domain;
    if (!vault.isKept) return;
    for (const fd of ownFds) vault.keep(fd);
    const pending: PendingFact = {
      seq: header.seq,
      body: body.toString('base64'),
      fds: fds.map((fd) => vault.idOf(fd)),
      own: ownFds.map((fd) => vault.idOf(fd)),
    };
    vault.put(`P${this.uid}`, pending);
  }

  /** It was told, or there is nobody to tell. */
  #dropAnswer(): void {
    const { vault } = this.domain;
    for (const fd of this.#answer?.ownFds ?? []) vault.close(fd);
    this.#answer = undefined;
    vault.put(`P${this.uid}`, undefined);
  }

  #send(): void {
    let retries = IN_FLIGHT_RETRIES;
    const attempt = (): boolean => {
      const { body, fds, ownFds } = this.#answer!;
      try {
        if (!this.#socket.send(body, [...fds, ...ownFds])) {
          this.#socket.wantWritable();
          return false;
        }
      } catch (error) {
        const { errno } = error as NodeJS.ErrnoException;
        if (errno === -constants.errno.EPIPE || errno === -constants.errno.ECONNRESET) {
          this.close();
          return true;
        }
        if (String((error as NodeJS.ErrnoException).code) === 'ETOOMANYREFS' && retries-- > 0) {
          this.#timer = setTimeout(() => this.#resend(), 20);
          return false;
        }
        this.#drop(`can't be answered: ${(error as Error).message}`);
        return true;
      }
      if (this.domain.vault.isKept) this.#socket.consume(1);
      // only now: who is killed in between answers twice, which the domain knows by the number
      this.domain.vault.step(() => this.#dropAnswer());
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
