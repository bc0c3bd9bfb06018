// SPDX-License-Identifier: MIT
import { mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import test from 'ava';
import type { ExecutionContext } from 'ava';
import { NestfrontError } from '../../lib/errors.js';
import { checkConfig, configSchema, readConfig } from '../../lib/stack/config.js';
import { packageRoot } from '../../lib/stack/paths.js';
import { planStack } from '../../lib/stack/plan.js';

const device = { name: 'a', path: 'translate' };
const small = { name: 'stack', devices: [device] };

/** The message of a refused configuration. */
function refusal(t: ExecutionContext, input: unknown): string {
  const error = t.throws(() => checkConfig(input), { instanceOf: NestfrontError });
  t.is(error.code, 'NF_ECONFIG');
  return error.message;
}

test('defaults are filled in', (t) => {
  const config = checkConfig(small);
  t.is(config.notify, 'adaptive');
  t.is(config.isolation, 'auto');
  t.true(config.network);
  t.deepEqual(config.devices[0], {
    name: 'a',
    path: 'translate',
    queues: 1,
    grants: 'static',
    trustInner: false,
    mtu: 1500,
    front: { port: 'gen' },
    back: { port: 'gen' },
  });
});

test('unknown keys are refused by name, with those there are', (t) => {
  const top = refusal(t, { ...small, isolate: true });
  t.regex(top, /no key "isolate"/);
  t.regex(top, /isolation/);
  const inner = refusal(t, { ...small, devices: [{ ...device, queue: 2 }] });
  t.regex(inner, /devices\[0\] has no key "queue"/);
  t.regex(inner, /queues/);
  t.regex(refusal(t, { ...small, devices: [{ ...device, front: { prot: 'gen' } }] }), /"prot"/);
});

for (const [what, change, expected] of [
  ['an unknown path', { path: 'tranlate' }, /path is "tranlate"; use one of single, copy, tra/],
  ['too many queues', { queues: 9 }, /devices\[0\]\.queues is 9; use at most 8/],
  ['no queue', { queues: 0 }, /queues is 0; use at least 1/],
  ['half a queue', { queues: 1.5 }, /queues is 1\.5; it must be of type int/],
  ['a queue in words', { queues: '1' }, /queues is "1"; it must be of type number/],
  ['a short MAC', { mac: '00:16' }, /mac is "00:16": six hex bytes/],
  ['a multicast MAC', { mac: '01:16:3e:00:00:01' }, /first byte is odd/],
  ['an unknown port', { front: { port: 'tun0' } }, /front\.port is "tun0": a port is gen, null/],
  ['a long TAP name', { back: { port: 'tap:abcdefghijklmnop' } }, /at most 15 characters/],
  ['a small MTU', { mtu: 60 }, /mtu is 60; use at least 68/],
  ['a guest called L0', { guest: 'L0' }, /guest is "L0", a domain of the stack itself/],
  ['direct with copied grants', { path: 'direct', grants: 'copy' }, /name any page of L1/],
  ['trust where it means nothing', { trustInner: true }, /for path "direct" only/],
  ['a name with a slash', { name: 'a/b' }, /name is "a\/b": 1 to 31 letters/],
] as const)
  test(`refused, naming key, value and fix: ${what}`, (t) => {
    t.regex(refusal(t, { ...small, devices: [{ ...device, ...change }] }), expected);
  });

test('missing and mistyped parts are named', (t) => {
  t.regex(refusal(t, { name: 'x' }), /devices and disks are empty/);
  t.regex(refusal(t, { devices: [device] }), /name is missing/);
  t.regex(refusal(t, { ...small, devices: [] }), /devices and disks are empty/);
  t.regex(refusal(t, null), /the configuration is null/);
  t.regex(refusal(t, { ...small, cpus: { back: -1 } }), /cpus\.back is -1; use at least 0/);
});

test('every problem is told at once', (t) => {
  const message = refusal(t, { ...small, notify: 'poling', network: 1, devices: [{ name: 'a' }] });
  t.regex(message, /notify is "poling"/);
  t.regex(message, /network is 1/);
  t.regex(message, /devices\[0\]\.path/);
});

test('names, layers of guests and TAPs must not collide', (t) => {
  const two = (a: object, b: object): unknown => ({
    name: 's',
    devices: [
      { ...device, ...a },
      { ...device, name: 'b', ...b },
    ],
  });
  t.regex(refusal(t, two({}, { name: 'a' })), /devices\[1\]\.name is "a", which an earlier/);
  const layers = two({ guest: 'g' }, { guest: 'g', path: 'single' });
  t.regex(refusal(t, layers), /guest is "g", which is on the inner layer already/);
  const tap = { front: { port: 'tap:t0' } };
  t.regex(refusal(t, two(tap, tap)), /devices\[1\]\.front\.port is "tap:t0", which is used/);
  t.notThrows(() => checkConfig(two(tap, { ...tap, guest: 'other' })), 'other domain, other TAPs');
  const shared = { ...(two(tap, { ...tap, guest: 'other' }) as object), network: false };
  t.regex(refusal(t, shared), /is used already/, 'without namespaces all TAPs are the host`s');
});

test('direct is allowed unconfined when the inner guest is trusted', (t) => {
  const trusted = { ...device, path: 'direct', grants: 'copy', trustInner: true };
  const plan = planStack(checkConfig({ ...small, devices: [trusted] }));
  t.false(plan.devices[0]!.staticOnly);
  const confined = planStack(checkConfig({ ...small, devices: [{ ...device, path: 'direct' }] }));
  t.true(confined.devices[0]!.staticOnly);
});

const disk = { name: 'd0', path: 'single', disk: 'mem:64M' };

for (const [what, change, error] of [
  ['no such store', { disk: 'nfs:/x' }, /disks\[0\]\.disk is "nfs:\/x": a disk is file:PATH/],
  ['a relative path', { disk: 'file:x' }, /PATH absolute/],
  ['create for a device', { disk: 'block:/dev/x,create=1G' }, /a file also takes create=SIZE/],
  ['no such user', { user: 'tap:x' }, /a user is none, gen, nbd or nbd:PATH/],
  ['three ring pages', { ringPages: 3 }, /disks\[0\]\.ringPages is 3/],
  ['too small a pool', { poolPages: 8 }, /poolPages is 8; use at least 32/],
  ['copy under direct', { path: 'direct', grants: 'copy' }, /could name any page of L1/],
  ['trust for nothing', { trustInner: true }, /something for path "direct" only/],
  ['a guest of the stack', { guest: 'L0' }, /a domain of the stack itself/],
] as const)
  test(`a disk: ${what}`, (t) => {
    t.regex(refusal(t, { name: 's', disks: [{ ...disk, ...change }] }), error);
  });

test('disks: numbered after network devices, their files and names not shared', (t) => {
  const plan = planStack(checkConfig({ ...small, disks: [disk] }));
  t.is(plan.disks[0]!.devid, plan.devices.length);
  t.true(plan.resources.pages > planStack(checkConfig(small)).resources.pages);
  const twice = { ...disk, disk: 'file:/x' };
  t.regex(
    refusal(t, { name: 's', disks: [twice, { ...twice, name: 'd1' }] }),
    /disks\[1\]\.disk is "file:\/x", whose path another has/,
  );
  t.regex(refusal(t, { name: 's', disks: [disk, disk] }), /disks\[1\]\.name is "d0"/);
});

test('the JSON schema is of the same source', (t) => {
  const schema = configSchema() as { properties: object; additionalProperties: boolean };
  t.false(schema.additionalProperties);
  t.deepEqual(Object.keys(schema.properties).sort(), [
    'cpus',
    'devices',
    'disks',
    'isolation',
    'keepers',
    'name',
    'network',
    'notify',
    'restart',
  ]);
});

test('files: missing, not JSON, and the example', (t) => {
  const directory = mkdtempSync(join(tmpdir(), 'nf-config-'));
  t.teardown(() => rmSync(directory, { recursive: true }));
  const missing = t.throws(() => readConfig(join(directory, 'no.json')));
  t.is((missing as NestfrontError).code, 'NF_ENOENT');
  writeFileSync(join(directory, 'bad.json'), '{"name": ');
  const bad = t.throws(() => readConfig(join(directory, 'bad.json')));
  t.is((bad as NestfrontError).code, 'NF_ECONFIG');
  t.regex(bad.message, /is not JSON/);
  const example = join(packageRoot(), 'tools/examples/nested.json');
  t.deepEqual(readConfig(example), checkConfig(JSON.parse(readFileSync(example, 'utf8'))));
});

test('a plan names domains, numbers devices and counts what they take', (t) => {
  const config = checkConfig({
    name: 's',
    cpus: { back: 0, front: 1 },
    devices: [
      { name: 'one', path: 'single' },
      { name: 'two', path: 'copy', queues: 2, front: { port: 'tap:t0' } },
      { name: 'three', path: 'direct', guest: 'other' },
    ],
  });
  const plan = planStack(config);
  t.true(plan.nested);
  t.deepEqual(
    plan.domains.map((d) => [d.name, d.layer, d.domid, d.cpu, d.tun]),
    [
      ['L0', 'H0', 0, 0, false],
      ['L1', 'H0', 1, undefined, false],
      ['guest', 'H0', 2, 1, false],
      ['L2', 'H1', 1, 1, true],
      ['other', 'H1', 2, 1, false],
    ],
  );
  t.deepEqual(
    plan.devices.map((d) => d.devid),
    [0, 1, 2],
  );
  t.is(new Set(plan.devices.map((d) => d.mac)).size, 3);
  t.deepEqual(plan.resources.dataProcesses, { one: 2, two: 3, three: 2 });
  t.is(plan.resources.grefs.H0, 516 + 1030 + 516);
  t.is(plan.resources.grefs.H1, 1030 + 516);
  t.is(
    plan.resources.pages,
    516 + 2 * 1030 + 2 * 516 - 514,
    'direct shares all but the ctrl pages',
  );
  t.is(
    planStack(checkConfig({ name: 's', devices: [{ name: 'a', path: 'single' }] })).nested,
    false,
  );
});
