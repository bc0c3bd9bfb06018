// SPDX-License-Identifier: MIT
import { connect } from 'node:net';
import type { Socket } from 'node:net';
import { once } from 'node:events';
import { NestfrontError, errorFromErrno, toNestfrontError } from '../errors.js';
import { inRange, within } from './check.js';
import { ByteReader } from './bytereader.js';

/** How a disk is opened. */
export interface DiskOptions {
  readonly signal?: AbortSignal;
  /** Milliseconds the server has to greet us. Default 10,000. */
  readonly timeoutMs?: number;
  /** Name of the export, where the server has one. Default: its only one. */
  readonly name?: string;
}

const GREETING_TIMEOUT_MS = 10_000;
const NBD_MAGIC = 0x4e42444d41474943n;
const IHAVEOPT = 0x49484156454f5054n;
const REQUEST = 0x25609513;
const REPLY = 0x67446698;
const COMMAND = { read: 0, write: 1, disc: 2, flush: 3, trim: 4, zero: 6 } as const;
const FLAG_READONLY = 2;
const FUA = 1;
/** Bytes of one request; what is longer goes in pieces. */
const PIECE = 1 << 20;

interface Waiting {
  readonly data: Buffer | undefined;
  readonly resolve: () => void;
  readonly reject: (error: unknown) => void;
}

/**
 * An open disk, over its front's NBD server. Calls may overlap; answers come in any order. Offsets
 * and lengths are in bytes, multiples of 512.
 */
export class Disk implements AsyncDisposable {
  /** Bytes, as they were when it was opened. */
  readonly bytes: number;
  readonly readonly: boolean;
  readonly #socket: Socket;
  readonly #reader: ByteReader;
  readonly #waiting = new Map<bigint, Waiting>();
  #next = 0n;
  #failed: NestfrontError | undefined;
  #closed: Promise<void> | undefined;

  private constructor(socket: Socket, reader: ByteReader, bytes: bigint, flags: number) {
    this.bytes = Number(bytes);
    this.readonly = (flags & FLAG_READONLY) !== 0;
    this.#socket = socket;
    this.#reader = reader;
    void this.#answers();
  }

  /**
   * Connects to an NBD server on a Unix socket.
   * @throws NestfrontError `NF_ENOENT`, `NF_EACCES`, `NF_EPROTO` it is not one, `NF_ETIMEDOUT`,
   *   `NF_EABORTED`
   */
  static async connect(path: string, options: DiskOptions = {}): Promise<Disk> {
    const op = `disk.open ${path}`;
    const socket = connect(path);
    const reader = new ByteReader(socket);
    const hello = async (): Promise<Disk> => {
      await once(socket, 'connect');
      const { bytes, flags } = await greet(socket, reader, options.name ?? '', op);
      return new Disk(socket, reader, bytes, flags);
    };
    try {
      return await within(hello(), op, {
        signal: options.signal,
        timeoutMs: options.timeoutMs ?? GREETING_TIMEOUT_MS,
        what: 'the server did not greet',
      });
    } catch (error) {
      socket.destroy();
      throw toNestfrontError(error, op);
    }
  }

  /** Reads. @throws NestfrontError `NF_EIO` …; RangeError beyond the end or not whole sectors */
  async read(offset: number, length: number): Promise<Buffer> {
    const data = Buffer.allocUnsafe(this.#range(offset, length));
    await this.#pieces(length, (at, n) =>
      this.#ask(COMMAND.read, 0, offset + at, n, { into: data.subarray(at, at + n) }),
    );
    return data;
  }

  /**
   * Writes; it is in the disk's cache then, durable after {@link flush} or with `fua`.
   * @param data borrowed until the promise settles
   * @throws NestfrontError `NF_EPERM` a read-only disk, `NF_ENOSPC`, `NF_EIO` …; RangeError
   */
  async write(offset: number, data: Uint8Array, options: { fua?: boolean } = {}): Promise<void> {
    const flags = options.fua === true ? FUA : 0;
    await this.#pieces(this.#range(offset, data.byteLength), (at, n) =>
      this.#ask(COMMAND.write, flags, offset + at, n, { from: data.subarray(at, at + n) }),
    );
  }

  /** What was written and answered before is durable after this. */
  async flush(): Promise<void> {
    await this.#ask(COMMAND.flush, 0, 0, 0);
  }

  /** Gives the range back; what it reads as is the disk's own. @throws as {@link write} */
  async discard(offset: number, length: number): Promise<void> {
    await this.#ask(COMMAND.trim, 0, offset, this.#range(offset, length));
  }

  /** Writes zeros. @throws as {@link write} */
  async zero(offset: number, length: number): Promise<void> {
    await this.#ask(COMMAND.zero, 0, offset, this.#range(offset, length));
  }

  /** Waits for what was asked, says good bye. Idempotent. */
  close(): Promise<void> {
    this.#closed ??= this.#close();
    return this.#closed;
  }

  [Symbol.asyncDispose](): Promise<void> {
    return this.close();
  }

  async #close(): Promise<void> {
    if (this.#failed === undefined) {
      this.#failed = new NestfrontError('NF_ENODEV', 'disk', 'it is closed');
      this.#socket.write(header(COMMAND.disc, 0, 0n, 0, 0));
    }
    const gone = new Promise((resolve) => this.#socket.once('close', resolve));
    if (!this.#socket.closed) await gone;
  }

  #range(offset: number, length: number): number {
    inRange('offset', offset, 0, this.bytes);
    inRange('length', length, 512, Math.min(this.bytes - offset, 0xffff_fe00));
    if (offset % 512 !== 0 || length % 512 !== 0)
      throw new RangeError(`offset ${offset} or length ${length} is no multiple of 512`);
    return length;
  }

  async #pieces(length: number, one: (at: number, n: number) => Promise<void>): Promise<void> {
    const all: Promise<void>[] = [];
    for (let at = 0; at < length; at += PIECE) all.push(one(at, Math.min(PIECE, length - at)));
    await Promise.all(all);
  }

  #ask(
    type: number,
    flags: number,
    offset: number,
    length: number,
    data: { readonly from?: Uint8Array; readonly into?: Buffer } = {},
  ): Promise<void> {
    if (this.#failed !== undefined) return Promise.reject(this.#failed);
    const cookie = this.#next++;
    return new Promise((resolve, reject) => {
      this.#waiting.set(cookie, { data: data.into, resolve, reject });
      this.#socket.write(header(type, flags, cookie, offset, length));
      if (data.from !== undefined) this.#socket.write(data.from);
    });
  }

  async #answers(): Promise<void> {
    try {
      for (;;) await this.#answer();
    } catch (error) {
      this.#failed ??= toNestfrontError(error, 'disk');
      for (const { reject } of this.#waiting.values()) reject(this.#failed);
      this.#waiting.clear();
      this.#socket.destroy();
    }
  }

  async #answer(): Promise<void> {
    const head = await this.#reader.take(16);
    const errno = head.readUInt32BE(4);
    const cookie = head.readBigUInt64BE(8);
    const waiting = this.#waiting.get(cookie);
    if (head.readUInt32BE(0) !== REPLY || waiting === undefined)
      throw new NestfrontError('NF_EPROTO', 'disk', 'an answer to nothing that was asked');
    if (errno === 0 && waiting.data !== undefined) await this.#reader.into(waiting.data);
    this.#waiting.delete(cookie);
    if (errno === 0) waiting.resolve();
    else waiting.reject(errorFromErrno(errno, 'disk', 'the disk answered with an error'));
  }
}

function header(
  type: number,
  flags: number,
  cookie: bigint,
  offset: number,
  length: number,
): Buffer {
  const h = Buffer.alloc(28);
  h.writeUInt32BE(REQUEST, 0);
  h.writeUInt16BE(flags, 4);
  h.writeUInt16BE(type, 6);
  h.writeBigUInt64BE(cookie, 8);
  h.writeBigUInt64BE(BigInt(offset), 16);
  h.writeUInt32BE(length, 24);
  return h;
}

/** The fixed newstyle handshake, by EXPORT_NAME: any server of that style knows it. */
async function greet(
  socket: Socket,
  reader: ByteReader,
  name: string,
  op: string,
): Promise<{ bytes: bigint; flags: number }> {
  const hello = await reader.take(18);
  if (hello.readBigUInt64BE(0) !== NBD_MAGIC || hello.readBigUInt64BE(8) !== IHAVEOPT)
    throw new NestfrontError('NF_EPROTO', op, 'it is no NBD server of the newstyle');
  const option = Buffer.alloc(20);
  option.writeUInt32BE(3, 0); // fixed newstyle, no zeroes
  option.writeBigUInt64BE(IHAVEOPT, 4);
  option.writeUInt32BE(1, 12); // EXPORT_NAME
  option.writeUInt32BE(Buffer.byteLength(name), 16);
  socket.write(option);
  if (name !== '') socket.write(name);
  const answer = await reader.take(10);
  return { bytes: answer.readBigUInt64BE(0), flags: answer.readUInt16BE(8) };
}
