// SPDX-License-Identifier: MIT
// What must not leave the machine in a report, and what must.
import test from 'ava';
import { Redactor } from '../../tools/report/redact.js';
import { isShown } from '../../tools/report/store.js';

const who = { host: 'build-7.example', user: 'alice', home: '/home/alice' };

test('names of machine and user go, words that contain them stay', (t) => {
  const { text } = new Redactor(who);
  t.is(text('alice@build-7.example: /home/alice/x'), 'USER@HOST: ~/x');
  t.is(text('malice and alice-2'), 'malice and alice-2');
  t.is(new Redactor({ ...who, user: 'root', host: 'a' }).text('a root'), 'a root');
});

test('addresses are numbered, equal ones equal, whatever surrounds them', (t) => {
  const { text } = new Redactor(who);
  t.is(text('10.1.2.3 -> 10.1.2.4 (10.1.2.3/24)'), 'IP-1 -> IP-2 (IP-1/24)');
  t.is(text('fe80::1:2 and "2001:db8::7",'), 'IP-3 and "IP-4",');
  t.is(text('127.0.0.1 ::1 0.0.0.0'), '127.0.0.1 ::1 0.0.0.0');
  t.is(text('00:16:3e:aa:BB:0c then 00:16:3e:aa:bb:0c'), '00:16:3e:MAC-1 then 00:16:3e:MAC-1');
  t.is(text('fe:ff:ff:ff:ff:ff'), 'fe:ff:ff:ff:ff:ff', "Xen's own: nobody's");
});

test('times, versions and counts are no addresses', (t) => {
  const { text } = new Redactor(who);
  for (const line of [
    '2026-11-22T23:44:01.123Z L2: ready',
    'kernel: 6.1.0-18-amd64 #1 SMP 6.1.76-1',
    'v20.20.2, libuv 1.46.0, 0:7:1',
    'vif1.0 queue 3: generation 12',
    'event-channel-tx = "17"',
  ])
    t.is(text(line), line);
});

test('paths of payload and secrets go', (t) => {
  const { text } = new Redactor(who);
  t.is(text('file:/srv/a.img,direct=off file:/srv/a.img'), 'file:PATH-1,direct=off file:PATH-1');
  t.is(text('"nbd:/run/x/d.sock"'), '"nbd:PATH-1"'.replace('1', '2'));
  t.is(
    text('api_key=abc123 password: hunter2, token="x.y"'),
    'api_key=REDACTED password: REDACTED, token="REDACTED"',
  );
});

test('store values are shown by key, never by default', (t) => {
  const base = '/local/domain/1/device/vif/0';
  for (const key of ['state', 'feature-sg', 'tx-ring-ref', 'queue-1/event-channel-tx', 'error'])
    t.true(isShown(`${base}/${key}`), key);
  for (const key of [
    'data',
    'secret',
    'nestfront/anything',
    'vnc-passwd',
    'state-of-mind',
    'params',
  ])
    t.false(isShown(`${base}/${key}`), key);
});
