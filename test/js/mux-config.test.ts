// SPDX-License-Identifier: MIT
// Path mux in a configuration: xl's rates, who may share an outer device, what it takes.
import test from 'ava';
import { checkConfig } from '../../lib/stack/config.js';
import { planStack } from '../../lib/stack/plan.js';
import { parseRate } from '../../lib/stack/rate.js';

test('rates are read as xl reads them', (t) => {
  const rate = (bytes: number, microseconds: number): object => ({ bytes, microseconds });
  t.deepEqual(parseRate('10Mb/s'), rate(62_500, 50_000), 'bits, 50 ms');
  t.deepEqual(parseRate('10MB/s'), rate(500_000, 50_000), 'bytes');
  t.deepEqual(parseRate('10Mb/s@20ms'), rate(25_000, 20_000));
  t.deepEqual(parseRate('250KB/s@1s'), rate(250_000, 1_000_000));
  t.deepEqual(parseRate('1Gb/s@500us'), rate(62_500, 500));
  t.deepEqual(parseRate('1000B/s'), rate(50, 50_000));
  const wrong = [
    '',
    '10',
    '10Mb',
    '10mb/s',
    '10Mbit/s',
    '-1Mb/s',
    '1.5Mb/s',
    '10Mb/s@',
    '10Mb/s@5',
  ];
  for (const text of [...wrong, '0Mb/s', '1b/s', '1B/s@1us', '1Gb/s@5000s', ' 1Mb/s'])
    t.is(parseRate(text), undefined, text);
});

const member = (name: string, more: object = {}): object => ({
  name,
  path: 'mux',
  guest: `guest-${name}`,
  back: { port: 'tap:t0' },
  ...more,
});
const stack = (...devices: object[]): unknown => ({ name: 's', devices });
const refusal = (t: { throws: (run: () => void) => Error }, config: unknown): string =>
  t.throws(() => checkConfig(config)).message;

test('devices that share an outer device agree on it', (t) => {
  t.notThrows(() => checkConfig(stack(member('a'), member('b'), member('c'))));
  t.regex(
    refusal(t, stack(member('a'), member('b', { back: { port: 'gen' } }))),
    /devices\[1\]\.back\.port is "gen", but devices\[0\] on the same outer device "mux" has/,
  );
  t.notThrows(() =>
    checkConfig(stack(member('a'), member('b', { outer: 'other', back: { port: 'tap:t1' } }))),
  );
  t.regex(
    refusal(t, stack(member('a'), member('b', { outer: 'other' }))),
    /back\.port is "tap:t0", which is used already/,
  );
  t.regex(refusal(t, stack(member('a', { queues: 2 }))), /a device of path "mux" has 1/);
  t.regex(refusal(t, stack(member('a', { rate: '10' }))), /rate is "10": a rate is as xl has it/);
  t.regex(refusal(t, stack(member('a', { ip: ['10.0.0'] }))), /devices\[0\]\.ip\[0\]/);
  for (const only of [{ rate: '1Mb/s' }, { outer: 'x' }, { ip: ['10.0.0.1'] }])
    t.regex(refusal(t, stack({ name: 'a', path: 'copy', ...only })), /for path "mux" only/);
});

test('a plan has one outer device for all that share it', (t) => {
  const plan = planStack(checkConfig(stack({ name: 'x', path: 'copy' }, member('a'), member('b'))));
  const [, a, b] = plan.devices;
  t.deepEqual(a?.shared, b?.shared);
  t.is(a?.shared?.devid, a?.devid);
  t.is(new Set([a?.mac, b?.mac, a?.shared?.mac]).size, 3, 'each guest has its address');
  t.is(plan.resources.grefs.H0, 516 + (516 + 256) + 256);
  t.is(plan.resources.grefs.H1, 3 * 516);
  t.is(plan.resources.dataProcesses['a'], 3);
});
