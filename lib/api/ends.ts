// SPDX-License-Identifier: MIT
import { NestfrontError, errorFromErrno } from '../errors.js';
import type { StoreClient } from '../store/client.js';
import type { CounterValues } from './counters.js';
import type { Domain } from './domain.js';
import type { Latency } from './latency.js';
import { stateName } from './layout.js';
import type { BlockKind, XenbusState } from './layout.js';
import { until } from './until.js';
import type { WaitOptions } from './until.js';

const CONNECT_TIMEOUT_MS = 10_000;
const DETACH_TIMEOUT_MS = 3_000;

/** @internal Where one end of a device is. */
export interface EndOptions {
  readonly store: StoreClient;
  readonly devid: number;
  readonly path: string;
  readonly domain: Domain;
  readonly peer: Domain;
}

/** One end of a device that runs in its domain's process. */
export abstract class DeviceEnd {
  /** Its node in the store. */
  readonly path: string;
  readonly domain: Domain;
  readonly devid: number;
  readonly #store: StoreClient;
  readonly #peer: number;

  /** @internal */
  constructor(options: EndOptions) {
    this.path = options.path;
    this.domain = options.domain;
    this.devid = options.devid;
    this.#store = options.store;
    this.#peer = options.peer.domid;
  }

  /** Kind of its counters blocks. */
  abstract readonly kind: BlockKind;

  /** @internal Nodes that change when its state or error does; a driver writes many more. */
  get telling(): readonly string[] {
    return [`${this.path}/state`, `${this.path}/error`];
  }

  /** As its driver last wrote it; `Closed` when its node is gone. */
  async state(): Promise<XenbusState> {
    const text = await this.#store.readIfThere(`${this.path}/state`);
    return text === undefined ? 'Closed' : stateName(Number(text));
  }

  /** Why its driver stopped it, in a sentence; `undefined` while it has not. */
  error(): Promise<string | undefined> {
    return this.#store.readIfThere(`${this.path}/error`);
  }

  /** Sum over its queues. All zero while it is not connected. */
  async counters(): Promise<CounterValues> {
    const page = await this.domain.counters();
    return page.total({ kind: this.kind, devid: this.devid, peer: this.#peer });
  }

  /** What its generator timed. */
  async latency(): Promise<Latency> {
    return (await this.domain.counters()).latency({ devid: this.devid });
  }
}

/** What a driver wrote into its error node: `ERRNO sentence`. */
function stopped(op: string, end: DeviceEnd, error: string): NestfrontError {
  const [, errno, sentence] = /^(\d+) (.*)$/s.exec(error) ?? [];
  const text = `${end.domain.name} stopped its ${end.kind}: ${sentence ?? error}`;
  if (errno === undefined) return new NestfrontError('NF_EPROTO', op, text);
  return errorFromErrno(Number(errno), op, text);
}

/** A device on one layer: both ends, attached and detached together. */
export abstract class DeviceLink<F extends DeviceEnd, B extends DeviceEnd>
  implements AsyncDisposable
{
  readonly front: F;
  readonly back: B;
  readonly devid: number;
  readonly #store: StoreClient;
  #detached: Promise<void> | undefined;

  /** @internal */
  protected constructor(store: StoreClient, front: F, back: B) {
    this.front = front;
    this.back = back;
    this.devid = front.devid;
    this.#store = store;
  }

  /** `net` or `disk`, in errors. */
  protected abstract readonly noun: string;

  /**
   * Waits until both ends are Connected.
   * @throws NestfrontError an end stopped: with its reason and the code of that; `NF_ETIMEDOUT`;
   *   `NF_EABORTED`
   */
  async connected(options: WaitOptions = {}): Promise<void> {
    const { front, back } = this;
    const op = `${this.noun}.connect ${front.domain.name}/${this.devid}`;
    const check = async (): Promise<true | undefined> => {
      const both = [back, front];
      const errors = Promise.all(both.map((end) => end.error()));
      const states = await Promise.all(both.map((end) => end.state()));
      for (const [i, error] of (await errors).entries())
        if (error !== undefined) throw stopped(op, both[i]!, error);
      return states.every((state) => state === 'Connected') ? true : undefined;
    };
    const timeoutMs = options.timeoutMs ?? CONNECT_TIMEOUT_MS;
    try {
      const what = 'the two ends did not connect';
      const nodes = [...front.telling, ...back.telling];
      await until(this.#store, nodes, check, op, { ...options, timeoutMs, what });
    } catch (error) {
      if (!(error instanceof NestfrontError) || error.code !== 'NF_ETIMEDOUT') throw error;
      const [frontState, backState] = [await front.state(), await back.state()];
      const states = `${front.domain.name} is ${frontState}, ${back.domain.name} is ${backState}`;
      throw new NestfrontError('NF_ETIMEDOUT', op, `not connected in ${timeoutMs} ms: ${states}`, {
        cause: error,
      });
    }
  }

  /** Asks the backend to close, waits (bounded) for both ends, removes both nodes. Idempotent. */
  detach(options: WaitOptions = {}): Promise<void> {
    this.#detached ??= this.#detach(options);
    return this.#detached;
  }

  [Symbol.asyncDispose](): Promise<void> {
    return this.detach();
  }

  async #detach(options: WaitOptions): Promise<void> {
    const { front, back } = this;
    await this.#store.transaction(async (tx) => {
      const state = await tx.readIfThere(`${back.path}/state`);
      if (state === undefined) return;
      await tx.write(`${back.path}/online`, '0');
      // one that is closed already, as a relay's outer end may be, would not answer again
      if (state !== '6') await tx.write(`${back.path}/state`, '5');
    });
    const closed = async (): Promise<true | undefined> =>
      (await back.state()) === 'Closed' && (await front.state()) === 'Closed' ? true : undefined;
    const nodes = [...front.telling, ...back.telling];
    const timeoutMs = options.timeoutMs ?? DETACH_TIMEOUT_MS;
    const what = 'the two ends did not close';
    const wait = { ...options, timeoutMs, what };
    await until(this.#store, nodes, closed, `${this.noun}.detach`, wait).catch((error: unknown) => {
      // a driver that is stuck or dead: its nodes go all the same, which ends the device
      if (!(error instanceof NestfrontError) || error.code !== 'NF_ETIMEDOUT') throw error;
    });
    for (const end of [front, back]) await this.#store.rm(end.path);
  }
}
