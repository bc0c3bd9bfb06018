// SPDX-License-Identifier: MIT
/**
 * `lab bench`: six paths in one boot, measured in turns. Emulated throughput swings by an order of
 * magnitude between boots, so only ratios of the same round count; what does not depend on the
 * emulator is how many events, grant operations and hypercalls a packet takes.
 */
import { interval, spread } from '../../bench/lib/stats.js';
import type { Interval, Spread } from '../../bench/lib/stats.js';
import { NestfrontError } from '../../lib/errors.js';
import { ratesOf } from './bench-rates.js';
import type { Rates } from './bench-rates.js';
import type { Clock } from './groups/group.js';
import { makeContext, clearRun } from './machine.js';
import type { Provider } from './provenance.js';
import { runBoot } from './run.js';
import { parseSamples } from './samples.js';
import type { Sample } from './samples.js';
import { BENCH, BENCH_FLAT } from './scenarios.js';

/**
 * Path to front, back, grants, and the path it is compared with. `no-tap` is ours-ours with a
 * recording for the front's port and `null` for the back's: what is left without the two TAPs.
 */
export const PATHS = {
  'stock-stock': { front: 'stock', provider: 'stock', grants: 'map', base: undefined },
  'stock-ours': { front: 'stock', provider: 'nestfront', grants: 'copy', base: 'stock-stock' },
  'ours-stock': { front: 'nestfront', provider: 'stock', grants: 'map', base: 'stock-stock' },
  'ours-ours': { front: 'nestfront', provider: 'nestfront', grants: 'static', base: 'stock-stock' },
  'no-tap': { front: 'nestfront', provider: 'nestfront', grants: 'static', base: 'stock-stock' },
  nested: { front: 'nestfront', provider: 'stock', grants: 'map', base: 'ours-stock' },
} as const;
export type PathName = keyof typeof PATHS;
/** In the order in which guests are made: the kernel's backs first. */
export const ORDER: readonly PathName[] = [
  'stock-stock',
  'ours-stock',
  'nested',
  'stock-ours',
  'ours-ours',
  'no-tap',
];

const BENCHES = {
  tcp_stream: { unit: 'bitsPerSecond', direction: 'tx' },
  tcp_maerts: { unit: 'bitsPerSecond', direction: 'rx' },
  pps_tx: { unit: 'packetsPerSecond', direction: 'tx' },
  pps_rx: { unit: 'packetsPerSecond', direction: 'rx' },
  tcp_rr: { unit: 'transactionsPerSecond', direction: undefined },
} as const;
export type BenchName = keyof typeof BENCHES;

/** The contract's result, with the two ends of a path that is one of real Xen. */
export interface BenchResult extends Rates {
  bench: 'tcp_stream' | 'tcp_maerts' | 'pps' | 'tcp_rr';
  path: 'single' | 'translate';
  pair: PathName;
  depth: 1 | 2;
  front: 'stock' | 'nestfront';
  provider: 'stock' | 'nestfront';
  grants: 'map' | 'copy' | 'static';
  direction?: 'tx' | 'rx';
  frameBytes?: 60;
  bitsPerSecond?: Spread;
  packetsPerSecond?: Spread;
  transactionsPerSecond?: Spread;
  /** Of the same rounds; absent where the other path was not asked for. */
  ratio?: Interval & { to: PathName };
  /** Too few rounds, or too wide an interval, for the ratio to be quoted. */
  noisy?: true;
  /** Share of the time that the host ran something else while the machine was ready. */
  stolen?: Spread;
  seconds: number;
  repetitions: number;
}

export interface LabBench {
  provider: Provider;
  clock: Clock;
  rounds: number;
  results: BenchResult[];
  faults: string[];
}

function ratio(
  samples: readonly Sample[],
  mine: readonly Sample[],
  to: PathName,
): Interval | undefined {
  const ratios = mine.flatMap((s) => {
    const other = samples.find((x) => x.path === to && x.bench === s.bench && x.round === s.round);
    return other === undefined || other.value === 0 ? [] : [s.value / other.value];
  });
  return ratios.length === 0 ? undefined : interval(ratios);
}

const ROUNDS_MIN = 5;
const WIDE = 0.1;

function isNoisy({ pairs, low, high, median }: Interval): boolean {
  return pairs < ROUNDS_MIN || high - low > WIDE * median;
}

/** One path's results of one bench; nothing where it was not measured. */
export function summarize(
  samples: readonly Sample[],
  pair: PathName,
  bench: BenchName,
  seconds: number,
): BenchResult | undefined {
  const mine = samples.filter((s) => s.path === pair && s.bench === bench);
  if (mine.length === 0) return undefined;
  const { base, ...ends } = PATHS[pair];
  const { unit, direction } = BENCHES[bench];
  const compared = base === undefined ? undefined : ratio(samples, mine, base);
  const taken = mine.flatMap((s) => s.stolen ?? []);
  const isPps = bench === 'pps_tx' || bench === 'pps_rx';
  return {
    bench: isPps ? 'pps' : bench,
    path: pair === 'nested' ? 'translate' : 'single',
    pair,
    depth: pair === 'nested' ? 2 : 1,
    ...ends,
    ...(direction === undefined ? {} : { direction }),
    ...(isPps ? { frameBytes: 60 } : {}),
    [unit]: spread(mine.map((s) => s.value)),
    ...(base === undefined || compared === undefined ? {} : { ratio: { to: base, ...compared } }),
    ...(compared !== undefined && isNoisy(compared) ? { noisy: true } : {}),
    ...ratesOf(mine, pair),
    ...(taken.length === 0 ? {} : { stolen: spread(taken) }),
    seconds,
    repetitions: mine.length,
  };
}

/**
 * @param options rounds: times each path is measured; window: seconds of each measurement, of the
 *   machine's clock
 * @throws NestfrontError `NF_EIO`: the boot ended before there was one whole round
 */
export async function runBench(
  options: { rounds: number; window: number; paths: readonly PathName[]; clock: Clock },
  log: (line: string) => void,
  signal?: AbortSignal,
): Promise<LabBench> {
  // L1 carries Node, which is heavy
  const { clock, ...told } = options;
  const group = { ...(told.paths.includes('nested') ? BENCH : BENCH_FLAT), clock };
  const context = await makeContext([group], log, signal);
  try {
    const collector = await runBoot(group, context, {
      only: [],
      options: { ...told, paths: told.paths.join(':') },
    });
    const { samples, faults } = parseSamples(collector.samples);
    for (const s of collector.scenarios)
      for (const check of s.checks)
        if (!check.ok) faults.push(`${check.name}: ${check.detail ?? ''}`);
    if (samples.length === 0)
      throw new NestfrontError(
        'NF_EIO',
        'lab.bench',
        `nothing was measured: ${[...collector.faults, ...faults].join('; ')}`,
      );
    const results = (Object.keys(BENCHES) as BenchName[]).flatMap((bench) =>
      (Object.keys(PATHS) as PathName[]).flatMap((pair) => {
        const result = summarize(samples, pair, bench, told.window);
        if (clock === 'instructions') delete result?.stolen; // the host took none of its time
        return result ?? [];
      }),
    );
    const { provider } = context.images;
    return {
      provider,
      clock,
      rounds: options.rounds,
      results,
      faults: [...collector.faults, ...faults],
    };
  } finally {
    clearRun(context.dir);
  }
}
