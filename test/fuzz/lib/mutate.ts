// SPDX-License-Identifier: MIT
// What the fuzzers of TypeScript share: a seeded source of values, and the run's frame.
import { argv, exit, stdout } from 'node:process';

/** xorshift32: the same seed, the same run. */
export class Source {
  #state: number;

  constructor(seed: number) {
    this.#state = seed >>> 0 || 1;
  }

  u32(): number {
    let x = this.#state;
    x ^= x << 13;
    x ^= x >>> 17;
    x ^= x << 5;
    return (this.#state = x >>> 0);
  }

  /** 0 … n - 1. */
  below(n: number): number {
    return this.u32() % n;
  }

  pick<T>(from: readonly T[]): T {
    const item = from[this.below(from.length)];
    if (item === undefined) throw new RangeError('nothing to pick from');
    return item;
  }

  /** Small, near a power of two, or anything: what breaks arithmetic. */
  word(): number {
    const kind = this.below(4);
    if (kind === 0) return this.below(16);
    if (kind === 1) return (2 ** this.below(32) + this.below(3) - 1) >>> 0;
    return kind === 2 ? this.below(4096) : this.u32();
  }
}

export function expect(good: boolean, what: string): asserts good {
  if (!good) throw new Error(`invariant broken: ${what}`);
}

/** The frame a target runs in: things to undo, in reverse, whatever happens. */
export class Frame {
  readonly #undo: (() => unknown)[] = [];

  teardown(undo: () => unknown): void {
    this.#undo.push(undo);
  }

  is(got: unknown, want: unknown): void {
    expect(Object.is(got, want), `${String(got)} is not ${String(want)}`);
  }

  async end(): Promise<void> {
    for (const undo of this.#undo.reverse()) await undo();
  }
}

/**
 * Runs `step` for the seconds of the command line (the seed may follow), then says how often.
 * The first exception ends it with 1 and the seed to repeat it with.
 */
export async function fuzz(
  prepare: (frame: Frame, source: Source) => Promise<() => Promise<number>>,
): Promise<never> {
  const seconds = Number(argv[2] ?? 10);
  const seed = Number(argv[3] ?? Date.now() % 0x7fffffff);
  const frame = new Frame();
  let execs = 0;
  try {
    const step = await prepare(frame, new Source(seed));
    for (const end = performance.now() + seconds * 1000; performance.now() < end; )
      execs += await step();
    await frame.end();
  } catch (error) {
    console.error(error);
    console.error(`seed ${seed}, after ${execs} execs`);
    exit(1);
  }
  stdout.write(`execs ${execs}\n`, () => exit(0));
  return new Promise(() => undefined);
}
