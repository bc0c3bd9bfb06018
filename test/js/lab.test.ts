// SPDX-License-Identifier: MIT
// What the lab makes of a console, and its list of scenarios. Booting anything is the lab's
// own job.
import { existsSync } from 'node:fs';
import { join } from 'node:path';
import test from 'ava';
import { packageRoot } from '../../lib/stack/paths.js';
import { Collector } from '../../tools/lab/results.js';
import type { ScenarioResult } from '../../tools/lab/results.js';
import { GROUPS, SCENARIOS, scenariosNamed } from '../../tools/lab/scenarios.js';

const made = (name: string): ScenarioResult => ({
  name,
  status: 'pass',
  l0: { xen: '4.17', kernel: '6.1', sha256: { xen: '', kernel: '', modules: '' } },
  front: { impl: 'stock' },
  back: { impl: 'nestfront' },
  checks: [],
  values: {},
  counters: {},
  net: { bytes: 0, hashOk: false },
  seconds: 0,
  console: '',
});

function collect(...lines: string[]): Collector {
  const collector = new Collector(made);
  lines.forEach((line, i) => collector.line(line, i));
  return collector;
}

test('a scenario whose checks all hold passes, with its figures', (t) => {
  const { scenarios, faults } = collect(
    '[    0.000000] Linux version 6.1',
    '@@NF begin one',
    '@@NF value lossPercent 0',
    '@@NF check ping ok',
    '@@NF value bytes 1000',
    '@@NF check stream-up ok',
    '@@NF value bytes 500',
    '@@NF value mbitUp 10.5',
    '@@NF value mbitDown 20',
    '@@NF counter back tx_packets 7',
    'noise before @@NF end one',
  );
  t.deepEqual(faults, []);
  t.is(scenarios.length, 1);
  const [s] = scenarios;
  t.is(s?.status, 'pass');
  t.is(s?.seconds, 9);
  t.deepEqual(s?.net, {
    bytes: 1500,
    hashOk: true,
    lossPercent: 0,
    mbitPerSecond: { up: 10.5, down: 20 },
  });
  t.deepEqual(s?.counters, { back: { tx_packets: 7 } });
});

test('the first check that fails is the reason, later ones are kept', (t) => {
  const { scenarios } = collect(
    '@@NF begin one',
    '@@NF check create ok',
    '@@NF check stream-up fail exit 1: the hashes differ',
    '@@NF check no-complaints fail exit 1: Oops',
    '@@NF end one',
  );
  t.is(scenarios[0]?.status, 'fail');
  t.is(scenarios[0]?.reason, 'stream-up: exit 1: the hashes differ');
  t.deepEqual(
    scenarios[0]?.checks.map((c) => c.ok),
    [true, false, false],
  );
  t.false(scenarios[0]?.net.hashOk);
});

test('what a disk scenario says adds up', (t) => {
  const { scenarios, faults } = collect(
    '@@NF begin one',
    '@@NF blk bytes 1000',
    '@@NF blk bytes 24',
    '@@NF blk verifyErrors 0',
    '@@NF blk fsckClean 0',
    '@@NF blk fsckClean 1',
    '@@NF blk sectors 7',
    '@@NF check fsck ok',
    '@@NF end one',
  );
  t.deepEqual(scenarios[0]?.blk, { bytes: 1024, verifyErrors: 0, fsckClean: false });
  t.deepEqual(faults, ['one: no field blk sectors']);
});

test('no stream at all is no hash that was right', (t) => {
  const { scenarios } = collect('@@NF begin one', '@@NF check create ok', '@@NF end one');
  t.false(scenarios[0]?.net.hashOk);
});

test('a scenario that checked nothing failed', (t) => {
  const { scenarios } = collect('@@NF begin one', '@@NF end one');
  t.is(scenarios[0]?.status, 'fail');
});

test('a machine that ends in the middle fails its scenario', (t) => {
  const collector = collect('@@NF begin one', '@@NF check create ok');
  collector.close('crashed', 5);
  t.is(collector.scenarios[0]?.status, 'fail');
  t.regex(collector.scenarios[0]?.reason ?? '', /the machine crashed in the middle/);
});

test('a skip is a status of its own, with its reason', (t) => {
  const { scenarios } = collect('@@NF begin one', '@@NF skip no node here', '@@NF end one');
  t.is(scenarios[0]?.status, 'skip');
  t.is(scenarios[0]?.reason, 'no node here');
});

test('what is wrong outside of a scenario is a fault', (t) => {
  const { faults } = collect(
    '@@NF fault module tun',
    '@@NF check baseline-ping fail exit 1: lost',
    '@@NF begin one',
    '@@NF check create ok',
    '@@NF value mbitUp none',
    '@@NF end two',
  );
  t.deepEqual(faults, [
    'module tun',
    'baseline-ping: exit 1: lost',
    'one: mbitUp is no number',
    'one was ended as two',
  ]);
});

test('every group has a script, every scenario one name', (t) => {
  for (const { job } of GROUPS)
    t.true(existsSync(join(packageRoot(), 'tools/lab/guest', `${job}.sh`)), job);
  const names = GROUPS.flatMap((group) => group.scenarios.map((s) => s.name));
  t.deepEqual([...new Set(names)].sort(), SCENARIOS.map((s) => s.name).sort());
});

test('scenarios are asked for by name, by what they are part of, or all at once', (t) => {
  const named = (...names: string[]): string[] => scenariosNamed(names).map((s) => s.name);
  t.deepEqual(named('net-shim'), ['net-shim']);
  t.deepEqual(named('net-shim', 'net-stock-ours'), [
    'net-stock-ours-pv',
    'net-stock-ours-pvh',
    'net-shim',
  ]);
  t.is(named('all', 'net-shim').length, SCENARIOS.filter((s) => s.trial !== true).length);
  t.throws(() => named('net-stock'), { message: /no scenario net-stock: nestfront lab ls/ });
});
