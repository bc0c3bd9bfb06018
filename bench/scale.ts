// SPDX-License-Identifier: MIT
// nestfront bench scale: many devices over many domains; what each costs, and what all cost idle.
import { setTimeout as sleep } from 'node:timers/promises';
import type { NetLink } from '../lib/index.js';
import { NestfrontError } from '../lib/errors.js';
import { activity, between, descriptors, pssKib } from './lib/procs.js';
import type { Activity } from './lib/procs.js';
import { Town } from './lib/town.js';

export interface ScaleOptions {
  readonly domains: number;
  readonly devices: number;
  readonly idleSeconds: number;
  readonly signal?: AbortSignal | undefined;
  readonly note?: (line: string) => void;
  readonly log?: (line: string) => void;
}

/** What one process of a kind holds, and what a device adds to it. */
export interface Footprint {
  readonly process: string;
  readonly pssKib: number;
  readonly fds: number;
  readonly pssKibPerDevice: number;
  readonly fdsPerDevice: number;
}

export interface ScaleResult {
  readonly bench: 'scale';
  readonly domains: number;
  readonly devices: number;
  readonly isolated: boolean;
  readonly processes: number;
  readonly connectMs: {
    readonly p50: number;
    readonly p95: number;
    readonly p99: number;
    readonly max: number;
    /** Median of the first and of the last tenth of all devices. */
    readonly first: number;
    readonly last: number;
  };
  /** CPU time of all processes, this one too, for each connect. */
  readonly connectCpuMs: number;
  readonly footprints: readonly Footprint[];
  /** Everything, shared pages counted once. */
  readonly totalPssKib: number;
  readonly pssKibPerDevice: number;
  readonly fdsPerDevice: number;
  readonly idle: Activity & { readonly seconds: number };
  /** Frames that went through a sample of the devices afterwards, all checked. */
  readonly frames: number;
}

const SAMPLE = 16;
const FRAMES = 64;
const SETTLE_MS = 2_000;
const DELIVER_MS = 20_000;

interface Holding {
  readonly pss: number;
  readonly fds: number;
}

function holdings(town: Town): Holding[] {
  return town.processes.map(({ id }) => ({ pss: pssKib(id.pid), fds: descriptors(id.pid) }));
}

function middle(sorted: readonly number[], at = 0.5): number {
  return sorted[Math.min(sorted.length - 1, Math.floor(sorted.length * at))] ?? NaN;
}

function ascending(values: readonly number[]): number[] {
  return [...values].sort((a, b) => a - b);
}

function summary(times: readonly number[]): ScaleResult['connectMs'] {
  const sorted = ascending(times);
  const tenth = Math.max(1, Math.floor(times.length / 10));
  return {
    p50: middle(sorted),
    p95: middle(sorted, 0.95),
    p99: middle(sorted, 0.99),
    max: sorted.at(-1) ?? NaN,
    first: middle(ascending(times.slice(0, tenth))),
    last: middle(ascending(times.slice(-tenth))),
  };
}

function footprints(before: Holding[], after: Holding[], o: ScaleOptions): Footprint[] {
  const share = o.devices / o.domains;
  const row = (process: string, of: (h: Holding[]) => Holding, devices: number): Footprint => {
    const [was, is] = [of(before), of(after)];
    return {
      process,
      pssKib: is.pss,
      fds: is.fds,
      pssKibPerDevice: (is.pss - was.pss) / devices,
      fdsPerDevice: (is.fds - was.fds) / devices,
    };
  };
  const guests = (h: Holding[]): Holding => {
    const rest = h.slice(3);
    const mean = (key: keyof Holding): number =>
      rest.reduce((sum, x) => sum + x[key], 0) / rest.length;
    return { pss: mean('pss'), fds: mean('fds') };
  };
  return [
    row('hypervisor', (h) => h[0]!, o.devices),
    row('keeper', (h) => h[1]!, o.devices),
    row('L0', (h) => h[2]!, o.devices),
    row('guest', guests, share),
  ];
}

/** Connects one after the other, round the guests; how long each took, ms. */
async function connectAll(town: Town, o: ScaleOptions): Promise<[NetLink[], number[]]> {
  const links: NetLink[] = [];
  const times: number[] = [];
  for (let i = 0; i < o.devices; i++) {
    o.signal?.throwIfAborted();
    const guest = town.guests[i % o.domains]!;
    const begin = performance.now();
    const link = await town.attach(guest, Math.floor(i / o.domains));
    await link.connected({ signal: o.signal });
    times.push(performance.now() - begin);
    links.push(link);
    if ((i + 1) % 100 === 0)
      o.note?.(`${i + 1} devices, the last in ${times.at(-1)!.toFixed(1)} ms`);
  }
  return [links, times];
}

/** Devices spread over the domains still carry frames, each whole. */
async function carry(town: Town, o: ScaleOptions): Promise<number> {
  let frames = 0;
  const step = Math.max(1, Math.floor(o.devices / SAMPLE));
  for (let i = 0; i < o.devices; i += step) {
    const guest = town.guests[i % o.domains]!;
    const devid = Math.floor(i / o.domains);
    const filter = { kind: 'netback', devid, peer: guest.domain.domid } as const;
    const taken = (): ReturnType<typeof town.driver.counters.total> =>
      town.driver.counters.total(filter);
    guest.control.order(devid, { mode: 'send', frameBytes: 1500, limit: FRAMES, verifyEvery: 1 });
    const until = performance.now() + DELIVER_MS;
    while (taken().sink_packets < FRAMES && performance.now() < until) await sleep(2);
    const { sink_packets, sink_corrupted, sink_lost } = taken();
    if (sink_packets !== FRAMES || sink_corrupted + sink_lost > 0)
      throw new NestfrontError(
        'NF_EIO',
        'bench.scale',
        `device ${devid} of ${guest.domain.name}: ${sink_packets} of ${FRAMES} frames, ` +
          `${sink_corrupted} corrupted, ${sink_lost} lost`,
      );
    frames += sink_packets;
  }
  return frames;
}

/** @throws NestfrontError a device did not connect, or did not carry what was sent */
export async function scale(o: ScaleOptions): Promise<ScaleResult> {
  await using town = await Town.up({ guests: o.domains, log: o.log ?? (() => undefined), ...o });
  const pids = town.processes.map(({ id }) => id.pid);
  const before = holdings(town);
  const all = [process.pid, ...pids];
  const began = activity(all);
  const [links, times] = await connectAll(town, o);
  const connecting = between(began, activity(all));
  const after = holdings(town);
  await sleep(SETTLE_MS);
  const start = activity(pids);
  await sleep(o.idleSeconds * 1000);
  const idle = between(start, activity(pids));
  const frames = await carry(town, o);
  const total = (list: Holding[], key: keyof Holding): number =>
    list.reduce((sum, h) => sum + h[key], 0);
  const perDevice = (key: keyof Holding): number =>
    (total(after, key) - total(before, key)) / links.length;
  return {
    bench: 'scale',
    domains: o.domains,
    devices: links.length,
    isolated: town.isolated,
    processes: pids.length,
    connectMs: summary(times),
    connectCpuMs: connecting.cpuNs / 1e6 / links.length,
    footprints: footprints(before, after, o),
    totalPssKib: total(after, 'pss'),
    pssKibPerDevice: perDevice('pss'),
    fdsPerDevice: perDevice('fds'),
    idle: { ...idle, seconds: o.idleSeconds },
    frames,
  };
}
