// SPDX-License-Identifier: MIT
import { errorFromErrno, NestfrontError } from '../errors.js';
import { native, type NativeSeqSocket } from '../native.cjs';
import {
  ADMIN_VERSION,
  type AdminReply,
  type CreateDomainOptions,
  type DomainInfo,
  type HypervisorStats,
} from './adminmsg.js';
import type { Page } from './inspect.js';

export type { CreateDomainOptions, DomainInfo, HypervisorStats } from './adminmsg.js';

export interface CallOptions {
  /** Gives up waiting; the hypervisor still carries the request out. */
  signal?: AbortSignal;
}

interface Pending {
  op: string;
  resolve(answer: { result: unknown; fds: number[] }): void;
  reject(error: Error): void;
}

/**
 * The toolstack's end of a hypervisor's admin channel. Descriptors it returns are the caller's to
 * close. Every call rejects with a NestfrontError: `NF_ECONNRESET` when the hypervisor is gone,
 * `NF_EABORTED` on abort, `NF_ENOENT` for an unknown domid, `NF_EEXIST` for a taken name or domid.
 */
export class HypervisorClient implements AsyncDisposable {
  #socket: NativeSeqSocket;
  #isClosed = false;
  readonly #pending = new Map<number, Pending>();
  readonly #unsent: Buffer[] = [];
  #nextId = 1;
  #gone: NestfrontError | undefined;

  /** @param fd a connected admin socket; ownership passes */
  constructor(fd: number) {
    this.#socket = this.#open(fd);
  }

  #open(fd: number): NativeSeqSocket {
    const socket: NativeSeqSocket = new native.SeqSocket(fd, {
      onMessage: (data, fds) => this.#onMessage(data, fds),
      onClose: (errno) => {
        if (socket === this.#socket) this.#fail(`the hypervisor is gone (errno ${errno})`);
      },
      onWritable: () => this.#flush(),
    });
    socket.unref();
    return socket;
  }

  /**
   * Goes on with the process that took a dead one's place. Calls that were under way are rejected:
   * whether they were carried out, `listDomains` tells.
   * @param fd a connected admin socket; ownership passes
   */
  reattach(fd: number): void {
    this.#socket.close();
    this.#fail('the hypervisor was restarted');
    this.#unsent.length = 0;
    if (this.#isClosed) return native.close(fd);
    this.#gone = undefined;
    this.#socket = this.#open(fd);
  }

  /**
   * Connects to a running hypervisor's `admin.sock` and checks its version.
   * @param path of the socket
   */
  static async connect(path: string, options: CallOptions = {}): Promise<HypervisorClient> {
    let fd: number;
    try {
      fd = native.seqpacketConnect(path);
    } catch (error) {
      const { errno = 0 } = error as NodeJS.ErrnoException;
      throw errorFromErrno(errno, 'hypervisor.connect', `${path} does not answer`, {
        cause: error,
      });
    }
    const client = new HypervisorClient(fd);
    try {
      await client.hello(options);
      return client;
    } catch (error) {
      await client.close();
      throw error;
    }
  }

  /** Waits until the hypervisor answers. `NF_EVERSION` when it speaks another version. */
  async hello(options: CallOptions = {}): Promise<{ name: string; pid: number }> {
    const { result } = await this.#call('hello', { version: ADMIN_VERSION }, options);
    return result as { name: string; pid: number };
  }

  async createDomain(
    domain: CreateDomainOptions,
    options: CallOptions = {},
  ): Promise<{ domid: number }> {
    const { result } = await this.#call('createDomain', { ...domain }, options);
    return result as { domid: number };
  }

  /**
   * One more connection of a domain: what its process inherits as fd 3. The domain lives until all
   * its connections (and their copies in other processes) are closed.
   */
  connectDomain(domid: number, options: CallOptions = {}): Promise<number> {
    return this.#callFd('connectDomain', { domid }, options);
  }

  /** Ends its grants, channels and store nodes. Killing its processes is the caller's. */
  async destroyDomain(domid: number, options: CallOptions = {}): Promise<void> {
    await this.#call('destroyDomain', { domid }, options);
  }

  async listDomains(options: CallOptions = {}): Promise<DomainInfo[]> {
    return (await this.#call('listDomains', {}, options)).result as DomainInfo[];
  }

  /** One page, from its `from`th row on. */
  async page(op: 'listGrants' | 'listPorts', from: number): Promise<Page<unknown>> {
    return (await this.#call(op, { from }, {})).result as Page<unknown>;
  }

  /** The domain's counters memfd (nf/counters.h), read-only. */
  counters(domid: number, options: CallOptions = {}): Promise<number> {
    return this.#callFd('counters', { domid }, options);
  }

  /** The domain's control page (nf/control.h), for writing. */
  control(domid: number, options: CallOptions = {}): Promise<number> {
    return this.#callFd('control', { domid }, options);
  }

  /** A privileged xenstore stream: see StoreClient. */
  store(options: CallOptions = {}): Promise<number> {
    return this.#callFd('store', {}, options);
  }

  async stats(options: CallOptions = {}): Promise<HypervisorStats> {
    return (await this.#call('stats', {}, options)).result as HypervisorStats;
  }

  /** Asks the hypervisor to exit; resolves once it promised to. */
  async shutdown(options: CallOptions = {}): Promise<void> {
    await this.#call('shutdown', {}, options);
  }

  /** Idempotent. Calls under way reject with `NF_ECONNRESET`. */
  close(): Promise<void> {
    this.#isClosed = true;
    this.#socket.close();
    this.#fail('the admin channel was closed');
    return Promise.resolve();
  }

  [Symbol.asyncDispose](): Promise<void> {
    return this.close();
  }

  async #callFd(op: string, args: object, options: CallOptions): Promise<number> {
    const { fds } = await this.#call(op, args, options);
    const [fd, ...stray] = fds;
    for (const extra of stray) native.close(extra);
    if (fd !== undefined) return fd;
    throw new NestfrontError('NF_EPROTO', `hypervisor.${op}`, 'the answer holds no descriptor');
  }

  #call(
    op: string,
    args: object,
    { signal }: CallOptions,
  ): Promise<{ result: unknown; fds: number[] }> {
    if (this.#gone) return Promise.reject(this.#gone);
    if (signal?.aborted) return Promise.reject(this.#aborted(op, signal));
    const id = this.#nextId++;
    return new Promise((resolve, reject) => {
      const onAbort = (): void => {
        // the reply may still bring descriptors: keep the id so that they are closed
        this.#settle(id, { op, resolve: closeAll, reject: () => undefined });
        reject(this.#aborted(op, signal));
      };
      const done = (): void => signal?.removeEventListener('abort', onAbort);
      this.#settle(id, {
        op,
        resolve: (answer) => (done(), resolve(answer)),
        reject: (error) => (done(), reject(error)),
      });
      signal?.addEventListener('abort', onAbort, { once: true });
      this.#unsent.push(Buffer.from(JSON.stringify({ id, op, ...args })));
      this.#flush();
    });
  }

  #settle(id: number, pending: Pending): void {
    this.#pending.set(id, pending);
    this.#socket.ref(); // a call under way keeps the process alive
  }

  #aborted(op: string, signal: AbortSignal | undefined): NestfrontError {
    const cause: unknown = signal?.reason;
    return new NestfrontError('NF_EABORTED', `hypervisor.${op}`, undefined, { cause });
  }

  #flush(): void {
    for (let next = this.#unsent[0]; next; next = this.#unsent[0]) {
      try {
        if (!this.#socket.send(next)) return this.#socket.wantWritable();
      } catch (error) {
        this.#socket.close();
        return this.#fail('the hypervisor is gone', error);
      }
      this.#unsent.shift();
    }
  }

  #onMessage(data: Buffer, fds: number[]): void {
    let reply: AdminReply;
    try {
      reply = JSON.parse(data.toString()) as AdminReply;
      if (!reply.ok && typeof reply.errno !== 'number') throw new TypeError('no errno');
    } catch (error) {
      fds.forEach((fd) => native.close(fd));
      this.#socket.close();
      return this.#fail('the hypervisor talks nonsense', error);
    }
    const pending = this.#pending.get(reply.id);
    this.#pending.delete(reply.id);
    if (this.#pending.size === 0) this.#socket.unref();
    if (pending === undefined || !reply.ok) fds.forEach((fd) => native.close(fd));
    if (pending === undefined) return;
    if (reply.ok) return pending.resolve({ result: reply.result, fds });
    pending.reject(errorFromErrno(reply.errno, `hypervisor.${pending.op}`, reply.message));
  }

  #fail(message: string, cause?: unknown): void {
    this.#gone ??= new NestfrontError('NF_ECONNRESET', 'hypervisor', message, { cause });
    for (const pending of this.#pending.values()) pending.reject(this.#gone);
    this.#pending.clear();
  }
}

function closeAll(answer: { fds: number[] }): void {
  for (const fd of answer.fds) native.close(fd);
}
