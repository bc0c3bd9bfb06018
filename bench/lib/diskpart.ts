// SPDX-License-Identifier: MIT
// The main job's disks: 256 KiB in order as in the paper, 4 KiB at random, on files.
import { blk, blockOf, DISK_TITLES, type DiskBench } from '../blk.js';
import { DISK_PATHS, DiskRig } from './disks.js';
import { placement } from './rig.js';
import type { Result, Skipped } from './schema.js';

export interface DiskEffort {
  /** Trials of each path, in turns; the paper has five. */
  readonly rounds: number;
  readonly ms: number;
  readonly mib: number;
  /** Milliseconds in which the files are to be written. */
  readonly fillMs: number;
  /** Seconds after the job's start from which no trial begins. */
  readonly until: number;
}

const DEPTH = 32;
const NOTIFY = 'adaptive'; // a disk takes longer than a sleep: who spins only keeps it from the CPU

export interface DiskPartOptions {
  readonly effort: DiskEffort;
  /** performance.now() when the job began. */
  readonly began: number;
  readonly signal: AbortSignal;
  readonly progress: (text: string) => void;
}

/** Files are gone afterwards, whatever happens. */
export async function diskPart(
  o: DiskPartOptions,
): Promise<{ results: Result[]; skipped: Skipped[] }> {
  const { effort, signal } = o;
  o.progress('files for disks');
  const where = placement();
  await using rig = await DiskRig.up({
    port: 'file',
    bytes: effort.mib * (1 << 20),
    fillMs: effort.fillMs,
    paths: DISK_PATHS,
    placement: where,
    notify: NOTIFY,
    signal,
  });
  const results: Result[] = [];
  const begun = performance.now();
  const left = Math.max(0, o.began + effort.until * 1000 - begun);
  const benches = Object.keys(DISK_TITLES) as DiskBench[];
  for (const [i, bench] of benches.entries()) {
    o.progress(DISK_TITLES[bench]);
    const { rounds, ms } = effort;
    const until = begun + (left * (i + 1)) / benches.length;
    const order = { bench, blockBytes: blockOf(bench), depth: DEPTH, rounds, ms, until };
    results.push(...(await blk(rig, { ...order, placement: where, notify: NOTIFY, signal })));
  }
  return { results, skipped: rig.skipped };
}
