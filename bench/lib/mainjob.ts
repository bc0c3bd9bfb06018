// SPDX-License-Identifier: MIT
// The main job: every path at line rate and with real TCP, beside what it is compared with.
import { bareRing } from '../bare_ring.js';
import { FRAMES, pps } from '../pps.js';
import { rtt } from '../rtt.js';
import { tcpMaerts } from '../tcp_maerts.js';
import { tcpRr } from '../tcp_rr.js';
import { tcpStream, type Scenario } from '../tcp_stream.js';
import { diskPart, type DiskEffort } from './diskpart.js';
import { environment, finished } from './environment.js';
import { Rig, placement, type VariantSpec } from './rig.js';
import type { Report, Result, Skipped } from './schema.js';
import { iperf3Rows } from './tcp.js';
import { tcpPaths } from './tcppaths.js';
import { WindowSession } from './windows.js';

export type Size = 'quick' | 'default' | 'full';

interface Effort {
  rounds: number;
  rttRounds: number;
  /** Frame lengths measured towards L2 too. */
  rx: readonly number[];
  tcpRounds: number;
  tcpSeconds: number;
  iperfSeconds: number;
  queues: readonly number[];
  verifyAll: boolean;
  /** Seconds after which a busy machine gets no second try, and no further round of TCP. */
  ppsUntil: number;
  tcpUntil: number;
  disk: DiskEffort;
}

const EFFORT: Record<Size, Effort> = {
  quick: {
    rounds: 10,
    rttRounds: 4,
    rx: [1500],
    tcpRounds: 2,
    tcpSeconds: 0.2,
    iperfSeconds: 0,
    queues: [1],
    verifyAll: false,
    ppsUntil: 18,
    tcpUntil: 36,
    disk: { rounds: 5, ms: 80, mib: 128, fillMs: 4000, until: 60 },
  },
  default: {
    rounds: 26,
    rttRounds: 8,
    rx: FRAMES,
    tcpRounds: 6,
    tcpSeconds: 0.25,
    iperfSeconds: 1,
    queues: [1],
    verifyAll: false,
    ppsUntil: 60,
    tcpUntil: 120,
    disk: { rounds: 5, ms: 200, mib: 512, fillMs: 8000, until: 160 },
  },
  full: {
    rounds: 80,
    rttRounds: 30,
    rx: FRAMES,
    tcpRounds: 16,
    tcpSeconds: 0.3,
    iperfSeconds: 2,
    queues: [1, 4],
    verifyAll: true,
    ppsUntil: 900,
    tcpUntil: 1800,
    disk: { rounds: 15, ms: 1000, mib: 1600, fillMs: 120_000, until: 2400 },
  },
};

export const PATHS: readonly VariantSpec[] = [
  { name: 'single', path: 'single' },
  { name: 'copy', path: 'copy' },
  { name: 'translate', path: 'translate' },
  { name: 'direct', path: 'direct' },
  // what an unmodified provider's backend allows
  { name: 'single-copy', path: 'single', grants: 'copy' },
];

export interface JobOptions {
  size: Size;
  flags: readonly string[];
  signal: AbortSignal;
  /** What is being done, for a terminal. */
  progress: (text: string) => void;
  /** performance.now() when it began. */
  began: number;
  /** One line a user should see. */
  line: (text: string) => void;
}

interface Found {
  results: Result[];
  skipped: Skipped[];
}

const add = (into: Found, from: Found): void => {
  into.results.push(...from.results);
  into.skipped.push(...from.skipped);
};

async function firstFigure(o: JobOptions, found: Found): Promise<void> {
  const first = await bareRing(placement(), 8);
  if (!first?.packetsPerSecond) return;
  const mpps = (first.packetsPerSecond.median / 1e6).toFixed(1);
  const hop = first.hopNs ?? 0;
  o.line(`first figure: a bare ring moves ${mpps} Mpps of 64 B; a cache line takes ${hop} ns`);
  found.results.push(first);
}

function specsOf(effort: Effort): VariantSpec[] {
  return effort.queues.flatMap((queues) =>
    queues === 1
      ? [...PATHS]
      : PATHS.filter((p) => p.grants === undefined && p.name !== 'single').map((p) => ({
          ...p,
          name: `${p.name}-${queues}q`,
          queues,
        })),
  );
}

async function lineRate(o: JobOptions, effort: Effort, found: Found): Promise<void> {
  const notices = new Set<string>();
  await using rig = await Rig.up(specsOf(effort), {
    placement: placement(),
    signal: o.signal,
    notice: (text) => notices.add(text),
  });
  for (const text of notices) o.line(text);
  found.skipped.push(...rig.skipped);
  for (const frameBytes of FRAMES) {
    for (const direction of ['tx', 'rx'] as const) {
      if (direction === 'rx' && !effort.rx.includes(frameBytes)) continue;
      o.signal.throwIfAborted();
      o.progress(`${frameBytes}-byte frames, ${direction === 'tx' ? 'L2 to L0' : 'L0 to L2'}`);
      const until = o.began + effort.ppsUntil * 1000;
      add(found, await pps(rig, { frameBytes, direction, rounds: effort.rounds, until }));
      if (!effort.verifyAll) continue;
      const all = await pps(rig, { frameBytes, direction, rounds: 10, verifyAll: true });
      for (const r of all.results) found.results.push({ ...r, verifyAll: true });
    }
  }
  o.progress('round trips');
  add(found, await rtt(rig, { rounds: effort.rttRounds }));
}

const TCP: readonly (readonly [string, Scenario])[] = [
  ['TCP from L2', tcpStream],
  ['TCP to L2', tcpMaerts],
  ['requests and responses', tcpRr],
];

async function realTraffic(o: JobOptions, effort: Effort, found: Found): Promise<void> {
  const { paths, skipped } = await tcpPaths(PATHS, ['veth', 'splice'], o.signal);
  found.skipped.push(...oncePerReason(skipped));
  const { front, back } = placement();
  const session = await WindowSession.start([], [front, back]);
  const tcpBegan = performance.now() - o.began;
  let done = 0;
  try {
    for (const [what, scenario] of TCP) {
      o.signal.throwIfAborted();
      o.progress(what);
      const { tcpRounds: rounds, tcpSeconds: seconds } = effort;
      done += 1;
      const share = (effort.tcpUntil * 1000 - tcpBegan) * (done / TCP.length);
      const until = o.began + tcpBegan + share;
      add(found, await scenario(paths, session, { rounds, seconds, signal: o.signal, until }));
    }
    if (effort.iperfSeconds > 0 && performance.now() < o.began + effort.tcpUntil * 1000 + 5000) {
      o.progress('iperf3');
      add(found, await iperf3Rows(paths, effort.iperfSeconds));
    }
  } finally {
    await session.close();
    await Promise.all(paths.map((p) => p.close()));
  }
}

/** A refused kernel feature stops all paths alike: one line says it. */
function oncePerReason(skipped: readonly Skipped[]): Skipped[] {
  const paths = new Map<string, string[]>();
  for (const s of skipped) paths.set(s.reason, [...(paths.get(s.reason) ?? []), s.path ?? '']);
  const first = (reason: string): Skipped | undefined => skipped.find((s) => s.reason === reason);
  return [...paths].flatMap(([reason, names]) => {
    const s = first(reason);
    if (!s) return [];
    const { bench, remedy } = s;
    return [{ bench, ...(names.length <= 3 && { path: names.join(' ') }), reason, remedy }];
  });
}

/** A part that fails as a whole is one skip; the rest runs. */
async function part(name: string, o: JobOptions, found: Found, run: () => Promise<void>) {
  try {
    await run();
  } catch (error) {
    if (o.signal.aborted) throw error;
    const reason = error instanceof Error ? error.message : String(error);
    found.skipped.push({ bench: name, reason, remedy: 'npx nestfront doctor says more' });
  }
}

/** Runs it all; what cannot run here is in `skipped` with its remedy. */
export async function mainJob(o: JobOptions): Promise<Report> {
  const started = environment(o.flags);
  const effort = EFFORT[o.size];
  const found: Found = { results: [], skipped: [] };
  await part('bare_ring', o, found, () => firstFigure(o, found));
  await part('pps', o, found, () => lineRate(o, effort, found));
  await part('tcp', o, found, () => realTraffic(o, effort, found));
  await part('blk', o, found, async () =>
    add(found, await diskPart({ ...o, effort: effort.disk })),
  );
  return { schemaVersion: 1, environment: finished(started), ...found };
}
