// SPDX-License-Identifier: MIT
import { EventEmitter } from 'node:events';
import { closeSync, readSync, writeSync } from 'node:fs';
import { native } from '../native.cjs';

const READ_BYTES = 4096 + 16;
const READS_A_TURN = 64;
const RETRY_MS = 5;

/** What a store client needs of its connection; a `net.Socket` has it. */
export interface StoreStream {
  on(event: 'data', listener: (chunk: Buffer) => void): unknown;
  on(event: 'error', listener: (error: Error) => void): unknown;
  on(event: 'close', listener: () => void): unknown;
  write(message: Buffer): unknown;
  ref(): unknown;
  unref(): unknown;
  destroy(): unknown;
}

interface Events {
  data: [chunk: Buffer];
  error: [error: Error];
  close: [];
}

/**
 * The kernel's `/dev/xen/xenbus` as a store connection: a guest has no socket. The kernel takes one
 * message a write and drops what follows it in the same one, so each message is written by itself.
 * Reads never block a thread: a store that does not answer leaves the process free to end.
 */
export class DeviceStream extends EventEmitter<Events> implements StoreStream {
  readonly #fd: number;
  readonly #watch: InstanceType<typeof native.FdWatch>;
  readonly #waiting: Buffer[] = [];
  readonly #buffer = Buffer.allocUnsafe(READ_BYTES);
  #retry: NodeJS.Timeout | undefined;
  #isOpen = true;

  /** @param fd opened for reading and writing; ownership passes */
  constructor(fd: number) {
    super();
    this.#fd = fd;
    this.#watch = new native.FdWatch(fd, () => this.#onReadable());
  }

  write(message: Buffer): void {
    if (!this.#isOpen) return;
    this.#waiting.push(message);
    if (this.#retry === undefined) this.#flush();
  }

  ref(): void {
    this.#watch.ref();
  }

  unref(): void {
    this.#watch.unref();
  }

  /** Idempotent; `close` is told later, as a socket does. */
  destroy(): void {
    if (!this.#isOpen) return;
    this.#isOpen = false;
    clearTimeout(this.#retry);
    this.#watch.close();
    closeSync(this.#fd);
    setImmediate(() => this.emit('close'));
  }

  #flush(): void {
    this.#retry = undefined;
    for (let next = this.#waiting[0]; next !== undefined && this.#isOpen; next = this.#waiting[0]) {
      const written = this.#try(() => writeSync(this.#fd, next));
      if (written === undefined) return;
      if (written === 'again') {
        this.#retry = setTimeout(() => this.#flush(), RETRY_MS);
        return;
      }
      if (written < next.length) this.#waiting[0] = next.subarray(written);
      else this.#waiting.shift();
    }
  }

  #onReadable(): void {
    for (let turn = 0; turn < READS_A_TURN && this.#isOpen; turn++) {
      const got = this.#try(() => readSync(this.#fd, this.#buffer));
      if (got === undefined || got === 'again') return;
      if (got === 0) return this.destroy();
      this.emit('data', Buffer.from(this.#buffer.subarray(0, got)));
    }
  }

  /** What the call gives; `again`: nothing now; undefined: it failed, and all is over. */
  #try(call: () => number): number | 'again' | undefined {
    try {
      return call();
    } catch (error) {
      const { code } = error as NodeJS.ErrnoException;
      if (code === 'EAGAIN') return 'again';
      this.emit('error', error as Error);
      this.destroy();
      return undefined;
    }
  }
}
