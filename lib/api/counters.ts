// SPDX-License-Identifier: MIT
import { NestfrontError } from '../errors.js';
import { counterTable } from '../generated/counters.js';
import * as n from '../generated/layout.js';
import { Latency } from './latency.js';
import { BLOCK, HEADER, grantsName, kindName, modeName, stateName } from './layout.js';
import type { BlockGrants, BlockKind, BlockMode, XenbusState } from './layout.js';
import { mapCounters } from './memory.js';

/** Name of one counter, see `drivers/include/nf/counters.def`. */
export type CounterName = (typeof counterTable)[number]['name'];
/** One number a counter; exact up to 2^53. */
export type CounterValues = Record<CounterName, number>;

/** Every counter's name and meaning, in the order of the words. */
export const counterInfo: readonly Readonly<{ name: CounterName; help: string }>[] = counterTable;

const indexOf = new Map<string, number>(counterTable.map((entry, index) => [entry.name, index]));
const SEQLOCK_SPINS = 1_000;
const SEQLOCK_MS = 500; // a writer may be preempted in the middle, on a busy machine for long
const pause = new Int32Array(new SharedArrayBuffer(4));

/** What a block counts: one queue of one device. */
export interface BlockHeader {
  /** Position in the page, stable while the device lives. */
  readonly index: number;
  readonly kind: BlockKind;
  readonly mode: BlockMode;
  readonly grants: BlockGrants;
  readonly state: XenbusState;
  /** Domid at the other end. */
  readonly peer: number;
  readonly devid: number;
  readonly queue: number;
  /** Of a `direct` device: whether the backend confines it; `undefined` on others. */
  readonly confined: boolean | undefined;
  /** Connections made so far. */
  readonly generation: number;
  /** The sticky error that stopped the device, a negative errno; 0 none. */
  readonly error: number;
  /** Of a latency block: the kind of block whose device it times; `undefined` on others. */
  readonly of: BlockKind | undefined;
}

/** Which blocks are meant; a key left out matches all. */
export interface BlockFilter {
  readonly kind?: BlockKind;
  readonly devid?: number;
  readonly queue?: number;
  readonly peer?: number;
  /** Latency blocks only: what they time, a disk or a network device of the same numbers. */
  readonly of?: BlockKind;
}

// by way of JSON: an object parsed at once is copied 60 times as fast as one grown key by key
const ZERO = JSON.parse(
  JSON.stringify(Object.fromEntries(counterTable.map(({ name }) => [name, 0]))),
) as CounterValues;

/** All counters at zero. */
export function zeroCounters(): CounterValues {
  return { ...ZERO };
}

/**
 * The counters page of one domain, read live from shared memory without a call into C and at no
 * cost to the drivers that write it. Reading is safe from any thread.
 */
export class Counters {
  /** The page itself, to pass to a Worker: `new Counters(memory)` there sees the same counters. */
  readonly memory: SharedArrayBuffer;
  readonly #words: BigUint64Array;
  readonly #u32: Uint32Array;
  readonly #view: DataView;
  /** Blocks in the page, used or free. */
  readonly blockCount: number;

  /**
   * @param memory a counters page
   * @throws NestfrontError `NF_EVERSION`: not one, or of another version
   */
  constructor(memory: SharedArrayBuffer) {
    this.memory = memory;
    this.#words = new BigUint64Array(memory);
    this.#u32 = new Uint32Array(memory);
    this.#view = new DataView(memory);
    this.blockCount = this.#check();
  }

  /**
   * Maps the counters memfd of a domain, read-only.
   * @param fd borrowed: it may be closed afterwards
   */
  static open(fd: number): Counters {
    return new Counters(mapCounters(fd));
  }

  /** Domid of the domain that writes the page, as the hypervisor numbered it. */
  get domid(): number {
    return this.#view.getUint32(HEADER.domid, true);
  }

  /** Blocks in use that match, in the order of the page. */
  blocks(filter: BlockFilter = {}): BlockHeader[] {
    const found: BlockHeader[] = [];
    for (let index = 0; index < this.blockCount; index += 1) {
      const header = this.#header(index);
      if (header === undefined) continue;
      if (matches(header, filter)) found.push(header);
      if (header.kind === 'latency') index += n.NF_LATENCY_BLOCKS - 1;
    }
    return found;
  }

  /**
   * One counter of one block, exact.
   * @throws RangeError no such block; TypeError no such counter
   */
  word(block: number, name: CounterName): bigint {
    const index = indexOf.get(name);
    if (index === undefined) throw new TypeError(`there is no counter ${JSON.stringify(name)}`);
    return Atomics.load(this.#words, this.#wordBase(block) + index);
  }

  /** All counters of one block. Each is whole; they are not one instant's. */
  read(block: number): CounterValues {
    const base = this.#wordBase(block);
    const values = zeroCounters();
    for (const [index, { name }] of counterTable.entries())
      values[name] = Number(Atomics.load(this.#words, base + index));
    return values;
  }

  /** Sums over the blocks that match, latency blocks left out. */
  total(filter: BlockFilter = {}): CounterValues {
    const sum = zeroCounters();
    for (const header of this.blocks(filter)) {
      if (header.kind === 'latency') continue;
      const values = this.read(header.index);
      for (const { name } of counterTable) sum[name] += values[name];
    }
    return sum;
  }

  /** The latency histograms that match, added up: round trips a pinging generator timed. */
  latency(filter: Omit<BlockFilter, 'kind'> = {}): Latency {
    const counts = new Array<number>(n.NF_LATENCY_BUCKETS).fill(0);
    for (const header of this.blocks({ ...filter, kind: 'latency' })) {
      const base = this.#wordBase(header.index);
      for (let i = 0; i < counts.length; i += 1)
        counts[i] = counts[i]! + Number(Atomics.load(this.#words, base + i));
    }
    return new Latency(counts);
  }

  #check(): number {
    const bytes = this.memory.byteLength;
    if (bytes < n.NF_COUNTERS_HEADER_BYTES) throw notCounters('it is too short');
    const blocks = this.#view.getUint32(HEADER.blocks, true);
    const version = this.#view.getUint16(HEADER.version, true);
    if (this.#view.getUint32(HEADER.magic, true) !== n.NF_COUNTERS_MAGIC)
      throw notCounters('its magic number is wrong; its domain may not have started yet');
    if (version !== n.NF_COUNTERS_VERSION)
      throw notCounters(`it is of version ${version}, this library reads ${n.NF_COUNTERS_VERSION}`);
    const fit = Math.floor((bytes - n.NF_COUNTERS_HEADER_BYTES) / n.NF_COUNTERS_BLOCK_BYTES);
    if (blocks > fit) throw notCounters(`it claims ${blocks} blocks, ${fit} fit`);
    return blocks;
  }

  #wordBase(block: number): number {
    if (!Number.isInteger(block) || block < 0 || block >= this.blockCount)
      throw new RangeError(`a block is 0 to ${this.blockCount - 1}, not ${block}`);
    return (blockBase(block) + BLOCK.words) / 8;
  }

  /** Consistent copy of a block's header: taken again while its writer was at it. */
  #header(index: number): BlockHeader | undefined {
    const base = blockBase(index);
    const seq = (base + BLOCK.seq) / 4;
    let deadline = 0;
    for (let tries = 0; deadline === 0 || performance.now() < deadline; tries += 1) {
      const before = Atomics.load(this.#u32, seq);
      if ((before & 1) === 0) {
        const header = this.#parse(index, base);
        if (Atomics.load(this.#u32, seq) === before) return header;
      }
      if (tries < SEQLOCK_SPINS) continue;
      if (deadline === 0) deadline = performance.now() + SEQLOCK_MS;
      Atomics.wait(pause, 0, 0, 0.2);
    }
    throw new NestfrontError(
      'NF_EAGAIN',
      'counters.blocks',
      `block ${index} keeps changing; its writer may have died halfway: restart the domain`,
    );
  }

  #parse(index: number, base: number): BlockHeader | undefined {
    const view = this.#view;
    const kind = kindName(view.getUint8(base + BLOCK.kind));
    if (kind === undefined) return undefined;
    const confined = view.getUint16(base + BLOCK.confined, true);
    return {
      index,
      kind,
      mode: modeName(view.getUint8(base + BLOCK.mode)),
      grants: grantsName(view.getUint8(base + BLOCK.grants)),
      state: stateName(view.getUint8(base + BLOCK.state)),
      peer: view.getUint16(base + BLOCK.peer, true),
      devid: view.getUint16(base + BLOCK.devid, true),
      queue: view.getUint16(base + BLOCK.queue, true),
      confined: confined === 0 ? undefined : confined === 1,
      generation: view.getUint32(base + BLOCK.generation, true),
      error: view.getInt32(base + BLOCK.error, true),
      of: kindName(view.getUint8(base + BLOCK.of)),
    };
  }
}

function blockBase(index: number): number {
  return n.NF_COUNTERS_HEADER_BYTES + index * n.NF_COUNTERS_BLOCK_BYTES;
}

function matches(header: BlockHeader, filter: BlockFilter): boolean {
  return (
    (filter.kind === undefined || filter.kind === header.kind) &&
    (filter.devid === undefined || filter.devid === header.devid) &&
    (filter.queue === undefined || filter.queue === header.queue) &&
    (filter.peer === undefined || filter.peer === header.peer) &&
    (filter.of === undefined || filter.of === header.of)
  );
}

function notCounters(reason: string): NestfrontError {
  return new NestfrontError('NF_EVERSION', 'counters.open', `not a counters page: ${reason}`);
}
