// SPDX-License-Identifier: MIT
// From windows and counters to results.
import type { CounterName } from '../../lib/api/counters.js';
import type { Stack } from '../../lib/stack/stack.js';
import {
  classHop,
  classify,
  commonClass,
  isDisturbed,
  pairedRatio,
  type ClassedWindow,
  type HopClass,
  type RatioResult,
} from './classes.js';
import { processesOf, type Rig } from './rig.js';
import type { Result } from './schema.js';
import { isNoisy, spread } from './stats.js';
import type { Measured, Totals } from './windows.js';

/** What was asked of a group of windows. */
export interface Asked {
  frameBytes: number;
  direction: 'tx' | 'rx';
  batch: number;
  windowMs: number;
}

/** Sum of one counter over all domains of a variant. */
export function sumOf(totals: Totals, name: CounterName): number {
  return Object.values(totals).reduce((sum, d) => sum + (d[name] ?? 0), 0);
}

/** Windows that did not count, by reason. */
export function droppedOf(measured: Measured, variant: string): Record<string, number> {
  const out: Record<string, number> = {};
  for (const w of measured.windows)
    if (w.variant === variant && w.dropped !== undefined)
      out[w.dropped] = (out[w.dropped] ?? 0) + 1;
  return out;
}

function perPacket(totals: Totals): Partial<Result> {
  const packets = sumOf(totals, 'sink_packets');
  const bytes = sumOf(totals, 'sink_bytes');
  if (packets === 0) return {};
  const grantOps = (['grant_copies', 'grant_maps', 'grant_unmaps'] as const).reduce(
    (sum, name) => sum + sumOf(totals, name),
    0,
  );
  return {
    // the sink's own copy out of the ring's pages is one; relays and grant copies add to it
    copiesPerPacket: round(1 + sumOf(totals, 'payload_copies') / bytes, 3),
    grantOpsPerPacket: round(grantOps / packets, 4),
    notificationsPerPacket: round(sumOf(totals, 'notify_sent') / packets, 5),
  };
}

function integrity(totals: Totals): Partial<Result> {
  const missing = sumOf(totals, 'gen_packets') - sumOf(totals, 'sink_packets');
  return {
    lost: Math.max(0, missing, sumOf(totals, 'sink_lost')),
    duplicated: sumOf(totals, 'sink_duplicated'),
    reordered: sumOf(totals, 'sink_reordered'),
    corrupted: sumOf(totals, 'sink_corrupted'),
    verified: sumOf(totals, 'sink_verified'),
  };
}

function cpuOf(windows: readonly ClassedWindow[]): Partial<Result> {
  const packets = windows.reduce((n, w) => n + w.packets, 0);
  const bytes = windows.reduce((n, w) => n + w.bytes, 0);
  const byDomain: Record<string, number> = {};
  for (const w of windows)
    for (const [key, ns] of Object.entries(w.cpuNs)) {
      const name = key.replace(/\.\d+$/, '');
      byDomain[name] = (byDomain[name] ?? 0) + ns;
    }
  const total = Object.values(byDomain).reduce((a, b) => a + b, 0);
  return {
    cpuSecondsPerGigabyte: bytes > 0 ? round(total / bytes, 4) : 0, // ns a byte = s a gigabyte
    cpuNsPerPacket: Object.fromEntries(
      Object.entries(byDomain).map(([k, ns]) => [k, round(ns / packets, 2)]),
    ),
  };
}

export const round = (x: number, digits: number): number => Number(x.toFixed(digits));

function absolute(windows: readonly ClassedWindow[]): Partial<Result> {
  const packets = spread(windows.map((w) => (w.packets / w.ns) * 1e9));
  const bits = spread(windows.map((w) => ((w.bytes * 8) / w.ns) * 1e9));
  return { packetsPerSecond: packets, bitsPerSecond: bits };
}

const asRatio = (r: RatioResult): NonNullable<Result['ratioToSingle']> => r;

/** Which limit a frame size is held against. */
export const limitOf = (frameBytes: number): 'bare_ring' | 'copy_limit' =>
  frameBytes < 256 ? 'bare_ring' : 'copy_limit';

function ratios(windows: readonly ClassedWindow[], name: string, asked: Asked): Partial<Result> {
  const limit = limitOf(asked.frameBytes);
  const single = name === 'single' ? undefined : pairedRatio(windows, name, 'single');
  const toLimit = name === limit ? undefined : pairedRatio(windows, name, limit);
  const decisive = single ?? toLimit;
  return {
    ...(single && { ratioToSingle: asRatio(single) }),
    ...(toLimit && { ratioToLimit: asRatio(toLimit), limit }),
    ...(decisive && { noisy: isNoisy(decisive) || isDisturbed(windows) }),
  };
}

/** What a variant is, besides its figures. */
export function identity(
  rig: Rig,
  name: string,
): Pick<Result, 'depth' | 'cpus' | 'pids' | 'dataProcesses'> & Partial<Result> {
  const { front, back, relay } = rig.placement;
  const variant = rig.variants.get(name);
  const pids = rig.session.pids(name);
  if (variant === undefined)
    return { depth: 0, cpus: { front: [front], back: [back] }, pids, dataProcesses: 2 };
  const { path } = variant;
  const cpus: Record<string, number[]> = { [variant.device.front.name]: [front], L0: [back] };
  if (processesOf(path) === 3) cpus['L1'] = [relay];
  const block = variant.device.back.counters.blocks({ kind: 'netback' })[0];
  return {
    path,
    depth: path === 'single' ? 1 : 2,
    provider: 'nestfront',
    grants: grantsOf(block?.grants),
    queues: variant.queues ?? 1,
    notify: rig.notify,
    isolated: variant.stack.isolated,
    ...confinement(variant.stack),
    cpus,
    pids,
    dataProcesses: processesOf(path),
  };
}

/** Only a relay in `direct` mode knows; others say nothing. */
function confinement(stack: Stack): Partial<Result> {
  const blocks = stack.domains.flatMap((d) => d.counters.blocks());
  const told = blocks.find((b) => b.confined !== undefined);
  return told?.confined === undefined ? {} : { confined: told.confined };
}

function grantsOf(counted: string | undefined): NonNullable<Result['grants']> {
  return counted === 'copy' || counted === 'map' || counted === 'persistent' ? counted : 'static';
}

/** The result of one variant of a group, or undefined when no window of it counts. */
export function resultOf(
  rig: Rig,
  measured: Measured,
  name: string,
  asked: Asked,
): Result | undefined {
  const all = classify(measured.windows);
  const own = all.filter((w) => w.variant === name);
  if (own.length === 0) return undefined;
  const shown: HopClass = commonClass(all);
  const same = own.filter((w) => w.class === shown);
  const used = same.length > 0 ? same : own;
  const totals = measured.totals[name] ?? {};
  const isLimit = name === 'bare_ring' || name === 'copy_limit';
  return {
    bench: isLimit ? name : 'pps',
    ...identity(rig, name),
    direction: asked.direction,
    frameBytes: asked.frameBytes,
    batch: asked.batch,
    tool: 'nf-window',
    ...absolute(used),
    class: used[0]?.class ?? shown,
    hopNs: round(classHop(used, used[0]?.class ?? shown), 1),
    ...ratios(all, name, asked),
    ...(isDisturbed(own) && { disturbed: true, noisy: true }),
    ...perPacket(totals),
    ...integrity(totals),
    ...cpuOf(used),
    seconds: asked.windowMs / 1000,
    repetitions: used.length,
    windowsDropped: droppedOf(measured, name),
  };
}
