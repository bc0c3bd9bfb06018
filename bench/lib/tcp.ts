// SPDX-License-Identifier: MIT
// Interleaved runs of one TCP test through all paths: a fraction of a second each, the reference
// beside each of the others, the hop measured in between.
import { hasIperf3, iperf3 } from '../../lib/netperf/iperf3.js';
import { netperf, type NetperfResult, type NetperfTest } from '../../lib/netperf/netperf.js';
import { classHop, classify, commonClass, pairedRatio, type Window } from './classes.js';
import { cpuNsOf } from './cputime.js';
import { round } from './rates.js';
import type { Result, Skipped } from './schema.js';
import { isNoisy, median, spread } from './stats.js';
import type { TcpPath } from './tcppaths.js';
import type { WindowSession } from './windows.js';

export interface TcpOptions {
  test: Extract<NetperfTest, 'TCP_STREAM' | 'TCP_MAERTS' | 'TCP_RR'>;
  messageBytes?: number;
  rounds: number;
  seconds: number;
  signal?: AbortSignal;
  /** No further round after this time, as of performance.now(). */
  until?: number;
  onRun?: (path: string, result: NetperfResult) => void;
}

interface Run extends Window {
  result: NetperfResult;
  cpuTotalNs: number;
}

const BENCH = { TCP_STREAM: 'tcp_stream', TCP_MAERTS: 'tcp_maerts', TCP_RR: 'tcp_rr' } as const;

async function once(
  path: TcpPath,
  session: WindowSession,
  index: number,
  o: TcpOptions,
): Promise<Run> {
  const pids = Object.values(path.pids);
  const before = await session.hop();
  const cpu = cpuNsOf(pids);
  const result = await netperf(path.client, {
    test: o.test,
    host: path.host,
    port: path.netperf.port,
    seconds: o.seconds,
    ...(o.messageBytes !== undefined && { messageBytes: o.messageBytes }),
    ...(o.signal && { signal: o.signal }),
  });
  const drivers = cpuNsOf(pids) - cpu;
  const after = await session.hop();
  o.onRun?.(path.name, result);
  const changed = Math.max(before, after) > 1.5 * Math.min(before, after);
  return {
    index,
    variant: path.name,
    hopNs: [before, after],
    // what a pair compares: bytes, or transactions
    packets: result.transactions ?? result.bytes,
    bytes: result.bytes,
    ns: result.seconds * 1e9,
    cpuNs: {},
    latency: [],
    ...(changed && { dropped: 'class' }),
    result,
    cpuTotalNs: drivers + (result.cpuSeconds + result.remoteCpuSeconds) * 1e9,
  };
}

/** The order of one round; `single` stands beside each other path. */
function order(paths: readonly TcpPath[]): TcpPath[] {
  const base = paths.find((p) => p.name === 'single');
  const others = paths.filter((p) => p !== base);
  if (!base) return others;
  if (others.length === 0) return [base];
  return others.flatMap((p, i) => (i % 2 === 0 ? [p, base] : [p]));
}

/** Runs one test through all paths. A path that fails is told and left out. */
export async function tcp(
  paths: readonly TcpPath[],
  session: WindowSession,
  o: TcpOptions,
): Promise<{ results: Result[]; skipped: Skipped[] }> {
  const drops = new Map(paths.map((p) => [p.name, p.tapDrops()]));
  const runs: Run[] = [];
  const skipped: Skipped[] = [];
  let alive = [...paths];
  let index = 0;
  for (let r = 0; r < o.rounds; r++) {
    if (r > 0 && performance.now() > (o.until ?? Infinity)) break;
    const sequence = order(alive);
    for (const path of r % 2 === 0 ? sequence : sequence.reverse()) {
      if (!alive.includes(path)) continue;
      try {
        runs.push(await once(path, session, index++, o));
      } catch (error) {
        if (o.signal?.aborted === true) throw error;
        alive = alive.filter((p) => p !== path);
        const reason = error instanceof Error ? error.message : String(error);
        const remedy = 'run it again; if it stays, please report it with nestfront doctor';
        skipped.push({ bench: BENCH[o.test], path: path.name, reason, remedy });
      }
    }
  }
  const results = alive.flatMap((p) =>
    resultOf(p, runs, o, p.tapDrops() - (drops.get(p.name) ?? 0)),
  );
  return { results, skipped };
}

function resultOf(path: TcpPath, runs: readonly Run[], o: TcpOptions, tapDrops: number): Result[] {
  const own = runs.filter((r) => r.variant === path.name);
  if (own.length === 0) return [];
  const classed = classify(runs);
  const shown = commonClass(classed);
  const kept = new Set(classed.filter((c) => c.class === shown).map((c) => c.index));
  const same = own.filter((r) => kept.has(r.index));
  const used = same.length > 0 ? same : own;
  const bytes = used.reduce((n, r) => n + r.bytes, 0);
  const cpu = used.reduce((n, r) => n + r.cpuTotalNs, 0);
  return [
    {
      bench: BENCH[o.test],
      ...path.identity,
      direction: o.test === 'TCP_MAERTS' ? 'rx' : 'tx',
      messageBytes: used[0]?.result.messageBytes ?? 0,
      tool: 'nf-netperf',
      pids: path.pids,
      ...figures(used, o),
      ...ratios(classed, path.name),
      class: shown,
      hopNs: round(classHop(classed, shown), 1),
      ...(o.test !== 'TCP_RR' && bytes > 0 && { cpuSecondsPerGigabyte: round(cpu / bytes, 4) }),
      retransmits: own.reduce((n, r) => n + (r.result.retransmits ?? 0), 0),
      tapDrops,
      seconds: o.seconds,
      repetitions: used.length,
    },
  ];
}

function figures(used: readonly Run[], o: TcpOptions): Partial<Result> {
  if (o.test !== 'TCP_RR')
    return { bitsPerSecond: spread(used.map((r) => (r.bytes * 8) / (r.ns / 1e9))) };
  const at = (q: 'p50' | 'p99' | 'p999' | 'max'): number =>
    Math.round(median(used.map((r) => r.result.latencyNs?.[q] ?? 0)));
  return {
    transactionsPerSecond: spread(used.map((r) => r.packets / (r.ns / 1e9))),
    latencyNs: { p50: at('p50'), p99: at('p99'), p999: at('p999'), max: at('max') },
  };
}

function ratios(classed: ReturnType<typeof classify>, name: string): Partial<Result> {
  const to = (base: string): ReturnType<typeof pairedRatio> =>
    name === base ? undefined : pairedRatio(classed, name, base);
  const single = to('single');
  const native = to('native');
  const splice = to('splice');
  const decisive = single ?? splice;
  return {
    ...(single && { ratioToSingle: single }),
    ...(native && { ratioToNative: native }),
    ...(splice && { ratioToSplice: splice }),
    ...(decisive && { noisy: isNoisy(decisive) }),
  };
}

/** iperf3's opinion of the same paths, one run each way; nothing where it is not installed. */
export async function iperf3Rows(
  paths: readonly TcpPath[],
  seconds: number,
): Promise<{ results: Result[]; skipped: Skipped[] }> {
  const first = paths[0];
  if (!first || !(await hasIperf3(first.client))) {
    const remedy = 'sudo apt-get install -y iperf3';
    return { results: [], skipped: [{ bench: 'iperf3', reason: 'it is not installed', remedy }] };
  }
  const results: Result[] = [];
  const skipped: Skipped[] = [];
  for (const path of paths) {
    for (const reverse of [false, true]) {
      try {
        const r = await iperf3(path.client, path.server, path.host, { seconds, reverse });
        results.push({
          bench: reverse ? 'tcp_maerts' : 'tcp_stream',
          ...path.identity,
          direction: reverse ? 'rx' : 'tx',
          tool: 'iperf3',
          pids: path.pids,
          bitsPerSecond: spread([r.bitsPerSecond]),
          retransmits: r.retransmits,
          seconds,
          repetitions: 1,
        });
      } catch (error) {
        const reason = error instanceof Error ? error.message : String(error);
        skipped.push({ bench: 'iperf3', path: path.name, reason, remedy: 'run iperf3 by hand' });
      }
    }
  }
  return { results, skipped };
}
