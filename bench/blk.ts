// SPDX-License-Identifier: MIT
// Disks: sequential and random blocks, written and read, beside the same disk without a stack.
import { type DiskRig, type DiskOrder, type DiskVariant, type DiskWindow } from './lib/disks.js';
import { processesOf, type Placement } from './lib/rig.js';
import { interval, isNoisy, spread } from './lib/stats.js';
import type { CheckedDisk } from '../lib/stack/schema.js';
import type { Result } from './lib/schema.js';

export const DISK_BENCHES = {
  seq_write: 'seqWrite',
  seq_read: 'seqRead',
  rand_write: 'randWrite',
  rand_read: 'randRead',
} as const;
export type DiskBench = keyof typeof DISK_BENCHES;

export const DISK_TITLES: Record<DiskBench, string> = {
  seq_write: '256 KiB blocks written in order',
  seq_read: '256 KiB blocks read in order',
  rand_write: '4 KiB blocks written at random',
  rand_read: '4 KiB blocks read at random',
};

/** 256 KiB in order, as the paper's dd; 4 KiB at random. */
export const blockOf = (bench: DiskBench): number => (bench.startsWith('seq') ? 256 << 10 : 4096);

export interface BlkOptions {
  readonly bench: DiskBench;
  readonly blockBytes: number;
  readonly depth: number;
  /** Windows of each set-up, in turns. */
  readonly rounds: number;
  readonly ms: number;
  readonly placement: Placement;
  readonly notify: 'poll' | 'adaptive' | 'event';
  readonly signal: AbortSignal;
  /** No new round after this time, as of performance.now(). */
  readonly until?: number;
}

type Rounds = Map<DiskVariant, DiskWindow>[];

const rate = (w: DiskWindow): number => w.operations / w.seconds;

/** Ratios of windows of one round: neighbours in time. */
function paired(rounds: Rounds, name: DiskVariant, base: DiskVariant): number[] {
  return rounds.flatMap((round) => {
    const [own, other] = [round.get(name), round.get(base)];
    return own === undefined || other === undefined || rate(other) === 0
      ? []
      : [rate(own) / rate(other)];
  });
}

const isStack = (name: DiskVariant): name is CheckedDisk['path'] =>
  !['native', 'fio', 'nbdkit'].includes(name);

/** What a set-up is, and whose loop stands beside it. */
function whatIs(rig: DiskRig, name: DiskVariant, base: DiskVariant) {
  const native = rig.members.get(name)!.native ?? rig.native;
  const port = name === 'nbdkit' ? 'nbd' : (rig.port as 'file');
  const cache = port === 'file' || port === 'nbd' ? (native?.cache ?? 'direct') : 'none';
  const nativeBy = name === 'native' || base === 'native' ? 'own' : 'fio';
  const shared = { port, cache: cache as 'direct', nativeBy } as const;
  if (!isStack(name))
    return {
      path: 'native',
      depth: 0,
      dataProcesses: name === 'nbdkit' ? 2 : 1,
      ...shared,
    } as const;
  return {
    path: name,
    depth: name === 'single' ? 1 : 2,
    dataProcesses: processesOf(name),
    provider: 'nestfront',
    grants: 'static',
    ...shared,
  } as const;
}

function resultOf(rig: DiskRig, rounds: Rounds, name: DiskVariant, o: BlkOptions): Result {
  const windows = rounds.flatMap((round) => round.get(name) ?? []);
  const operations = windows.reduce((sum, w) => sum + w.operations, 0);
  const base: DiskVariant = rig.members.has('fio') ? 'fio' : 'native';
  const { stack, native } = rig.members.get(name)!;
  const toNative = name === base ? [] : paired(rounds, name, base);
  const toSingle = stack === undefined || name === 'single' ? [] : paired(rounds, name, 'single');
  const shown = toSingle.length > 0 ? toSingle : toNative;
  const { front, back, relay } = o.placement;
  return {
    bench: o.bench,
    ...whatIs(rig, name, base),
    blockBytes: o.blockBytes,
    queueDepth: o.depth,
    queues: 1,
    notify: o.notify,
    cpus: isStack(name) ? { L0: [back], L1: [relay], guest: [front] } : { native: [back] },
    pids: { ...(stack?.metadata().pids ?? { native: native!.pid }) },
    operationsPerSecond: spread(windows.map(rate)),
    bytesPerSecond: spread(windows.map((w) => rate(w) * o.blockBytes)),
    ...(toNative.length > 0 && { ratioToNative: interval(toNative) }),
    ...(toSingle.length > 0 && { ratioToSingle: interval(toSingle) }),
    ...(shown.length > 0 && { noisy: isNoisy(interval(shown)) }),
    ...(stack !== undefined && {
      notificationsPerPacket:
        windows.reduce((sum, w) => sum + w.notifications, 0) / Math.max(1, operations),
    }),
    lost: windows.reduce((sum, w) => sum + w.errors, 0),
    seconds: windows.reduce((sum, w) => sum + w.seconds, 0) / windows.length,
    repetitions: windows.length,
  };
}

/** Measures every set-up of the rig in turns, so that each has the others beside it in time. */
export async function blk(rig: DiskRig, o: BlkOptions): Promise<Result[]> {
  const rounds: Rounds = [];
  const names = [...rig.members.keys()];
  const order: DiskOrder = {
    mode: DISK_BENCHES[o.bench],
    blockBytes: o.blockBytes,
    depth: o.depth,
    ms: o.ms,
  };
  for (let i = 0; i < o.rounds; i++) {
    if (i > 0 && performance.now() > (o.until ?? Infinity)) break;
    const round = new Map<DiskVariant, DiskWindow>();
    for (const name of i % 2 === 0 ? names : [...names].reverse()) {
      o.signal.throwIfAborted();
      round.set(name, await rig.window(name, order));
    }
    rounds.push(round);
  }
  return names.map((name) => resultOf(rig, rounds, name, o));
}
