// SPDX-License-Identifier: MIT
import { constants, fstatSync, openSync, statSync } from 'node:fs';
import { Socket, connect as netConnect } from 'node:net';
import { once } from 'node:events';
import { errorFromErrno, NestfrontError } from '../errors.js';
import { errnoOf, XsError } from './errno.js';
import { DeviceStream, type StoreStream } from './device.js';
import { checkPath, StoreView, type StoreCallOptions } from './view.js';
import { encodeMessage, MessageReader, split, strings, XS, type XsMessage } from './wire.js';
import { ClientTransaction } from './clienttransaction.js';
import { WatchQueue } from './watchqueue.js';

export { StoreView, type StoreCallOptions, type StorePermission } from './view.js';

export interface TransactionOptions extends StoreCallOptions {
  /** Runs after a conflict, 16 by default; then `NF_EAGAIN`. */
  retries?: number;
}

interface Pending {
  type: number;
  op: string;
  resolve(payload: Buffer): void;
  reject(error: Error): void;
}

const streamOf = (fd: number): StoreStream =>
  fstatSync(fd).isCharacterDevice() ? new DeviceStream(fd) : new Socket({ fd });

/**
 * Client of a xenstored: ours, or a real one through its socket or a guest's xenbus. Requests may
 * overlap. Everything rejects with `NF_ECONNRESET` once the server is gone.
 */
export class StoreClient extends StoreView implements AsyncDisposable {
  readonly #socket: StoreStream;
  readonly #reader = new MessageReader();
  readonly #pending = new Map<number, Pending>();
  readonly #watches = new Map<string, WatchQueue>();
  #nextId = 1;
  #nextToken = 1;
  #gone: NestfrontError | undefined;

  /** @param from a stream or xenbus descriptor (ownership passes) or a connected socket */
  constructor(from: number | Socket) {
    super();
    this.#socket = typeof from === 'number' ? streamOf(from) : from;
    this.#socket.on('data', (chunk: Buffer) => this.#onData(chunk));
    this.#socket.on('error', (error) => this.#fail('the store connection failed', error));
    this.#socket.on('close', () => this.#fail('the store is gone'));
    this.#socket.unref();
  }

  /** @param path of the server's socket, e.g. `/run/xenstored/socket`, or of `/dev/xen/xenbus` */
  static async connect(path: string, options: StoreCallOptions = {}): Promise<StoreClient> {
    if (statSync(path, { throwIfNoEntry: false })?.isCharacterDevice())
      return new StoreClient(openSync(path, constants.O_RDWR | constants.O_NONBLOCK));
    const socket = netConnect(path);
    try {
      await once(socket, 'connect', options);
      return new StoreClient(socket);
    } catch (error) {
      socket.destroy();
      const { errno, name } = error as NodeJS.ErrnoException;
      const cause = { cause: error };
      if (name === 'AbortError') {
        throw new NestfrontError('NF_EABORTED', 'store.connect', undefined, cause);
      }
      throw errorFromErrno(errno ?? 0, 'store.connect', `${path} does not answer`, cause);
    }
  }

  /**
   * Paths of changed nodes at or below `path`; the first comes at once, with `path` itself. Equal
   * events not yet taken are merged. Ends by `break`, `return()` or the signal (`NF_EABORTED`).
   */
  watch(path: string, options: StoreCallOptions = {}): AsyncGenerator<string, void> {
    const queue = new WatchQueue();
    const events = this.#watchLoop(checkPath(path), queue, options);
    const finish = events.return.bind(events);
    // also ends a next() that waits
    events.return = (value) => (queue.end(), finish(value));
    return events;
  }

  async *#watchLoop(
    path: string,
    queue: WatchQueue,
    { signal }: StoreCallOptions,
  ): AsyncGenerator<string, void> {
    const op = `watch ${path}`;
    const token = `nf${this.#nextToken++}`;
    const onAbort = (): void => queue.fail(this.#aborted(op, signal));
    if (signal?.aborted) throw this.#aborted(op, signal);
    signal?.addEventListener('abort', onAbort, { once: true });
    this.#watches.set(token, queue);
    const payload = strings(path, token);
    try {
      await this.request(XS.WATCH, payload, op, {});
      for (;;) {
        const next = queue.next();
        this.#hold();
        const changed = await next;
        this.#hold();
        if (changed === undefined) return;
        yield changed;
      }
    } finally {
      signal?.removeEventListener('abort', onAbort);
      this.#watches.delete(token);
      this.#hold();
      if (!this.#gone) await this.#unwatch(path, payload);
    }
  }

  async #unwatch(path: string, payload: Buffer): Promise<void> {
    try {
      await this.request(XS.UNWATCH, payload, `unwatch ${path}`, {});
    } catch (error) {
      const { code } = error as NestfrontError; // gone with the server, or never made
      if (code !== 'NF_ECONNRESET' && code !== 'NF_ENOENT') throw error;
    }
  }

  /**
   * Runs `body` in a transaction and commits; on a conflict everything is run again. `body` must do
   * its store work through `tx`. When it throws, the transaction is dropped.
   */
  async transaction<T>(
    body: (tx: StoreView) => Promise<T>,
    { retries = 16, ...options }: TransactionOptions = {},
  ): Promise<T> {
    for (let left = retries; ; left--) {
      if (options.signal?.aborted) throw this.#aborted('transaction', options.signal);
      const id = split(await this.request(XS.TRANSACTION_START, strings(''), 'transaction', {}));
      const tx = new ClientTransaction((...a) => this.#requestIn(...a), Number(id[0]));
      let result: T;
      try {
        result = await body(tx);
      } catch (error) {
        // a server that is gone dropped it already; the body's error is the one to tell
        await tx.end(false, {}).catch(() => undefined);
        throw error;
      }
      try {
        await tx.end(true, options);
        return result;
      } catch (error) {
        if ((error as NestfrontError).code !== 'NF_EAGAIN' || left <= 0) throw error;
      }
    }
  }

  /** Idempotent. Watches end and calls under way reject with `NF_ECONNRESET`. */
  close(): Promise<void> {
    this.#fail('the store connection was closed');
    this.#socket.destroy();
    return Promise.resolve();
  }

  [Symbol.asyncDispose](): Promise<void> {
    return this.close();
  }

  protected override request(
    type: number,
    payload: Buffer,
    op: string,
    options: StoreCallOptions,
  ): Promise<Buffer> {
    return this.#requestIn(0, type, payload, op, options);
  }

  /** One request in a transaction (0: none). */
  #requestIn(
    txId: number,
    type: number,
    payload: Buffer,
    op: string,
    { signal }: StoreCallOptions,
  ): Promise<Buffer> {
    if (this.#gone) return Promise.reject(this.#gone);
    if (signal?.aborted) return Promise.reject(this.#aborted(op, signal));
    const id = this.#nextId;
    this.#nextId = (this.#nextId % 0x7fffffff) + 1;
    return new Promise((resolve, reject) => {
      const onAbort = (): void => reject(this.#aborted(op, signal));
      const done = (): void => signal?.removeEventListener('abort', onAbort);
      signal?.addEventListener('abort', onAbort, { once: true });
      this.#pending.set(id, {
        type,
        op: `store.${op}`,
        resolve: (answer) => (done(), resolve(answer)),
        reject: (error) => (done(), reject(error)),
      });
      this.#hold();
      this.#socket.write(encodeMessage(type, id, txId, payload));
    });
  }

  /** The process stays alive for calls under way and iterators that wait. */
  #hold(): void {
    const waiting = [...this.#watches.values()].some((queue) => queue.waiting);
    if (this.#pending.size > 0 || waiting) this.#socket.ref();
    else this.#socket.unref();
  }

  #aborted(op: string, signal: AbortSignal | undefined): NestfrontError {
    const cause: unknown = signal?.reason;
    return new NestfrontError('NF_EABORTED', `store.${op}`, undefined, { cause });
  }

  #onData(chunk: Buffer): void {
    this.#reader.push(chunk);
    try {
      for (let m = this.#reader.next(); m; m = this.#reader.next()) this.#onMessage(m);
    } catch (error) {
      this.#fail('the store talks nonsense', error);
      this.#socket.destroy();
    }
    this.#hold();
  }

  #onMessage({ type, reqId, payload }: XsMessage): void {
    if (type === XS.WATCH_EVENT) {
      const [path = '', token = ''] = split(payload);
      this.#watches.get(token)?.push(path);
      return;
    }
    const pending = this.#pending.get(reqId);
    // again: a server killed after an answer cannot know that it was sent
    if (pending === undefined && reqId > 0 && reqId < this.#nextId) return;
    if (pending === undefined) throw new Error(`an answer to request ${reqId}, never made`);
    this.#pending.delete(reqId);
    if (type === pending.type) return pending.resolve(Buffer.from(payload));
    const name = split(payload)[0] ?? '';
    const message = `the store answers ${name}`;
    pending.reject(
      errorFromErrno(errnoOf(name), pending.op, message, { cause: new XsError(name) }),
    );
  }

  #fail(message: string, cause?: unknown): void {
    this.#gone ??= new NestfrontError('NF_ECONNRESET', 'store', message, { cause });
    for (const pending of this.#pending.values()) pending.reject(this.#gone);
    this.#pending.clear();
    for (const queue of this.#watches.values()) queue.fail(this.#gone);
  }
}
