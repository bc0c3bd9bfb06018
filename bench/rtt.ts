// SPDX-License-Identifier: MIT
// Ring round trip: one frame at a time from L2 to L0 and back, timed by the pinging generator.
import { Latency } from '../lib/api/latency.js';
import {
  classHop,
  classify,
  commonClass,
  type ClassedWindow,
  type HopClass,
} from './lib/classes.js';
import { identity, round } from './lib/rates.js';
import type { Rig } from './lib/rig.js';
import type { Result, Skipped } from './lib/schema.js';
import { spread } from './lib/stats.js';
import { roundOf } from './pps.js';

const BUCKETS = 240;

/** All round trips of some windows as one histogram. */
function merged(windows: readonly ClassedWindow[]): Latency {
  const counts = new Array<number>(BUCKETS).fill(0);
  for (const w of windows)
    for (const [bucket, n] of w.latency) counts[bucket] = (counts[bucket] ?? 0) + n;
  return new Latency(counts);
}

function quantiles(l: Latency): NonNullable<Result['latencyNs']> {
  const at = (q: number): number => Math.round(l.quantile(q));
  return { p50: at(0.5), p99: at(0.99), p999: at(0.999), max: at(1) };
}

export interface RttOptions {
  rounds: number;
  frameBytes?: number;
  windowMs?: number;
}

/** Round trips through every path of the rig. */
export async function rtt(
  rig: Rig,
  o: RttOptions,
): Promise<{ results: Result[]; skipped: Skipped[] }> {
  const names = [...rig.variants.keys()];
  const frameBytes = o.frameBytes ?? 60;
  const windowMs = o.windowMs ?? 12;
  const measured = await rig.session.measure({
    group: 'rtt',
    variants: roundOf(names, 'single'),
    rounds: o.rounds,
    frameBytes,
    windowMs,
    ping: true,
  });
  const all = classify(measured.windows);
  const shown = commonClass(all);
  const results: Result[] = [];
  const skipped: Skipped[] = [];
  for (const name of names) {
    const own = all.filter((w) => w.variant === name && w.latency.length > 0);
    if (own.length === 0) {
      const reason =
        measured.errors.find((e) => e.startsWith(`${name}: `)) ??
        'no window counted, other programs used the CPUs';
      const remedy = 'run it while the machine does nothing else';
      skipped.push({ bench: 'rtt', path: name, reason, remedy });
    } else results.push(resultOf(rig, name, own, shown, { frameBytes, windowMs }));
  }
  return { results, skipped };
}

function resultOf(
  rig: Rig,
  name: string,
  own: readonly ClassedWindow[],
  shown: HopClass,
  asked: { frameBytes: number; windowMs: number },
): Result {
  const byClass: NonNullable<Result['latencyByClass']> = {};
  for (const c of ['near', 'far'] as const) {
    const windows = own.filter((w) => w.class === c);
    if (windows.length > 0) byClass[c] = quantiles(merged(windows));
  }
  const c = own.some((w) => w.class === shown) ? shown : (own[0]?.class ?? shown);
  const used = own.filter((w) => w.class === c);
  return {
    bench: 'rtt',
    ...identity(rig, name),
    frameBytes: asked.frameBytes,
    tool: 'nf-window',
    transactionsPerSecond: spread(used.map((w) => (w.packets / w.ns) * 1e9)),
    latencyNs: quantiles(merged(used)),
    latencyByClass: byClass,
    class: c,
    hopNs: round(classHop(used, c), 1),
    seconds: asked.windowMs / 1000,
    repetitions: used.length,
  };
}
