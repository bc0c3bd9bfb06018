// SPDX-License-Identifier: MIT
// The bare ring by itself: the first figure of the main job, seconds before anything is up.
import { resultOf } from './lib/rates.js';
import { Rig, type Placement } from './lib/rig.js';
import type { Result } from './lib/schema.js';

const ASKED = { frameBytes: 60, direction: 'tx', batch: 64, windowMs: 12 } as const;

/** Measures it with no set-up beside it; undefined when no window counts. */
export async function bareRing(placement: Placement, rounds: number): Promise<Result | undefined> {
  await using rig = await Rig.up([], { placement });
  const order = { group: 'bare', variants: ['bare_ring'], rounds, ...ASKED };
  // a machine that was busy gets two more chances
  for (let tries = 0; tries < 3; tries++) {
    const result = resultOf(rig, await rig.session.measure(order), 'bare_ring', ASKED);
    if (result !== undefined) return result;
  }
  return undefined;
}
