// SPDX-License-Identifier: MIT
// From two readings of the counters to rates: a row a device, queue and layer.
import { counterInfo } from '../../lib/api/counters.js';
import type { BlockHeader, CounterName, CounterValues } from '../../lib/api/counters.js';
import type { Latency } from '../../lib/api/latency.js';
import type { LinkRecord } from '../../lib/stack/registry.js';
import type { Page } from './sources.js';

/** Counters that say how full something is now; they have no rate. */
export const GAUGES: readonly CounterName[] = ['tx_ring_used', 'rx_ring_posted'];

/** Every reason for which a frame or a request was not delivered. */
export const DROPS: readonly CounterName[] = [
  'tx_dropped_error',
  'tx_dropped_port',
  'rx_dropped_error',
  'rx_dropped_no_slots',
  'rx_dropped_port',
  'rx_dropped_malformed',
  'tx_spoofed',
  'flood_limited',
  'rx_unknown',
  'rx_reflected',
  'tap_drops',
  'sink_lost',
  'sink_corrupted',
  'protocol_errors',
  'blk_errors',
  'blk_refused',
];

/** A reading of one block. */
export interface Reading {
  readonly page: Page;
  readonly block: BlockHeader;
  readonly values: CounterValues;
  readonly latency: Latency;
}

/** A reading of everything, by a key that stays while the device does. */
export interface Shot {
  readonly atMs: number;
  readonly readings: ReadonlyMap<string, Reading>;
}

/** One device's queue on one layer over one interval. Rates are a second's. */
export interface Row {
  readonly stack: string;
  readonly layer: string;
  readonly domain: string;
  /** As the stack's configuration names it; undefined where there is none. */
  readonly device: string | undefined;
  readonly kind: string;
  readonly devid: number;
  readonly queue: number;
  readonly mode: string;
  readonly grants: string;
  readonly state: string;
  readonly peer: number;
  readonly error: number;
  /** Of each counter that moved. */
  readonly rates: Partial<CounterValues>;
  /** Of each reason that occurred; also totals since the device is there. */
  readonly drops: Partial<CounterValues>;
  readonly dropsTotal: Partial<CounterValues>;
  readonly ring: { readonly txUsed: number; readonly rxPosted: number };
  /** Of the interval, where the device times anything. */
  readonly latencyNs?: { p50: number; p99: number; p999: number; max: number; count: number };
}

export function isDisk(row: { readonly kind: string }): boolean {
  return row.kind.startsWith('blk');
}

/** Reads all blocks of all pages. */
export function shoot(pages: readonly Page[]): Shot {
  const readings = new Map<string, Reading>();
  for (const page of pages) {
    for (const block of page.counters.blocks()) {
      if (block.kind === 'latency') continue;
      const { kind, devid, queue, peer, index } = block;
      const key = `${page.key}/${index}/${kind}/${peer}/${devid}/${queue}`;
      const values = page.counters.read(index);
      const latency = page.counters.latency({ devid, queue, peer, of: kind });
      readings.set(key, { page, block, values, latency });
    }
  }
  return { atMs: performance.now(), readings };
}

/** The link of the stack that a block counts for. */
function linkOf({ page, block }: Reading): LinkRecord | undefined {
  const { domain } = page;
  const wanted = block.kind.startsWith('blk') ? 'disk' : 'net';
  return page.links.find((link) => {
    if ((link.kind ?? 'net') !== wanted || link.devid !== block.devid) return false;
    if (block.kind.endsWith('front')) return link.front.domain === domain;
    return link.back.domain === domain && link.front.domid === block.peer;
  });
}

type Change = (name: CounterName) => number;

/** How much each counter moved; one that ran backwards began anew. */
function changeOf(now: CounterValues, before: CounterValues | undefined): Change {
  return (name) => {
    const change = now[name] - (before?.[name] ?? now[name]);
    return change < 0 ? now[name] : change;
  };
}

function moved(names: readonly CounterName[], value: Change): Partial<CounterValues> {
  const pairs = names.map((name) => [name, value(name)] as const).filter(([, v]) => v !== 0);
  return Object.fromEntries(pairs) as Partial<CounterValues>;
}

const COUNTED = counterInfo.map((c) => c.name).filter((name) => !GAUGES.includes(name));

function rowOf(reading: Reading, before: Reading | undefined, seconds: number): Row {
  const { page, block, values, latency } = reading;
  const change = changeOf(values, before?.values);
  const perSecond: Change = (name) => Math.round((change(name) / seconds) * 10) / 10;
  const timed = before === undefined ? latency : latency.since(before.latency);
  const { kind, devid, queue, mode, grants, state, peer, error } = block;
  return {
    stack: page.stack,
    layer: page.layer,
    domain: page.domain,
    device: linkOf(reading)?.device,
    ...{ kind, devid, queue, mode, grants, state, peer, error },
    rates: moved(COUNTED, perSecond),
    drops: moved(DROPS, perSecond),
    dropsTotal: moved(DROPS, (name) => values[name]),
    ring: { txUsed: values.tx_ring_used, rxPosted: values.rx_ring_posted },
    ...(timed.count > 0 ? { latencyNs: { ...timed.summary(), count: timed.count } } : {}),
  };
}

/** The rows between two shots, those of a device that came in between at no rate. */
export function rowsOf(before: Shot, after: Shot): Row[] {
  const seconds = Math.max(0.001, (after.atMs - before.atMs) / 1000);
  const rows = [...after.readings].map(([key, reading]) =>
    rowOf(reading, before.readings.get(key), seconds),
  );
  const isIdleSpare = (row: Row): boolean =>
    row.state === 'Unknown' && Object.keys(row.rates).length === 0;
  return rows.filter((row) => !isIdleSpare(row));
}
