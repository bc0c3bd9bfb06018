// SPDX-License-Identifier: MIT
// The seed's claim: L2 → relay → L0's back → AF_PACKET → a link shaped to 1 Gbit/s → a third
// namespace, beside the same sender with AF_PACKET and no rings; interleaved, both ways.
import { setTimeout as sleep } from 'node:timers/promises';
import type { EndCount, LinePath } from './lib/line.js';
import { linePath } from './lib/line.js';
import type { Result, Skipped } from './lib/schema.js';
import { interval, isNoisy, spread, type Interval } from './lib/stats.js';

/** Preamble, gap and FCS of a frame on a wire; frames are padded to 60 bytes. */
const WIRE_BYTES = 24;
const DRAIN_MS = 3000;
/** Of the link's rate: the plain sender fills it. */
const FILLED = 0.99;

export interface LineOptions {
  paths: readonly ('copy' | 'translate' | 'direct')[];
  frames: readonly number[];
  directions: readonly ('tx' | 'rx')[];
  rounds: number;
  seconds: number;
  settleMs: number;
  bitsPerSecond: number;
  signal: AbortSignal;
  progress?: (text: string) => void;
}

interface Sample {
  packetsPerSecond: number;
  lost: number;
  bad: Pick<EndCount, 'duplicated' | 'reordered' | 'corrupted'>;
  portDrops: number;
  shaperDrops: number;
}

const wireRate = (o: LineOptions, bytes: number): number =>
  o.bitsPerSecond / 8 / (Math.max(bytes, 60) + WIRE_BYTES);

/** Frames still on their way arrive, or are counted as lost. */
async function drained(sink: () => Promise<EndCount>): Promise<EndCount> {
  let last = await sink();
  for (let waited = 0; waited < DRAIN_MS; waited += 150) {
    await sleep(150);
    const now = await sink();
    if (now.sunk === last.sunk) return now;
    last = now;
  }
  return last;
}

async function sample(
  path: LinePath,
  way: 'tx' | 'rx',
  bytes: number,
  o: LineOptions,
): Promise<Sample> {
  const [source, sink] =
    way === 'tx'
      ? [() => path.count(), () => path.far.count()]
      : [() => path.far.count(), () => path.count()];
  path.park(false);
  const [from, to] = [await source(), await sink()];
  const ports = path.portDrops();
  if (way === 'tx') path.start(bytes);
  else path.far.send(bytes);
  await sleep(o.settleMs);
  const first = await sink();
  await sleep(o.seconds * 1000);
  const last = await sink();
  if (way === 'tx') path.stop();
  else path.far.idle();
  const end = await drained(sink);
  const sent = await source();
  path.park(true);
  const generated = sent.generated - from.generated;
  return {
    packetsPerSecond: ((last.sunk - first.sunk) / (last.ns - first.ns)) * 1e9,
    lost: generated - (end.sunk - to.sunk),
    bad: {
      duplicated: end.duplicated - to.duplicated,
      reordered: end.reordered - to.reordered,
      corrupted: end.corrupted - to.corrupted,
    },
    portDrops:
      path.portDrops() - ports + (end.portDrops - to.portDrops) + (sent.portDrops - from.portDrops),
    shaperDrops: sent.shaperDrops - from.shaperDrops + end.shaperDrops - to.shaperDrops,
  };
}

/** Of rounds; a window in which the other sender never got a CPU has no ratio. */
function ratioOf(pairs: readonly { ours: number; theirs: number }[]): Interval | undefined {
  return pairs.length > 0 ? interval(pairs.map(({ ours, theirs }) => ours / theirs)) : undefined;
}

const sum = (values: readonly number[]): number => values.reduce((a, b) => a + b, 0);

function resultOf(
  path: LinePath,
  { way, frameBytes }: { way: 'tx' | 'rx'; frameBytes: number },
  samples: readonly Sample[],
  native: readonly Sample[],
  o: LineOptions,
): Result {
  const rates = samples.map((s) => s.packetsPerSecond);
  const drops = sum(samples.map((s) => s.portDrops + s.shaperDrops));
  const lost = sum(samples.map((s) => s.lost));
  const full = wireRate(o, frameBytes);
  const pairs = rates.map((ours, i) => ({ ours, theirs: native[i]!.packetsPerSecond }));
  const ratio = ratioOf(pairs.filter(({ theirs }) => theirs > 0));
  const filled = ratioOf(pairs.filter(({ theirs }) => theirs >= FILLED * full));
  const limit = interval(rates.map((rate) => rate / full));
  return {
    ...path.identity,
    bench: 'line',
    direction: way,
    frameBytes,
    packetsPerSecond: spread(rates),
    bitsPerSecond: spread(rates.map((rate) => rate * (Math.max(frameBytes, 60) + WIRE_BYTES) * 8)),
    ...(path.name !== 'native' && ratio && { ratioToNative: ratio, noisy: isNoisy(ratio) }),
    ...(path.name !== 'native' && filled && { ratioToNativeWhereFull: filled }),
    ratioToLimit: limit,
    // what a port or the shaper dropped is told apart from what nobody can account for
    lost: Math.max(0, lost - drops),
    tapDrops: drops,
    duplicated: sum(samples.map((s) => s.bad.duplicated)),
    reordered: sum(samples.map((s) => s.bad.reordered)),
    corrupted: sum(samples.map((s) => s.bad.corrupted)),
    seconds: o.seconds,
    repetitions: samples.length,
  };
}

/** Measures the plain sender and each path, alternating, for every size and way. */
export async function line(o: LineOptions): Promise<{ results: Result[]; skipped: Skipped[] }> {
  const results: Result[] = [];
  const skipped: Skipped[] = [];
  const paths: LinePath[] = [];
  try {
    for (const kind of ['plain', ...o.paths] as const) {
      try {
        paths.push(await linePath(kind, o.bitsPerSecond, o.signal));
      } catch (error) {
        if (o.signal.aborted || kind === 'plain') throw error;
        const reason = error instanceof Error ? error.message : String(error);
        skipped.push({ bench: 'line', path: kind, reason, remedy: 'nestfront doctor' });
      }
    }
    for (const path of paths) path.park(true);
    for (const frameBytes of o.frames)
      for (const way of o.directions) {
        o.progress?.(`${frameBytes} bytes, ${way === 'tx' ? 'from L2' : 'to L2'}`);
        const samples = new Map(paths.map((path) => [path.name, [] as Sample[]]));
        for (let round = 0; round < o.rounds; round += 1)
          for (const path of paths) {
            o.signal.throwIfAborted();
            samples.get(path.name)!.push(await sample(path, way, frameBytes, o));
          }
        const native = samples.get('native')!;
        for (const path of paths)
          results.push(resultOf(path, { way, frameBytes }, samples.get(path.name)!, native, o));
      }
  } finally {
    for (const path of paths) path.park(false);
    await Promise.all(paths.map((path) => path.close()));
  }
  return { results, skipped };
}
