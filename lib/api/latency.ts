// SPDX-License-Identifier: MIT
import { NF_LATENCY_BUCKETS } from '../generated/layout.js';

/** Lower edge in nanoseconds and width of bucket `index`, the inverse of `nf_latency_bucket`. */
export function latencyBucket(index: number): { low: number; width: number } {
  if (!Number.isInteger(index) || index < 0 || index >= NF_LATENCY_BUCKETS)
    throw new RangeError(`a latency bucket is 0 to ${NF_LATENCY_BUCKETS - 1}, not ${index}`);
  if (index < 16) return { low: index, width: 1 };
  const log = 4 + ((index - 16) >> 3);
  const width = 2 ** (log - 3);
  return { low: (8 + ((index - 16) & 7)) * width, width };
}

/**
 * A copy of a driver's latency histogram: counts in buckets 12.5 % wide. Immutable; subtract an
 * earlier one to get an interval's.
 */
export class Latency {
  readonly #counts: Float64Array;
  /** How many values were recorded. */
  readonly count: number;

  /** @param counts one number a bucket, copied */
  constructor(counts: ArrayLike<number>) {
    this.#counts = Float64Array.from({ length: NF_LATENCY_BUCKETS }, (_, i) => counts[i] ?? 0);
    this.count = this.#counts.reduce((sum, n) => sum + n, 0);
  }

  /** Values recorded since `earlier` was taken from the same histogram. */
  since(earlier: Latency): Latency {
    return new Latency(this.#counts.map((n, i) => Math.max(0, n - (earlier.#counts[i] ?? 0))));
  }

  /**
   * Nanoseconds that a share `q` (0 to 1) of all values stay below, to the middle of its bucket;
   * NaN while nothing was recorded.
   */
  quantile(q: number): number {
    if (!(q >= 0 && q <= 1)) throw new RangeError(`a quantile is 0 to 1, not ${q}`);
    if (this.count === 0) return NaN;
    const rank = Math.max(1, Math.ceil(q * this.count));
    let seen = 0;
    for (const [index, n] of this.#counts.entries()) {
      seen += n;
      if (seen < rank) continue;
      const { low, width } = latencyBucket(index);
      return low + (width - 1) / 2;
    }
    return NaN;
  }

  /** The figures results carry, in nanoseconds. */
  summary(): { p50: number; p99: number; p999: number; max: number } {
    const [p50, p99, p999, max] = [0.5, 0.99, 0.999, 1].map((q) => this.quantile(q));
    return { p50: p50!, p99: p99!, p999: p999!, max: max! };
  }
}
