// SPDX-License-Identifier: MIT
// A log of what a disk has acknowledged, sector by sector, against which its file is checked.
import { openSync, closeSync, readSync } from 'node:fs';

const SECTOR = 512;
const RECORD = 16;

/**
 * Every sector written says which it is and the how-manieth write of it this was. A sector of the
 * file must be whole, no older than its last acknowledged write and no newer than its last one.
 */
export class AckLog {
  readonly sectors: number;
  writes = 0;
  flushes = 0;
  readonly #tag: number;
  readonly #issued: Uint32Array;
  readonly #acked: Uint32Array;
  /** Acknowledged when a flush was asked for that was answered since. */
  readonly #flushed: Uint32Array;

  constructor(tag: number, bytes: number) {
    this.#tag = tag;
    this.sectors = bytes / SECTOR;
    this.#issued = new Uint32Array(this.sectors);
    this.#acked = new Uint32Array(this.sectors);
    this.#flushed = new Uint32Array(this.sectors);
  }

  /** The bytes of a write that is about to be asked for. */
  issue(sector: number, count: number): Buffer {
    const data = Buffer.allocUnsafe(count * SECTOR);
    for (let s = 0; s < count; s++) {
      const seq = (this.#issued[sector + s]! += 1);
      for (let at = s * SECTOR; at < (s + 1) * SECTOR; at += RECORD) {
        data.writeUInt32LE(this.#tag, at);
        data.writeUInt32LE(sector + s, at + 4);
        data.writeUInt32LE(seq, at + 8);
        data.writeUInt32LE((seq ^ at ^ 0x6e65_7374) >>> 0, at + 12);
      }
    }
    return data;
  }

  /** That write was answered; no other of these sectors was under way. */
  ack(sector: number, count: number): void {
    this.#acked.set(this.#issued.subarray(sector, sector + count), sector);
    this.writes += 1;
  }

  /** Asked for: what a flush covers. Answered: call what this returned. */
  flush(): () => void {
    const covered = Uint32Array.from(this.#acked);
    return () => {
      covered.forEach((seq, s) => (this.#flushed[s] = Math.max(this.#flushed[s]!, seq)));
      this.flushes += 1;
    };
  }

  /** What is wrong with the file, while writes go on; at most ten lines. */
  check(path: string): string[] {
    const least = this.#acked.map((seq, s) => Math.max(seq, this.#flushed[s]!));
    const data = Buffer.allocUnsafe(this.sectors * SECTOR);
    const fd = openSync(path, 'r');
    try {
      for (let at = 0, n = 1; at < data.length && n > 0; at += n)
        n = readSync(fd, data, at, data.length - at, at);
    } finally {
      closeSync(fd);
    }
    const wrong: string[] = [];
    for (let s = 0; s < this.sectors && wrong.length < 10; s++) {
      const what = this.#look(data, s, least[s]!);
      if (what !== undefined) wrong.push(`sector ${s}: ${what}`);
    }
    return wrong;
  }

  #look(data: Buffer, s: number, least: number): string | undefined {
    const seq = data.readUInt32LE(s * SECTOR + 8);
    const most = this.#issued[s]!;
    if (seq < least || seq > most)
      return `write ${seq} is there, ${least} was acknowledged, ${most} asked for`;
    if (seq === 0) return undefined; // never written: a hole
    for (let at = s * SECTOR; at < (s + 1) * SECTOR; at += RECORD) {
      if (data.readUInt32LE(at) !== this.#tag) return 'another disk wrote it';
      if (data.readUInt32LE(at + 4) !== s) return `it has bytes of ${data.readUInt32LE(at + 4)}`;
      if (data.readUInt32LE(at + 8) !== seq) return 'it is of two writes';
    }
    return undefined;
  }
}
