// SPDX-License-Identifier: MIT
// What `lab bench` makes of its job's lines. That the job says what it should is seen in the lab.
import test from 'ava';
import { counterTable } from '../../lib/generated/counters.js';
import type { CounterName } from '../../lib/api/counters.js';
import { ratesOf } from '../../tools/lab/bench-rates.js';
import { summarize } from '../../tools/lab/bench.js';
import type { PathName } from '../../tools/lab/bench.js';
import { parseSamples } from '../../tools/lab/samples.js';

/** A block of a counters page as the job prints it. */
function words(peer: number, counts: Partial<Record<CounterName, number>>): string {
  const header = [String(2n << 32n), String(peer), '0', '0', '0', '0', '0', '0'];
  return [...header, ...counterTable.map(({ name }) => String(counts[name] ?? 0))].join(',');
}

const vif = (when: string, tx: number, rx: number, events: number): string =>
  `when=${when} end=vif tx=${tx} rx=${rx} events=${events} user=${events} system=0`;

function sample(round: number, path: PathName, more: string[]): string[] {
  return [`begin round=${round} path=${path} bench=tcp_stream domid=3`, ...more, 'end ok=0'];
}

test('a sample has its figure, and what grew in its own block', (t) => {
  const { samples, faults } = parseSamples(
    sample(1, 'stock-ours', [
      vif('before', 100, 50, 10),
      `when=before end=back words=${words(3, { notify_sent: 5, grant_copies: 100 })}`,
      `when=before end=back words=${words(4, { notify_sent: 1000 })}`,
      'when=before end=guest events=3',
      'value=1.5e6',
      vif('after', 180, 70, 30),
      `when=after end=back words=${words(3, { notify_sent: 25, grant_copies: 300 })}`,
      `when=after end=back words=${words(4, { notify_sent: 9000 })}`,
      'when=after end=guest events=13',
    ]),
  );
  t.deepEqual(faults, []);
  t.is(samples[0]?.value, 1.5e6);
  t.is(samples[0]?.grown['back']?.['notify_sent'], 20);
  t.is(samples[0]?.grown['back']?.['grant_copies'], 200);
  // 100 frames: 20 events in dom0, 10 in the guest; 20 notifications; 200 copies
  const rates = ratesOf(samples, 'stock-ours');
  t.is(rates.eventsPerPacket, 0.3);
  t.is(rates.notificationsPerPacket, 0.2);
  t.is(rates.grantOpsPerPacket, 2);
  t.deepEqual(rates.backNanosecondsPerPacket, { user: 2_000_000, system: 0 });
  t.is(ratesOf(samples, 'stock-stock').grantOpsPerPacket, undefined);
});

test('what the host took away is told, where it is known', (t) => {
  const lines = (at: string): string[] => [
    'begin round=1 path=nested bench=tcp_rr domid=3',
    'beginAt=10 beginWaited=3.5',
    'value=100',
    at,
    'end ok=0',
  ];
  const known = parseSamples(lines('endAt=14 endWaited=4.5')).samples;
  t.is(known[0]?.stolen, 0.25);
  t.deepEqual(summarize(known, 'nested', 'tcp_rr', 1)?.stolen, {
    ...{ median: 0.25, min: 0.25, max: 0.25, samples: 1 },
  });
  const unknown = parseSamples(lines('endAt=14 endWaited=-')).samples;
  t.is(unknown[0]?.value, 100);
  t.is(unknown[0]?.stolen, undefined);
  t.is(summarize(unknown, 'nested', 'tcp_rr', 1)?.stolen, undefined);
});

test('frames a second are counted at the vif, in the direction that was measured', (t) => {
  const lines = sample(1, 'ours-ours', [
    vif('before', 0, 0, 0),
    'ms=2000',
    vif('after', 500, 7, 0),
  ]).map((line) => line.replace('tcp_stream', 'pps_tx'));
  t.is(parseSamples(lines).samples[0]?.value, 250);
});

test('five rounds that agree are no noise', (t) => {
  const lines = (['stock-stock', 'ours-ours'] as const).flatMap((path, i) =>
    [1, 2, 3, 4, 5].flatMap((round) => sample(round, path, [`value=${100 + i * 50}`])),
  );
  const result = summarize(parseSamples(lines).samples, 'ours-ours', 'tcp_stream', 3);
  t.is(result?.ratio?.median, 1.5);
  t.is(result?.noisy, undefined);
});

test('without an interface our back has counted the frames', (t) => {
  const back = (when: string, n: number): string =>
    `when=${when} end=back words=${words(3, { tx_packets: n, notify_sent: n / 10 })}`;
  const lines = sample(1, 'no-tap', [
    'when=before end=vif tx= rx= events=5 user=1 system=2',
    back('before', 100),
    'ms=2000',
    'when=after end=vif tx= rx= events=25 user=1 system=2',
    back('after', 1100),
  ]).map((line) => line.replace('tcp_stream', 'pps_tx'));
  const { samples } = parseSamples(lines);
  t.is(samples[0]?.value, 500);
  t.is(ratesOf(samples, 'no-tap').eventsPerPacket, 0.02);
  t.is(ratesOf(samples, 'no-tap').notificationsPerPacket, 0.1);
});

test('what failed is a fault, not a figure', (t) => {
  const { samples, faults } = parseSamples([
    'begin round=2 path=nested bench=tcp_rr domid=3',
    'end ok=124',
    'value=3',
  ]);
  t.deepEqual(samples, []);
  t.is(faults[0], 'tcp_rr of nested in round 2: no figure, exit code 124');
  t.is(faults.length, 2);
});

test('ratios are those of the same round', (t) => {
  const values: [PathName, number[]][] = [
    ['stock-stock', [100, 10, 50]],
    ['stock-ours', [50, 6, 20]],
  ];
  const lines = values.flatMap(([path, list]) =>
    list.flatMap((value, round) => sample(round, path, [`value=${value}`])),
  );
  const { samples } = parseSamples(lines);
  const result = summarize(samples, 'stock-ours', 'tcp_stream', 3);
  t.like(result?.ratio, { to: 'stock-stock', median: 0.5, low: 0.4, high: 0.6, pairs: 3 });
  t.deepEqual(result?.bitsPerSecond, { median: 20, min: 6, max: 50, samples: 3 });
  t.true(result?.noisy);
  t.is(summarize(samples, 'ours-ours', 'tcp_stream', 3), undefined);
  const alone = samples.filter((s) => s.path === 'stock-ours');
  t.is(summarize(alone, 'stock-ours', 'tcp_stream', 3)?.ratio, undefined);
});
