// SPDX-License-Identifier: MIT
// Devices that come, change and go while others carry traffic; the stack driven from outside.
import { randomBytes } from 'node:crypto';
import { existsSync } from 'node:fs';
import { connect } from 'node:net';
import { join } from 'node:path';
import test from 'ava';
import { NestfrontError, RemoteStack } from '../../../lib/index.js';
import { isolationRefused } from '../../../lib/stack/mounts.js';
import { listStacks, runtimeDirectory } from '../../../lib/stack/registry.js';
import { comeAndGo } from '../helpers/comeandgo.js';
import * as e from '../helpers/stacks.js';
import { LISTEN, SEND, lastLine } from '../helpers/stream.js';

const refused = isolationRefused();
const isolated = refused === undefined ? test.serial : test.serial.skip;
const tapped = refused === undefined && existsSync('/dev/net/tun') ? test.serial : test.serial.skip;

isolated('a device that carries traffic does not notice 15 others come and go', (t) =>
  comeAndGo(t, 15),
);

tapped('a hashed TCP stream survives others coming and going', async (t) => {
  const stack = await e.up(t, {
    devices: [
      {
        name: 'a',
        path: 'translate',
        front: { port: 'tap:nfa' },
        back: { port: 'tap:nfa' },
      },
    ],
  });
  const { front, back } = stack.device('a');
  for (const [domain, address] of [
    [front, '10.83.0.2/24'],
    [back, '10.83.0.1/24'],
  ] as const)
    for (const argv of [
      ['ip', 'addr', 'add', address, 'dev', 'nfa'],
      ['ip', 'link', 'set', 'nfa', 'up'],
    ])
      t.deepEqual(await domain.exec(argv), { code: 0, stdout: '', stderr: '' });
  const seed = randomBytes(8).toString('hex');
  const megabytes = 256;
  const receiver = lastLine(back.spawn([process.execPath, '-e', LISTEN]));
  await receiver.ready;
  const sending = front.exec([process.execPath, '-e', SEND, '10.83.0.1', seed, `${megabytes}`], {
    timeoutMs: 50_000,
  });
  let cycles = 0;
  let going = true;
  const sent = sending.finally(() => (going = false));
  while (going || cycles < 5) {
    await stack.attach({ name: 'b', path: e.PATHS[1 + (cycles % 3)]! });
    await stack.detach('b');
    cycles += 1;
  }
  const { code, stdout, stderr } = await sent;
  t.is(code, 0, stderr);
  const got = await receiver.last;
  t.is(got, stdout.trim(), `both ends hash alike after ${cycles} cycles beside the stream`);
  t.true(got.endsWith(` ${megabytes * 2 ** 20}`), 'of every byte');
});

isolated(
  'a new guest is started for its device; a stack of one layer refuses nesting',
  async (t) => {
    const stack = await e.up(t, { devices: e.genDevices(['single']) });
    const more = await Promise.all(
      ['x', 'y', 'z'].map((name) => stack.attach({ name, path: 'single', guest: 'more' })),
    );
    t.deepEqual(more.map((d) => d.devid).sort(), [1, 2, 3]);
    t.is(new Set(more.map((d) => d.front)).size, 1, 'one guest for three devices');
    t.is((await stack.domain('more').exec(['hostname'])).stdout, 'more\n');
    const nested = await t.throwsAsync(stack.attach({ name: 'n', path: 'copy' }), {
      instanceOf: NestfrontError,
    });
    t.is(nested.code, 'NF_EINVAL');
    t.regex(nested.message, /one layer only/);
    const twice = await t.throwsAsync(stack.attach({ name: 'x', path: 'single', guest: 'more' }));
    t.regex(twice.message, /which an earlier device has/);
    await stack.detach('y');
    t.is((await stack.attach({ name: 'y', path: 'single' })).devid, 4, 'not used again soon');
    await t.throwsAsync(stack.detach('w'), { message: /no device "w"; there are/ });
  },
);

isolated('set reconnects one device changed, or leaves it as it was', async (t) => {
  const stack = await e.up(t, { devices: e.genDevices(['translate', 'copy']) });
  const { mac } = stack.device('translate');
  const changed = await stack.set('translate', { queues: 2, mtu: 9000 });
  t.is(changed.mac, mac);
  const { devid } = changed;
  const blocks = (): unknown[] => changed.front.counters.blocks({ kind: 'netfront', devid });
  await e.eventually(t, () => blocks().length === 2, 'two queues');
  const { name, layer } = changed.front;
  t.is(
    await (
      await stack.hypervisor(layer).store()
    ).read(`/local/domain/${changed.front.domain.domid}/device/vif/${devid}/mtu`),
    '9000',
    `${name}'s node`,
  );
  await t.throwsAsync(stack.set('translate', { mtu: 10 }), {
    message: /mtu is 10; use at least 68/,
  });
  const stolen = stack.set('translate', { back: { port: 'tap:lo' } });
  await t.throwsAsync(stolen, { instanceOf: NestfrontError });
  t.is(stack.config.devices.find((d) => d.name === 'translate')?.back.port, 'gen');
  const again = stack.device('translate');
  again.front.control.order(again.devid, { mode: 'send', limit: 100 });
  await e.eventually(t, () => e.sunk(again) >= 100, 'frames on the device as it was');
});

isolated('another process drives a stack through its socket', async (t) => {
  const stack = await e.up(t, { devices: e.genDevices(['translate']) });
  await using remote = await RemoteStack.connect(stack.name);
  const info = await remote.attach({ name: 'more', path: 'copy' });
  t.deepEqual(info, { name: 'more', path: 'copy', devid: 1, mac: info.mac, guest: 'L2' });
  const recorded = listStacks().find((s) => s.name === stack.name)?.state;
  t.is(recorded?.links.length, 4, 'state.json has it');
  await remote.order('more', 'front', { mode: 'send', frameBytes: 60, limit: 500 });
  await e.eventually(t, () => e.sunk(stack.device('more')) === 500, '500 frames ordered remotely');
  const status = await remote.status();
  t.deepEqual(
    status.devices.map((d) => d.name),
    ['translate', 'more'],
  );
  t.true((await remote.logs()).length > 0);
  await remote.detach('more');
  const gone = await t.throwsAsync(remote.detach('more'), { instanceOf: NestfrontError });
  t.is(gone.code, 'NF_ENOENT');
  const bad = await t.throwsAsync(remote.attach({ name: 'a b', path: 'copy' }));
  t.regex(bad.message, /name is "a b"/);
  await stack.close();
  const ended = await t.throwsAsync(remote.status(), { instanceOf: NestfrontError });
  t.is(ended.code, 'NF_ECONNRESET');
});

isolated('what is no request is answered or dropped, and the stack goes on', async (t) => {
  const stack = await e.up(t, { devices: e.genDevices(['single']) });
  const path = join(runtimeDirectory(), stack.name, 'stack.sock');
  const say = (text: string): Promise<string> =>
    new Promise((resolve) => {
      const socket = connect(path, () => socket.write(text));
      let answer = '';
      socket.setEncoding('utf8').on('data', (chunk: string) => {
        answer += chunk;
        if (answer.endsWith('\n')) socket.destroy();
      });
      socket.on('error', () => undefined).on('close', () => resolve(answer));
    });
  for (const text of ['nonsense\n', '[]\n', 'null\n', '{"op":"constructor","id":7}\n'])
    t.regex(await say(text), /"ok":false/, text);
  t.regex(await say('{"op":"attach","device":3}\n'), /\\"device\\" is 3; give an object/);
  t.is(await say('x'.repeat(100_000)), '', 'a line without an end is dropped');
  t.is(await say('\n'.repeat(1000)), '', 'too many requests at once');
  t.regex(await say('{"id":"a","op":"status"}\n'), /^\{"id":"a","ok":true/);
});
