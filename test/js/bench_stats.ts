// SPDX-License-Identifier: MIT
import test from 'ava';
import {
  classify,
  commonClass,
  isDisturbed,
  pairedRatio,
  threshold,
  type Window,
} from '../../bench/lib/classes.js';
import { interval, isNoisy, median, signTestRank, spread } from '../../bench/lib/stats.js';

test('median and spread', (t) => {
  t.is(median([3, 1, 2]), 2);
  t.is(median([4, 1, 3, 2]), 2.5);
  t.throws(() => median([]), { instanceOf: RangeError });
  t.deepEqual(spread([5, 1, 9]), { median: 5, min: 1, max: 9, samples: 3 });
});

test('the sign test leaves off as many as the binomial allows', (t) => {
  // the known table: 5 none; 6 the whole range; 9 and 10 one each; 20 five; 25 seven; 100 39
  t.is(signTestRank(5), -1);
  t.is(signTestRank(6), 0);
  t.is(signTestRank(8), 0);
  t.is(signTestRank(9), 1);
  t.is(signTestRank(10), 1);
  t.is(signTestRank(20), 5);
  t.is(signTestRank(25), 7);
  t.is(signTestRank(100), 39);
});

test('the interval of twenty known values', (t) => {
  const values = Array.from({ length: 20 }, (_, i) => i + 1);
  t.deepEqual(interval(values), { median: 10.5, low: 6, high: 15, pairs: 20 });
});

test('few pairs and wide intervals are noisy', (t) => {
  t.true(isNoisy({ median: 1, low: 1, high: 1, pairs: 5 }));
  t.true(isNoisy({ median: 1, low: 0.9, high: 1.01, pairs: 20 }));
  t.false(isNoisy({ median: 1, low: 0.97, high: 1.03, pairs: 20 }));
});

test('the interval covers the true median 95 times in 100', (t) => {
  // a skewed distribution with median 1: exp(normal); fixed seed, so no luck involved
  let state = 12345;
  const uniform = (): number => {
    state = (state * 1103515245 + 12345) % 2 ** 31;
    return (state + 0.5) / 2 ** 31;
  };
  const normal = (): number =>
    Math.sqrt(-2 * Math.log(uniform())) * Math.cos(2 * Math.PI * uniform());
  let covered = 0;
  for (let run = 0; run < 2000; run++) {
    const i = interval(Array.from({ length: 30 }, () => Math.exp(normal())));
    if (i.low <= 1 && 1 <= i.high) covered++;
  }
  t.true(covered >= 1880 && covered <= 1980, `${covered} of 2000`);
});

const at = (index: number, variant: string, hop: number, packets: number): Window => ({
  index,
  variant,
  hopNs: [hop, hop],
  packets,
  bytes: packets * 60,
  ns: 1000,
  cpuNs: {},
  latency: [],
});

test('classes split where the hops do', (t) => {
  t.is(threshold([50, 55, 60, 58]), 150);
  t.is(threshold([250, 240, 260]), 150);
  const split = threshold([50, 60, 55, 240, 250]);
  t.true(split > 60 && split < 240);
  // another machine: 120 is far there
  const other = threshold([20, 22, 120, 118]);
  t.true(other > 22 && other < 118);
  const windows = classify([at(0, 'a', 50, 1), at(1, 'a', 250, 1), at(2, 'a', 52, 1)]);
  t.deepEqual(
    windows.map((w) => w.class),
    ['near', 'far', 'near'],
  );
  t.is(commonClass(windows), 'near');
});

test('dropped and empty windows do not count, disturbed ones only where nothing else is', (t) => {
  const changed = { ...at(0, 'a', 50, 9), dropped: 'class' };
  t.deepEqual(classify([changed, at(1, 'a', 50, 0)]), []);
  const disturbed = { ...at(2, 'a', 50, 9), dropped: 'contended' };
  const kept = classify([disturbed]);
  t.is(kept.length, 1);
  t.true(isDisturbed(kept));
  const clean = [3, 4, 5].map((i) => at(i, 'a', 50, 9));
  t.false(isDisturbed(classify([disturbed, ...clean])));
  t.is(classify([disturbed, ...clean]).length, 3);
});

test('ratios are taken between neighbours of one class only', (t) => {
  const windows = classify([
    at(0, 'single', 50, 100),
    at(1, 'direct', 50, 90), // beside 100 and 80: 1
    at(2, 'single', 50, 80),
    at(3, 'direct', 250, 20), // beside 25 of its class only: 0.8
    at(4, 'single', 250, 25),
    at(6, 'direct', 250, 20), // nobody beside it
  ]);
  const r = pairedRatio(windows, 'direct', 'single');
  t.is(r?.byClass.near?.median, 1);
  t.true(Math.abs((r?.byClass.far?.median ?? 0) - 0.8) < 1e-9);
  t.is(r?.byClass.far?.pairs, 1);
  t.is(pairedRatio(windows, 'copy', 'single'), undefined);
});

test('the worse class decides, but not by a handful of windows', (t) => {
  const windows: Window[] = [];
  const pair = (hop: number, packets: number): void => {
    const i = windows.length;
    windows.push(at(i, 'single', hop, 100), at(i + 1, 'x', hop, packets));
  };
  for (let i = 0; i < 8; i++) pair(50, 95);
  for (let i = 0; i < 2; i++) pair(250, 50);
  t.is(pairedRatio(classify(windows), 'x', 'single')?.class, 'near');
  for (let i = 0; i < 6; i++) pair(250, 50);
  const r = pairedRatio(classify(windows), 'x', 'single');
  t.is(r?.class, 'far');
  t.is(r?.median, 0.5);
});
