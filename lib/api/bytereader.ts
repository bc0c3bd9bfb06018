// SPDX-License-Identifier: MIT
import type { Socket } from 'node:net';
import { NestfrontError, toNestfrontError } from '../errors.js';

interface Want {
  readonly into: Buffer;
  filled: number;
  readonly resolve: (buffer: Buffer) => void;
  readonly reject: (error: unknown) => void;
}

/** Bytes of a stream by number: one taker at a time, each byte copied once to where it goes. */
export class ByteReader {
  readonly #socket: Socket;
  #chunks: Buffer[] = [];
  #want: Want | undefined;
  #ended: NestfrontError | undefined;

  constructor(socket: Socket) {
    this.#socket = socket;
    socket.on('data', (chunk: Buffer) => this.#take(chunk));
    socket.on('error', (error) => this.#end(toNestfrontError(error, 'disk')));
    socket.on('close', () =>
      this.#end(new NestfrontError('NF_ENODEV', 'disk', 'the server closed the connection')),
    );
  }

  take(bytes: number): Promise<Buffer> {
    return this.into(Buffer.alloc(bytes));
  }

  /** Fills a buffer; rejects when the stream ends first. */
  into(buffer: Buffer): Promise<Buffer> {
    return new Promise((resolve, reject) => {
      this.#want = { into: buffer, filled: 0, resolve, reject };
      const chunks = this.#chunks;
      this.#chunks = [];
      for (const chunk of chunks) this.#take(chunk);
      if (this.#want === undefined) return;
      if (this.#ended !== undefined) this.#end(this.#ended);
      else this.#socket.resume();
    });
  }

  #take(chunk: Buffer): void {
    const want = this.#want;
    if (want === undefined) {
      this.#chunks.push(chunk);
      this.#socket.pause(); // nobody waits: the sender does
      return;
    }
    const n = chunk.copy(want.into, want.filled);
    want.filled += n;
    if (n < chunk.length) this.#chunks.push(chunk.subarray(n));
    if (want.filled === want.into.length) {
      this.#want = undefined;
      want.resolve(want.into);
    } else {
      this.#socket.resume();
    }
  }

  #end(error: NestfrontError): void {
    this.#ended ??= error;
    const want = this.#want;
    this.#want = undefined;
    want?.reject(this.#ended);
  }
}
