// SPDX-License-Identifier: MIT
import { NestfrontError } from '../errors.js';
import * as n from '../generated/layout.js';
import { CONTROL, CONTROL_DEV } from './layout.js';
import { mapControl, wakeAll } from './memory.js';

const MODES = {
  idle: n.NF_GEN_IDLE,
  send: n.NF_GEN_SEND,
  echo: n.NF_GEN_ECHO,
  ping: n.NF_GEN_PING,
  seqRead: n.NF_GEN_SEQ_READ,
  seqWrite: n.NF_GEN_SEQ_WRITE,
  randRead: n.NF_GEN_RAND_READ,
  randWrite: n.NF_GEN_RAND_WRITE,
} as const;

/**
 * What a generator does: nothing; of frames: send back to back, return them, time round trips; of
 * a disk's blocks: read or write them in order or at random.
 */
export type GeneratorMode = keyof typeof MODES;

/** Orders for the `gen` port of one device; what is left out stays as it is. */
export interface GeneratorOrders {
  readonly mode?: GeneratorMode;
  /** Frame length without FCS, 60 to 65,535 bytes. */
  readonly frameBytes?: number;
  /** Of a disk's generator, a multiple of 512 up to 1 MiB. */
  readonly blockBytes?: number;
  /** Frames a call, 1 to 256; 0: the port's own choice. Of blocks: how many in flight. */
  readonly batch?: number;
  /** The sink checks every byte of one frame in this many; 0: 1,024. 1 checks all. */
  readonly verifyEvery?: number;
  /** Stop after so many frames; 0: never. Setting it starts the count again. */
  readonly limit?: number;
}

const RANGES = {
  frameBytes: [60, 65_535],
  blockBytes: [512, 1 << 20],
  batch: [0, 256],
  verifyEvery: [0, 0xffff_ffff],
  limit: [0, 0xffff_ffff],
} as const;

/**
 * The control page of one domain: its generators' orders, and parking. The domain only reads it, so
 * an order costs no message; it is seen within one poll round.
 */
export class ControlPage {
  /** The page itself, to pass to a Worker. */
  readonly memory: SharedArrayBuffer;
  readonly #words: Uint32Array;

  /** @throws NestfrontError `NF_EVERSION`: not a control page */
  constructor(memory: SharedArrayBuffer) {
    if (memory.byteLength < CONTROL.bytes)
      throw new NestfrontError('NF_EVERSION', 'control.open', 'not a control page: too short');
    this.memory = memory;
    this.#words = new Uint32Array(memory, 0, CONTROL.bytes / 4);
    if (Atomics.load(this.#words, CONTROL.magic / 4) !== n.NF_CONTROL_MAGIC)
      throw new NestfrontError('NF_EVERSION', 'control.open', 'not a control page: wrong magic');
  }

  /**
   * Maps a domain's control memfd for writing.
   * @param fd borrowed: it may be closed afterwards
   */
  static open(fd: number): ControlPage {
    return new ControlPage(mapControl(fd));
  }

  /**
   * Gives a device's generator its orders; mode is written last.
   * @param devid of the device, as the store numbers it
   * @throws RangeError a number is outside its range
   */
  order(devid: number, orders: GeneratorOrders): void {
    const base = this.#base(devid);
    for (const key of Object.keys(RANGES) as (keyof typeof RANGES)[]) {
      const value = orders[key];
      if (value === undefined) continue;
      const [low, high] = RANGES[key];
      if (!Number.isInteger(value) || value < low || value > high)
        throw new RangeError(`${key} is ${value}; use a whole number from ${low} to ${high}`);
    }
    const mode = orders.mode === undefined ? undefined : MODES[orders.mode];
    if (orders.mode !== undefined && mode === undefined)
      throw new RangeError(`mode is ${String(orders.mode)}; use ${Object.keys(MODES).join(', ')}`);
    for (const key of Object.keys(RANGES) as (keyof typeof RANGES)[]) {
      const value = orders[key];
      if (value !== undefined) Atomics.store(this.#words, base + CONTROL_DEV[key] / 4, value);
    }
    if (orders.limit !== undefined) Atomics.add(this.#words, base + CONTROL_DEV.epoch / 4, 1);
    if (mode !== undefined) Atomics.store(this.#words, base + CONTROL_DEV.mode / 4, mode);
    this.#ring();
  }

  /** The orders in force. */
  orders(devid: number): Required<GeneratorOrders> {
    const base = this.#base(devid);
    const at = (offset: number): number => Atomics.load(this.#words, base + offset / 4);
    const mode = (Object.keys(MODES) as GeneratorMode[]).find(
      (name) => MODES[name] === at(CONTROL_DEV.mode),
    );
    return {
      mode: mode ?? 'idle',
      frameBytes: at(CONTROL_DEV.frameBytes),
      blockBytes: at(CONTROL_DEV.blockBytes),
      batch: at(CONTROL_DEV.batch),
      verifyEvery: at(CONTROL_DEV.verifyEvery),
      limit: at(CONTROL_DEV.limit),
    };
  }

  /** True while the domain's pollers are told to sleep. */
  get parked(): boolean {
    return Atomics.load(this.#words, CONTROL.park / 4) !== 0;
  }

  /** Puts every poller of the domain to sleep (true) or wakes them (false); idempotent. */
  park(on: boolean): void {
    Atomics.store(this.#words, CONTROL.park / 4, on ? 1 : 0);
    if (!on) wakeAll(this.memory, CONTROL.park);
    this.#ring();
  }

  /** Pollers that sleep hear of a change. */
  #ring(): void {
    Atomics.add(this.#words, CONTROL.bell / 4, 1);
    wakeAll(this.memory, CONTROL.bell);
  }

  #base(devid: number): number {
    if (!Number.isInteger(devid) || devid < 0 || devid > 0xffff)
      throw new RangeError(`a devid is 0 to 65535, not ${devid}`);
    return (CONTROL.devices + (devid % n.NF_CONTROL_DEVICES) * CONTROL.deviceBytes) / 4;
  }
}
