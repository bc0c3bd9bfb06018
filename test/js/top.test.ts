// SPDX-License-Identifier: MIT
// `top` from pages to text: what it shows of counters that C wrote.
import { mkdirSync, mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import test from 'ava';
import { Counters, counterInfo } from '../../lib/api/counters.js';
import type { CounterName } from '../../lib/api/counters.js';
import * as n from '../../lib/generated/layout.js';
import { DROPS, GAUGES, rowsOf, shoot } from '../../tools/top/rows.js';
import { watch } from '../../tools/top/sources.js';
import type { Page } from '../../tools/top/sources.js';
import { COLUMNS, short, time, view } from '../../tools/top/view.js';

const BLOCKS = 16;

/** A counters page and the means to write it as its driver would. */
class Fake {
  readonly memory = new SharedArrayBuffer(
    n.NF_COUNTERS_HEADER_BYTES + BLOCKS * n.NF_COUNTERS_BLOCK_BYTES,
  );
  readonly view = new DataView(this.memory);

  constructor(pid = 1) {
    this.view.setUint32(0, n.NF_COUNTERS_MAGIC, true);
    this.view.setUint16(4, n.NF_COUNTERS_VERSION, true);
    this.view.setUint16(6, counterInfo.length, true);
    this.view.setUint32(8, BLOCKS, true);
    this.view.setUint32(16, pid, true);
  }

  block(index: number, kind: number, devid: number, state = 4): void {
    const base = this.#base(index);
    this.view.setUint8(base + 4, kind);
    this.view.setUint8(base + 7, state);
    this.view.setUint16(base + 8, 1, true);
    this.view.setUint16(base + 10, devid, true);
  }

  latency(index: number, of: number, devid: number, bucket: number, count: bigint): void {
    this.block(index, n.NF_BLOCK_LATENCY, devid);
    this.view.setUint8(this.#base(index) + 25, of);
    this.view.setBigUint64(this.#base(index) + 64 + 8 * bucket, count, true);
  }

  set(index: number, name: CounterName, value: bigint): void {
    const word = counterInfo.findIndex((c) => c.name === name);
    this.view.setBigUint64(this.#base(index) + 64 + 8 * word, value, true);
  }

  page(key = 'k'): Page {
    const counters = new Counters(this.memory);
    const front = { domain: 'L2', domid: 1 };
    const back = { domain: 'L1', domid: 0 };
    const link = { path: 'copy', layer: 'H1' as const, devid: 0, front, back };
    const links = [
      { ...link, device: 'eth' },
      { ...link, device: 'root', kind: 'disk' as const },
    ];
    return { stack: 's', layer: 'H1', domain: 'L2', links, key, counters };
  }

  #base(index: number): number {
    return n.NF_COUNTERS_HEADER_BYTES + index * n.NF_COUNTERS_BLOCK_BYTES;
  }
}

test('rates, rings and drops by reason, of the interval only', (t) => {
  const fake = new Fake();
  fake.block(0, n.NF_BLOCK_NETFRONT, 0);
  fake.set(0, 'tx_packets', 1000n);
  fake.set(0, 'rx_dropped_no_slots', 7n);
  const before = { ...shoot([fake.page()]), atMs: 0 };
  fake.set(0, 'tx_packets', 5000n);
  fake.set(0, 'tx_bytes', 240_000n);
  fake.set(0, 'tx_dropped_port', 6n);
  fake.set(0, 'tx_ring_used', 12n);
  fake.set(0, 'rx_ring_posted', 256n);
  const [row, ...more] = rowsOf(before, { ...shoot([fake.page()]), atMs: 2000 });
  t.deepEqual(more, []);
  t.like(row, { layer: 'H1', domain: 'L2', device: 'eth', kind: 'netfront', state: 'Connected' });
  t.deepEqual(row?.rates, { tx_packets: 2000, tx_bytes: 120_000, tx_dropped_port: 3 });
  t.deepEqual(row?.drops, { tx_dropped_port: 3 });
  t.deepEqual(row?.dropsTotal, { tx_dropped_port: 6, rx_dropped_no_slots: 7 });
  t.deepEqual(row?.ring, { txUsed: 12, rxPosted: 256 });
  t.is(row?.latencyNs, undefined);
  const text = view([row!]);
  t.regex(text[2]!, /^H1 L2 {6}>eth +0 2\.00k +120k +- +- +- +- +12\/256 +3$/);
  t.regex(text[3]!, /tx_dropped_port 6 \(\+3\/s\), rx_dropped_no_slots 7$/);
});

test('a disk and a network device of one number have each its own latency and name', (t) => {
  const fake = new Fake();
  fake.block(0, n.NF_BLOCK_NETFRONT, 0);
  fake.latency(1, n.NF_BLOCK_NETFRONT, 0, 5, 10n);
  fake.block(5, n.NF_BLOCK_BLKFRONT, 0);
  fake.latency(6, n.NF_BLOCK_BLKFRONT, 0, 9, 10n);
  const before = shoot([fake.page()]);
  fake.latency(1, n.NF_BLOCK_NETFRONT, 0, 6, 4n);
  fake.latency(6, n.NF_BLOCK_BLKFRONT, 0, 12, 2n);
  const rows = rowsOf(before, shoot([fake.page()]));
  t.deepEqual(
    rows.map((row) => [row.device, row.latencyNs?.count, row.latencyNs?.p50]),
    [
      ['eth', 4, 6],
      ['root', 2, 12],
    ],
    'what was timed before the interval does not count',
  );
});

test('a driver started anew, or a page of another process, makes no negative rate', (t) => {
  const fake = new Fake();
  fake.block(0, n.NF_BLOCK_NETBACK, 0);
  fake.set(0, 'tx_packets', 900n);
  const before = { ...shoot([fake.page()]), atMs: 0 };
  fake.set(0, 'tx_packets', 100n);
  const again = rowsOf(before, { ...shoot([fake.page()]), atMs: 1000 });
  t.is(again[0]?.rates.tx_packets, 100);
  const other = rowsOf(before, { ...shoot([fake.page('other')]), atMs: 1000 });
  t.deepEqual(other[0]?.rates, {}, 'it was not there before: no rate is known');
});

test('every line fits 80 columns, and the height that there is', (t) => {
  const fake = new Fake();
  for (let i = 0; i < 8; i += 1) fake.block(i, n.NF_BLOCK_NETBACK, i, 3);
  const before = { ...shoot([fake.page()]), atMs: 0 };
  for (let i = 0; i < 8; i += 1) for (const { name } of counterInfo) fake.set(i, name, 2n ** 52n);
  const rows = rowsOf(before, { ...shoot([fake.page()]), atMs: 1 });
  const lines = view(rows);
  for (const line of lines) t.true(line.length <= COLUMNS, line);
  for (const name of DROPS) t.true(lines.join('\n').includes(name), name);
  const cut = view(rows, 10);
  t.is(cut.length, 10);
  t.regex(cut[9]!, new RegExp(`^\\.\\.\\. ${lines.length - 9} more lines`));
});

test('gauges and drop reasons are counters there are', (t) => {
  const names = counterInfo.map((c) => c.name);
  for (const name of [...GAUGES, ...DROPS]) t.true(names.includes(name), name);
  const dropping = counterInfo.filter((c) => /_dropped_|_drops$|spoofed/.test(c.name));
  for (const { name } of dropping) t.true(DROPS.includes(name), `${name} is not shown as a drop`);
});

test('numbers keep to their width', (t) => {
  for (let x = 1; x < 1e17; x *= 3.7) t.true(short(x).length <= 5, `${x}: ${short(x)}`);
  for (let x = 1; x < 1e13; x *= 3.7) t.true(time(x).length <= 8, `${x}: ${time(x)}`);
  t.deepEqual([0, 7, 999, 1234, 99_949, 1e6].map(short), [
    '-',
    '7',
    '999',
    '1.23k',
    '99.9k',
    '1.00M',
  ]);
  t.deepEqual([420, 3456, 2.5e6].map(time), ['420ns', '3.46us', '2.50ms']);
});

test('run directories of daemons are found, and their end is told', async (t) => {
  const base = mkdtempSync(join(tmpdir(), 'nf-top-'));
  t.teardown(() => rmSync(base, { recursive: true, force: true }));
  t.throws(() => watch(base), { message: /no run directory of a nestfrontd/ });
  const fake = new Fake(77);
  fake.block(0, n.NF_BLOCK_NETBACK, 3);
  const directory = join(base, 'back');
  mkdirSync(directory);
  const write = (): void => writeFileSync(join(directory, 'counters'), new Uint8Array(fake.memory));
  write();
  for (const name of [base, directory]) {
    const watched = watch(name);
    const before = shoot(await watched.pages());
    fake.set(0, 'rx_packets', 50n);
    write();
    const [row] = rowsOf({ ...before, atMs: 0 }, { ...shoot(await watched.pages()), atMs: 1000 });
    t.like(row, { domain: 'back', layer: 'in', devid: 3, device: undefined });
    t.is(row?.rates.rx_packets, 50);
    t.deepEqual(watched.ended(), []);
    fake.set(0, 'rx_packets', 0n);
    write();
  }
  const watched = watch(directory);
  t.is((await watched.pages()).length, 1);
  rmSync(join(directory, 'counters'));
  t.is((await watched.pages()).length, 0);
  t.deepEqual(watched.ended(), [directory]);
  t.deepEqual(watched.ended(), [], 'told once');
});
