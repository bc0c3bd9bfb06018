// SPDX-License-Identifier: MIT
import { NestfrontError } from '../errors.js';
import type { NativeChannel } from '../native.cjs';
import { DOMID_MAX, PORT_MAX, guarded, guardedSync, inRange, throwIfAborted } from './check.js';
import type { Domain } from './domain.js';

const PURPOSE_OTHER = 15;

/** One end of an event channel. It carries no data: an event says that there is news. */
export class EventChannel implements AsyncDisposable {
  readonly #native: NativeChannel;
  #waiting: (() => void) | undefined;
  #pending = 0;
  #over: NestfrontError | undefined;
  #watching = false;

  private constructor(native: NativeChannel) {
    this.#native = native;
    this.port = native.port;
    native.unref();
  }

  /** Number of this end, for the peer to bind to. */
  readonly port: number;

  /**
   * Allocates an unbound port that `peer` may bind to.
   * @param domain attached in this process
   */
  static async alloc(domain: Domain, peer: number): Promise<EventChannel> {
    inRange('peer', peer, 0, DOMID_MAX);
    const layer = domain.layer('channel.alloc');
    return new EventChannel(
      await guarded('channel.alloc', () => layer.allocChan(peer, 0, 0, PURPOSE_OTHER)),
    );
  }

  /**
   * Binds to a port that `peer` allocated for this domain.
   * @throws NestfrontError `NF_ENOENT`, `NF_EACCES` not for this domain, `NF_EBUSY` bound already
   */
  static async bind(domain: Domain, peer: number, port: number): Promise<EventChannel> {
    inRange('peer', peer, 0, DOMID_MAX);
    inRange('port', port, 0, PORT_MAX);
    const layer = domain.layer('channel.bind');
    return new EventChannel(await guarded('channel.bind', () => layer.bindChan(peer, port)));
  }

  /**
   * Tells the peer; merged with an event it has not seen yet.
   * @throws NestfrontError `NF_ENODEV` the peer hung up
   */
  send(): void {
    guardedSync('channel.send', () => this.#native.notify());
  }

  /**
   * Waits for events: yields how many were merged into each wake-up, ends when this end is closed.
   * One reader at a time.
   * @throws NestfrontError `NF_ENODEV` the peer hung up; `NF_EABORTED`
   */
  async *events(options: { readonly signal?: AbortSignal } = {}): AsyncGenerator<number, void> {
    const { signal } = options;
    const wake = (): void => this.#waiting?.();
    this.#watch();
    signal?.addEventListener('abort', wake);
    this.#native.ref();
    try {
      for (;;) {
        throwIfAborted(signal, 'channel.events');
        if (this.#pending > 0) {
          const count = this.#pending;
          this.#pending = 0;
          yield count;
        } else if (this.#over === undefined) {
          await new Promise<void>((resolve) => (this.#waiting = resolve));
        } else if (this.#over.code === 'NF_ECONNRESET') return;
        else throw this.#over;
      }
    } finally {
      this.#waiting = undefined;
      this.#native.unref();
      signal?.removeEventListener('abort', wake);
    }
  }

  /** The peer sees a hang-up. Idempotent. */
  async close(): Promise<void> {
    if (this.#over?.code === 'NF_ECONNRESET') return;
    this.#over = new NestfrontError('NF_ECONNRESET', 'channel', 'this end is closed');
    this.#waiting?.();
    await guarded('channel.close', () => this.#native.close());
  }

  [Symbol.asyncDispose](): Promise<void> {
    return this.close();
  }

  #watch(): void {
    if (this.#watching || this.#over !== undefined) return;
    this.#watching = true;
    this.#native.watch(
      (count) => {
        this.#pending += count;
        this.#waiting?.();
      },
      () => {
        this.#over ??= new NestfrontError('NF_ENODEV', 'channel.events', 'the peer hung up');
        this.#waiting?.();
      },
    );
  }
}
