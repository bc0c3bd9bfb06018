// SPDX-License-Identifier: MIT
// Hop classes and pairs. A machine that flips between a near and a far pair of cores makes figures
// of different windows incomparable; only neighbours in time of one class are compared.
import { interval, median, type Interval } from './stats.js';

export type HopClass = 'near' | 'far';

/** What nf-window says of one window of traffic. */
export interface Window {
  /** Position in time among all windows of its measurement. */
  index: number;
  variant: string;
  /** One-way cache-line hop before and after, ns. */
  hopNs: [number, number];
  packets: number;
  bytes: number;
  ns: number;
  /** CPU time by domain. */
  cpuNs: Record<string, number>;
  /** Round trips by latency bucket. */
  latency: [bucket: number, count: number][];
  dropped?: string | undefined;
}

export interface ClassedWindow extends Window {
  class: HopClass;
}

/** The published machines' near hops are 45 to 110 ns, far ones 200 and more. */
const FAR_FROM_NS = 150;
const DISTINCT_RATIO = 1.8;

export const hopOf = (w: Window): number => (w.hopNs[0] + w.hopNs[1]) / 2;

/**
 * The hop that separates near from far: in the widest gap between sorted hops if its edges differ
 * by 1.8 or more, else a fixed 150 ns (all windows are then of one class).
 */
export function threshold(hops: readonly number[]): number {
  const sorted = [...hops].filter((h) => h > 0).sort((a, b) => a - b);
  let best = { ratio: 0, at: FAR_FROM_NS };
  for (let i = 1; i < sorted.length; i++) {
    const low = sorted[i - 1] as number;
    const high = sorted[i] as number;
    if (high / low > best.ratio) best = { ratio: high / low, at: Math.sqrt(low * high) };
  }
  return best.ratio >= DISTINCT_RATIO ? best.at : FAR_FROM_NS;
}

/** Fewer windows than this of a set-up say nothing. */
export const WINDOWS_MIN = 3;

/** What other programs did to a window: it was measured, but not at full speed. */
const DISTURBED = new Set(['contended', 'gap', 'late', 'steal']);

/**
 * Windows that count, each with its class. A set-up with next to no undisturbed window, on a
 * machine that is busy with other things, keeps its disturbed ones; {@link isDisturbed} tells.
 */
export function classify(windows: readonly Window[]): ClassedWindow[] {
  const moved = windows.filter((w) => w.packets > 0);
  const clean = new Map<string, number>();
  for (const w of moved)
    if (w.dropped === undefined) clean.set(w.variant, (clean.get(w.variant) ?? 0) + 1);
  const good = moved.filter(
    (w) =>
      w.dropped === undefined ||
      (DISTURBED.has(w.dropped) && (clean.get(w.variant) ?? 0) < WINDOWS_MIN),
  );
  const limit = threshold(good.map(hopOf));
  return good.map((w) => ({ ...w, class: hopOf(w) < limit ? 'near' : 'far' }));
}

export const isDisturbed = (windows: readonly ClassedWindow[]): boolean =>
  windows.some((w) => w.dropped !== undefined);

export interface RatioResult extends Interval {
  /** The worse class, which decides; or the only one seen. */
  class: HopClass;
  byClass: Partial<Record<HopClass, Interval>>;
}

const rate = (w: Window): number => w.packets / w.ns;

/**
 * Ratios of each window of `variant` to the mean of the windows of `base` right before and after it
 * (of the same class; drift within a round cancels). Undefined: no pair at all.
 */
export function pairedRatio(
  windows: readonly ClassedWindow[],
  variant: string,
  base: string,
): RatioResult | undefined {
  const at = new Map(windows.map((w) => [w.index, w]));
  const ratios: Record<HopClass, number[]> = { near: [], far: [] };
  for (const w of windows.filter((x) => x.variant === variant)) {
    const beside = [at.get(w.index - 1), at.get(w.index + 1)].filter(
      (x) => x?.variant === base && x.class === w.class,
    ) as ClassedWindow[];
    if (beside.length === 0) continue;
    const mean = beside.reduce((sum, x) => sum + rate(x), 0) / beside.length;
    ratios[w.class].push(rate(w) / mean);
  }
  return worse(ratios);
}

function worse(ratios: Record<HopClass, number[]>): RatioResult | undefined {
  const byClass: Partial<Record<HopClass, Interval>> = {};
  let worst: RatioResult | undefined;
  for (const name of ['near', 'far'] as const) {
    if (ratios[name].length === 0) continue;
    const one = interval(ratios[name]);
    byClass[name] = one;
    // a class of a few stray windows does not decide against one with many
    const decides = one.pairs >= 6 || worst === undefined || worst.pairs < 6;
    const lower = worst === undefined || one.median < worst.median || worst.pairs < 6;
    if (decides && lower) worst = { ...one, class: name, byClass };
  }
  return worst;
}

/** The class most of the windows are of. */
export function commonClass(windows: readonly ClassedWindow[]): HopClass {
  const near = windows.filter((w) => w.class === 'near').length;
  return near * 2 >= windows.length ? 'near' : 'far';
}

/** Median hop of the windows of a class, ns; 0 when there are none. */
export function classHop(windows: readonly ClassedWindow[], name: HopClass): number {
  const hops = windows.filter((w) => w.class === name).map(hopOf);
  return hops.length > 0 ? median(hops) : 0;
}
