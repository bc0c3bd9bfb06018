// SPDX-License-Identifier: MIT
// Line rate: frames from a generator at one end to a sink at the other, polled, beside the limits.
import { limitOf, resultOf, type Asked } from './lib/rates.js';
import type { Rig } from './lib/rig.js';
import type { Result, Skipped } from './lib/schema.js';
import type { CounterName } from '../lib/api/counters.js';
import type { Measured } from './lib/windows.js';
import type { Window } from './lib/classes.js';

/** Frame lengths without FCS: the smallest, a full Ethernet frame, and what GSO makes of TCP. */
export const FRAMES = [60, 1500, 65_226] as const;

const WINDOWS_WANTED = 6;

export interface PpsOptions {
  frameBytes: number;
  direction: 'tx' | 'rx';
  /** Rounds over all variants of the group. */
  rounds: number;
  windowMs?: number;
  /** Traffic before a window is sampled. */
  settleMs?: number;
  batch?: number;
  /** Every byte of every frame, in place of one frame in 1,024. */
  verifyAll?: boolean;
  /** No second try on a busy machine after this time, as of performance.now(). */
  until?: number;
  onWindow?: (w: Window) => void;
}

/** The reference stands beside each other variant: they are compared as neighbours in time. */
export function roundOf(names: readonly string[], base: string): string[] {
  const others = names.filter((n) => n !== base);
  if (!names.includes(base)) return others;
  if (others.length === 0) return [base];
  return others.flatMap((n, i) => (i % 2 === 0 ? [n, base] : [n]));
}

/** Measures all set-ups of the rig for one frame length and direction. */
export async function pps(
  rig: Rig,
  o: PpsOptions,
): Promise<{ results: Result[]; skipped: Skipped[] }> {
  const limit = limitOf(o.frameBytes);
  const names = [...rig.variants.keys()];
  // the limits are one-way programs: nothing in them differs by direction
  if (rig.limits && o.direction === 'tx') names.push(limit);
  const asked: Asked = {
    frameBytes: o.frameBytes,
    direction: o.direction,
    batch: o.batch ?? 64,
    windowMs: o.windowMs ?? 12,
  };
  const order = {
    group: `${o.frameBytes}-${o.direction}`,
    variants: roundOf(names, 'single'),
    rounds: o.rounds,
    verifyEvery: o.verifyAll === true ? 1 : 0,
    polled: rig.notify === 'poll',
    ...(o.settleMs !== undefined && { settleMs: o.settleMs }),
    ...asked,
  };
  let measured = await rig.session.measure(order, o.onWindow);
  // a machine that was busy gets two more chances
  const until = o.until ?? Infinity;
  for (let t = 0; t < 2 && performance.now() < until && !enough(measured, names); t++)
    measured = merge(measured, await rig.session.measure(order, o.onWindow));
  const results: Result[] = [];
  const skipped: Skipped[] = [];
  for (const name of names) {
    const result = resultOf(rig, measured, name, asked);
    if (result) results.push(result);
    else skipped.push(notMeasured(name, asked, measured.errors));
  }
  return { results, skipped };
}

/** Each set-up has the windows that a 95 % interval takes, or all that were asked for. */
function enough(m: Measured, names: readonly string[]): boolean {
  const broken = (n: string): boolean => m.errors.some((e) => e.startsWith(`${n}: `));
  const clean = (n: string): number =>
    m.windows.filter((w) => w.variant === n && w.dropped === undefined).length;
  return names.every((n) => broken(n) || clean(n) >= WINDOWS_WANTED);
}

/** Two measurements of the same group; no window of one is a neighbour of the other's. */
function merge(a: Measured, b: Measured): Measured {
  const offset = Math.max(0, ...a.windows.map((w) => w.index)) + 2;
  const totals: Measured['totals'] = { ...a.totals };
  for (const [variant, domains] of Object.entries(b.totals)) {
    const sum = (totals[variant] = { ...totals[variant] });
    for (const [domain, counters] of Object.entries(domains)) {
      const into = (sum[domain] = { ...sum[domain] });
      for (const [name, n] of Object.entries(counters) as [CounterName, number][])
        into[name] = (into[name] ?? 0) + n;
    }
  }
  return {
    windows: [...a.windows, ...b.windows.map((w) => ({ ...w, index: w.index + offset }))],
    totals,
    errors: [...new Set([...a.errors, ...b.errors])],
  };
}

function notMeasured(name: string, asked: Asked, errors: readonly string[]): Skipped {
  const own = errors.find((e) => e.startsWith(`${name}: `));
  const what = `${asked.frameBytes} bytes ${asked.direction}`;
  return own === undefined
    ? {
        bench: 'pps',
        path: name,
        reason: `${what}: no window counted, other programs used the CPUs`,
        remedy: 'run it while the machine does nothing else, or with --full',
      }
    : {
        bench: 'pps',
        path: name,
        reason: `${what}: ${own.slice(name.length + 2)}`,
        remedy: 'nestfront doctor; please report it with the log of npm start',
      };
}
