// SPDX-License-Identifier: MIT
// Order statistics only: throughput on a shared machine has no distribution worth assuming.

/** Spread of repeated measurements. */
export interface Spread {
  median: number;
  min: number;
  max: number;
  samples: number;
}

/** Median of paired ratios with a 95 % interval, or as much of one as the pairs allow. */
export interface Interval {
  median: number;
  low: number;
  high: number;
  pairs: number;
}

/** @throws RangeError on an empty list */
export function median(values: readonly number[]): number {
  const sorted = [...values].sort((a, b) => a - b);
  const middle = sorted.length >> 1;
  const high = sorted[middle];
  const low = sorted[sorted.length % 2 === 1 ? middle : middle - 1];
  if (high === undefined || low === undefined) throw new RangeError('the median of nothing');
  return (low + high) / 2;
}

export function spread(values: readonly number[]): Spread {
  return {
    median: median(values),
    min: Math.min(...values),
    max: Math.max(...values),
    samples: values.length,
  };
}

/**
 * How many values to leave off each end of n sorted ones so that what is left still covers the
 * median with at least `confidence`: the sign test's order statistics. -1: n is too small, even all
 * of them do not (n < 6 for 95 %).
 */
export function signTestRank(n: number, confidence = 0.95): number {
  const tail = (1 - confidence) / 2;
  let probability = 0.5 ** n; // of 0 heads in n tosses
  let cumulated = probability;
  let rank = -1;
  while (cumulated <= tail && rank < n) {
    rank += 1;
    probability *= (n - rank) / (rank + 1);
    cumulated += probability;
  }
  return rank;
}

/**
 * Median with the sign test's 95 % interval: makes no assumption but that pairs are independent.
 * With fewer than 6 values the interval is their range, which covers less; callers call it noisy.
 */
export function interval(values: readonly number[]): Interval {
  const sorted = [...values].sort((a, b) => a - b);
  const rank = Math.max(0, signTestRank(sorted.length));
  const low = sorted[rank];
  const high = sorted[sorted.length - 1 - rank];
  if (low === undefined || high === undefined) throw new RangeError('an interval of nothing');
  return { median: median(sorted), low, high, pairs: sorted.length };
}

/** Wider than 10 % of the median, or too few pairs for a 95 % interval at all. */
export function isNoisy(i: Interval): boolean {
  return i.pairs < 6 || (i.high - i.low) / i.median > 0.1;
}
