// SPDX-License-Identifier: MIT
import { native } from '../native.cjs';
import type { StoreRecord } from '../store/record.js';
import { PAGE_BYTES } from './protocol.js';

const MAGIC = 0x4a45464e;
const VERSION = 1;
const HEADER_BYTES = 64;
const WORD = { magic: 0, version: 1, bytes: 2 };
const FIRST_BYTES = 1 << 20;
/** Its room, in terms of what it begins with: what is written until then pays for a new one. */
const ROOM = 4;

/** One step: all of it happened, or nothing. */
export interface Batch {
  /** Facts that are new or changed, or (null) no more. */
  facts: [key: string, value: unknown][];
  store: StoreRecord[];
}

/**
 * Batches of JSON, one behind the other in a memfd. A batch counts from the moment the header says
 * that it is there, which is one store: a process killed at any instruction leaves whole batches.
 */
export class Journal {
  readonly fd: number;
  readonly #bytes: number;
  readonly #words: Uint32Array;
  readonly #data: Uint8Array;

  private constructor(fd: number, bytes: number) {
    this.fd = fd;
    this.#bytes = bytes;
    const memory = native.mapShared(fd, 0, bytes, true);
    this.#words = new Uint32Array(memory, 0, HEADER_BYTES / 4);
    this.#data = new Uint8Array(memory, HEADER_BYTES);
  }

  /** A new one that starts with this batch, with room for three times as much. */
  static create(first: Batch): Journal {
    const text = encode(first);
    const wanted = Math.max(FIRST_BYTES, ROOM * (HEADER_BYTES + text.length + 4));
    const pages = Math.ceil(wanted / PAGE_BYTES);
    const journal = new Journal(native.memfdCreate('nf-journal', pages), pages * PAGE_BYTES);
    journal.#words[WORD.magic] = MAGIC;
    journal.#words[WORD.version] = VERSION;
    if (!journal.#append(text)) throw new Error('unreachable: it has room for more');
    return journal;
  }

  /** One that a predecessor wrote. The descriptor stays the caller's. @throws Error it is none */
  static read(fd: number): Batch[] {
    const journal = new Journal(fd, native.fileBytes(fd));
    const words = journal.#words;
    if (words[WORD.magic] !== MAGIC || words[WORD.version] !== VERSION)
      throw new Error(`a journal of version ${words[WORD.version]}, this is ${VERSION}`);
    const data = Buffer.from(journal.#data.slice(0, Atomics.load(words, WORD.bytes)));
    const batches: Batch[] = [];
    for (let at = 0; at < data.length; ) {
      const bytes = data.readUInt32LE(at);
      batches.push(JSON.parse(data.toString('utf8', at + 4, at + 4 + bytes)) as Batch);
      at += 4 + bytes;
    }
    return batches;
  }

  /** False when there is no room: the caller begins a new journal. */
  append(batch: Batch): boolean {
    return this.#append(encode(batch));
  }

  close(): void {
    native.close(this.fd);
  }

  #append(text: Buffer): boolean {
    const end = Atomics.load(this.#words, WORD.bytes);
    if (HEADER_BYTES + end + 4 + text.length > this.#bytes) return false;
    const head = Buffer.alloc(4);
    head.writeUInt32LE(text.length);
    this.#data.set(head, end);
    this.#data.set(text, end + 4);
    Atomics.store(this.#words, WORD.bytes, end + 4 + text.length);
    return true;
  }
}

function encode(batch: Batch): Buffer {
  return Buffer.from(JSON.stringify(batch));
}
