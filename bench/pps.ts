// SPDX-License-Identifier: MIT
// Line rate: frames from a generator at one end to a sink at the other, polled, beside the limits.
import { limitOf, resultOf, type Asked } from './lib/rates.js';
import type { Rig } from './lib/rig.js';
import type { Result, Skipped } from './lib/schema.js';
import type { Window } from './lib/classes.js';

/** Frame lengths without FCS: the smallest, a full Ethernet frame, and what GSO makes of TCP. */
export const FRAMES = [60, 1500, 65_226] as const;

export interface PpsOptions {
  frameBytes: number;
  direction: 'tx' | 'rx';
  /** Rounds over all variants of the group. */
  rounds: number;
  windowMs?: number;
  batch?: number;
  /** Every byte of every frame, in place of one frame in 1,024. */
  verifyAll?: boolean;
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
  const measured = await rig.session.measure(
    {
      group: `${o.frameBytes}-${o.direction}`,
      variants: roundOf(names, 'single'),
      rounds: o.rounds,
      verifyEvery: o.verifyAll === true ? 1 : 0,
      ...asked,
    },
    o.onWindow,
  );
  const results: Result[] = [];
  const skipped: Skipped[] = [];
  for (const name of names) {
    const result = resultOf(rig, measured, name, asked);
    if (result) results.push(result);
    else skipped.push(notMeasured(name, asked, measured.errors));
  }
  return { results, skipped };
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
