// SPDX-License-Identifier: MIT
import { Worker } from 'node:worker_threads';
import test from 'ava';
import { NestfrontError } from '../../lib/errors.js';
import { ControlPage } from '../../lib/api/control.js';
import { Counters, counterInfo } from '../../lib/api/counters.js';
import { Latency, latencyBucket } from '../../lib/api/latency.js';
import * as n from '../../lib/generated/layout.js';

const BLOCKS = 8;

/** A counters page as C writes one, `fill` writing its blocks. */
function page(fill?: (view: DataView, base: (block: number) => number) => void): SharedArrayBuffer {
  const memory = new SharedArrayBuffer(
    n.NF_COUNTERS_HEADER_BYTES + BLOCKS * n.NF_COUNTERS_BLOCK_BYTES,
  );
  const view = new DataView(memory);
  view.setUint32(0, n.NF_COUNTERS_MAGIC, true);
  view.setUint16(4, n.NF_COUNTERS_VERSION, true);
  view.setUint16(6, counterInfo.length, true);
  view.setUint32(8, BLOCKS, true);
  view.setUint32(20, 3, true);
  fill?.(view, (block) => n.NF_COUNTERS_HEADER_BYTES + block * n.NF_COUNTERS_BLOCK_BYTES);
  return memory;
}

function netfront(view: DataView, base: number, devid: number, queue: number): void {
  view.setUint8(base + 4, n.NF_BLOCK_NETFRONT);
  view.setUint8(base + 6, n.NF_GRANTS_STATIC);
  view.setUint8(base + 7, 4);
  view.setUint16(base + 10, devid, true);
  view.setUint16(base + 12, queue, true);
  view.setUint32(base + 16, 2, true);
}

test('blocks are found, filtered and summed', (t) => {
  const memory = page((view, base) => {
    for (const [block, devid, queue] of [
      [0, 7, 0],
      [2, 7, 1],
      [3, 8, 0],
    ] as const) {
      netfront(view, base(block), devid, queue);
      view.setBigUint64(base(block) + 64, 10n ** BigInt(block), true);
    }
  });
  const counters = new Counters(memory);
  t.is(counters.domid, 3);
  t.deepEqual(
    counters.blocks().map((b) => b.index),
    [0, 2, 3],
  );
  const [first] = counters.blocks({ devid: 7, queue: 1 });
  t.like(first, {
    index: 2,
    kind: 'netfront',
    mode: 'none',
    grants: 'static',
    state: 'Connected',
    confined: undefined,
    generation: 2,
    error: 0,
  });
  t.is(counters.total({ kind: 'netfront', devid: 7 }).tx_packets, 101);
  t.is(counters.total({ kind: 'netback' }).tx_packets, 0);
  t.is(counters.word(3, 'tx_packets'), 1000n);
});

test('each word has the place counters.def gives it', (t) => {
  const memory = page((view, base) => {
    netfront(view, base(1), 0, 0);
    counterInfo.forEach((_c, i) => view.setBigUint64(base(1) + 64 + 8 * i, BigInt(i) + 1n, true));
  });
  const values = new Counters(memory).read(1);
  t.deepEqual(
    counterInfo.map(({ name }) => values[name]),
    counterInfo.map((_c, i) => i + 1),
  );
});

test('counts beyond 2^53 are exact through word()', (t) => {
  const big = 2n ** 60n + 1n;
  const memory = page((view, base) => view.setBigUint64(base(0) + 64, big, true));
  t.is(new Counters(memory).word(0, 'tx_packets'), big);
});

test('what is not a counters page is refused', (t) => {
  const refused = (change: (view: DataView) => void, text: RegExp): void => {
    const memory = page();
    change(new DataView(memory));
    const error = t.throws(() => new Counters(memory), { instanceOf: NestfrontError });
    t.is(error.code, 'NF_EVERSION');
    t.regex(error.message, text);
  };
  refused((view) => view.setUint32(0, 1, true), /magic/);
  refused((view) => view.setUint16(4, 9, true), /version 9/);
  refused((view) => view.setUint32(8, BLOCKS + 1, true), /claims 9 blocks, 8 fit/);
  t.throws(() => new Counters(new SharedArrayBuffer(64)), { message: /too short/ });
});

test('wrong blocks and names are refused', (t) => {
  const counters = new Counters(page());
  t.throws(() => counters.read(BLOCKS), { instanceOf: RangeError });
  t.throws(() => counters.read(-1), { instanceOf: RangeError });
  t.throws(() => counters.word(0, 'nonsense' as 'tx_packets'), { instanceOf: TypeError });
});

test('a header under change is not believed: stuck odd is an error', (t) => {
  const memory = page((view, base) => {
    netfront(view, base(0), 1, 0);
    view.setUint32(base(0), 1, true);
  });
  const error = t.throws(() => new Counters(memory).blocks(), { instanceOf: NestfrontError });
  t.is(error.code, 'NF_EAGAIN');
});

test('a header is never half old, half new', async (t) => {
  const memory = page((view, base) => {
    netfront(view, base(0), 0, 0);
    view.setUint32(base(0) + 16, 0, true);
  });
  const code = `
    const { workerData, parentPort } = require('node:worker_threads');
    const view = new DataView(workerData), words = new Uint32Array(workerData);
    const base = ${n.NF_COUNTERS_HEADER_BYTES};
    parentPort.postMessage('go');
    const stop = (base + 64) / 4;
    for (let i = 1; i < 3e6 && Atomics.load(words, stop) === 0; i++) {
      Atomics.add(words, base / 4, 1);
      view.setUint16(base + 10, i & 0xffff, true);
      view.setUint16(base + 12, i & 0xffff, true);
      view.setUint32(base + 16, i & 0xffff, true);
      Atomics.add(words, base / 4, 1);
      for (let pause = 0; pause < 50; pause++) Atomics.load(words, 0);
    }`;
  const worker = new Worker(code, { eval: true, workerData: memory });
  const ended = new Promise((resolve) => worker.once('exit', resolve));
  await new Promise((resolve) => worker.once('message', resolve));
  const counters = new Counters(memory);
  const seen = new Set<number>();
  const began = performance.now();
  const enough = (): boolean => seen.size > 100 && performance.now() - began > 200;
  while (!enough() && performance.now() - began < 10_000) {
    const [block] = counters.blocks();
    seen.add(block!.generation);
    if (block!.devid !== block!.queue || block!.devid !== (block!.generation & 0xffff))
      return t.fail(`torn: ${JSON.stringify(block)}`);
  }
  Atomics.store(new Uint32Array(memory), (n.NF_COUNTERS_HEADER_BYTES + 64) / 4, 1);
  await ended;
  t.true(seen.size > 10, `the writer ran: ${seen.size} headers seen`);
});

test('latency buckets invert nf_latency_bucket', (t) => {
  const bucketInC = (ns: number): number => {
    if (ns < 16) return ns;
    const log = Math.floor(Math.log2(ns));
    return Math.min(16 + (log - 4) * 8 + (Math.floor(ns / 2 ** (log - 3)) & 7), 239);
  };
  let edge = 0;
  for (let index = 0; index < n.NF_LATENCY_BUCKETS; index += 1) {
    const { low, width } = latencyBucket(index);
    t.is(low, edge, 'no gap');
    edge = low + width;
    t.is(bucketInC(low), index);
    t.is(bucketInC(low + width - 1), index);
  }
  t.throws(() => latencyBucket(240), { instanceOf: RangeError });
});

test('quantiles come from the histogram over its four blocks', (t) => {
  const memory = page((view, base) => {
    view.setUint8(base(2) + 4, n.NF_BLOCK_LATENCY);
    view.setUint16(base(2) + 10, 5, true);
    view.setBigUint64(base(2) + 64 + 8 * 10, 98n, true); // 10 ns
    view.setBigUint64(base(2) + 64 + 8 * 239, 2n, true);
    netfront(view, base(6), 5, 0);
  });
  const counters = new Counters(memory);
  t.deepEqual(
    counters.blocks().map((b) => [b.index, b.kind]),
    [
      [2, 'latency'],
      [6, 'netfront'],
    ],
  );
  const latency = counters.latency({ devid: 5 });
  t.is(latency.count, 100);
  t.is(latency.quantile(0.5), 10);
  t.is(latency.quantile(0.98), 10);
  t.true(latency.quantile(0.99) > 1e9);
  t.is(counters.latency({ devid: 6 }).count, 0);
  t.is(new Latency([]).quantile(0.5), NaN);
  t.is(latency.since(latency).count, 0);
  t.throws(() => latency.quantile(2), { instanceOf: RangeError });
});

function controlPage(): SharedArrayBuffer {
  const memory = new SharedArrayBuffer(4096);
  new DataView(memory).setUint32(0, n.NF_CONTROL_MAGIC, true);
  return memory;
}

test('orders go where control.h says', (t) => {
  const memory = controlPage();
  const control = new ControlPage(memory);
  control.order(65, { mode: 'ping', frameBytes: 1500, batch: 64, verifyEvery: 1, limit: 9 });
  const view = new DataView(memory, 64 + (65 % 63) * 64);
  t.deepEqual(
    [0, 4, 8, 12, 16, 20].map((offset) => view.getUint32(offset, true)),
    [n.NF_GEN_PING, 1500, 64, 1, 9, 1],
  );
  control.order(65, { mode: 'idle' });
  t.like(control.orders(65), { mode: 'idle', frameBytes: 1500, limit: 9 });
  control.order(65, { limit: 9 });
  t.is(view.getUint32(20, true), 2, 'the same limit again starts the count again');
});

test('orders out of range are refused and change nothing', (t) => {
  const memory = controlPage();
  const control = new ControlPage(memory);
  const before = Buffer.from(memory.slice(0));
  for (const orders of [
    { frameBytes: 59 },
    { frameBytes: 65_536 },
    { batch: 257 },
    { mode: 'run' as 'send' },
    { batch: 4, frameBytes: 1.5 },
  ])
    t.throws(() => control.order(0, orders), { instanceOf: RangeError });
  t.throws(() => control.order(-1, {}), { instanceOf: RangeError });
  t.deepEqual(Buffer.from(memory.slice(0)), before);
  t.throws(() => new ControlPage(new SharedArrayBuffer(4096)), { message: /magic/ });
});
