// SPDX-License-Identifier: MIT
// Stacks of real processes: traffic on every path, and nothing left of them.
import { spawn } from 'node:child_process';
import { existsSync, readFileSync, readlinkSync } from 'node:fs';
import { join } from 'node:path';
import test from 'ava';
import { NestfrontError, Stack } from '../../../lib/index.js';
import { packageRoot } from '../../../lib/stack/paths.js';
import { gc, listStacks, runtimeDirectory } from '../../../lib/stack/registry.js';
import { isolationRefused } from '../../../lib/stack/mounts.js';
import * as e from '../helpers/stacks.js';

const refused = isolationRefused();
const isolated = refused === undefined ? test.serial : test.serial.skip;

isolated('every path moves every frame and byte, both ways', async (t) => {
  const stack = await e.up(t, { devices: e.genDevices(e.PATHS) });
  for (const device of stack.devices) {
    const { front, back, devid, name } = device;
    back.control.order(devid, { verifyEvery: 1 }); // before the first frame
    front.control.order(devid, { mode: 'send', frameBytes: 1500, verifyEvery: 1 });
    await e.eventually(t, () => e.sunk(device) > 10_000, `${name}: 10,000 frames from the guest`);
    await e.drain(t, device);
    const taken = e.atBack(device);
    t.is(taken.sink_packets, e.generated(device), `${name}: none missing`);
    t.is(taken.sink_bytes, taken.sink_packets * 1500);
    t.is(taken.sink_verified, taken.sink_packets);
    for (const key of ['sink_lost', 'sink_duplicated', 'sink_reordered', 'sink_corrupted'] as const)
      t.is(taken[key], 0, `${name}: ${key}`);
    const sent = (): number => front.counters.total({ kind: 'netfront', devid }).sink_packets;
    back.control.order(devid, { mode: 'send', frameBytes: 60, limit: 5000 });
    await e.eventually(t, () => sent() === 5000, `${name}: 5,000 frames to the guest`);
    t.is(front.counters.total({ kind: 'netfront', devid }).sink_corrupted, 0);
    back.control.order(devid, { mode: 'idle' });
  }
});

isolated('counters say what each path is, and pids are those of /proc', async (t) => {
  const stack = await e.up(t, { devices: e.genDevices(e.PATHS) });
  const { pids, hypervisors, dataProcesses, isolated: apart } = stack.metadata();
  t.true(apart);
  t.deepEqual(Object.keys(pids).sort(), ['L0', 'L1', 'L2', 'guest']);
  t.deepEqual(dataProcesses, { single: 2, copy: 3, translate: 3, direct: 2 });
  for (const [name, pid] of Object.entries(pids)) {
    const line = readFileSync(`/proc/${pid}/cmdline`, 'utf8').split('\0');
    t.true(line[0]!.endsWith('/nestfrontd'), name);
    t.is(line[line.indexOf('--name') + 1], `${stack.name}/${name}`);
  }
  for (const pid of [hypervisors.H0!, hypervisors.H1!])
    t.regex(readFileSync(`/proc/${pid}/cmdline`, 'utf8'), /hypervisor\/main\.js/);
  const namespaces = ['L0', 'L1', 'L2', 'guest'].map((n) =>
    readlinkSync(`/proc/${pids[n]}/ns/net`),
  );
  t.is(new Set([...namespaces, readlinkSync('/proc/self/ns/net')]).size, 5, 'one network each');
  const inside = readlinkSync(`/proc/${hypervisors.H1}/ns/pid`);
  t.is(inside, readlinkSync(`/proc/${pids['L1']}/ns/pid`), 'H1 lives in L1');
  for (const device of stack.devices) {
    if (device.relay === undefined) continue;
    const status = await device.relay.status();
    t.is(status?.mode, device.path);
    t.is(status?.grants, 'static');
    t.is(status?.confined, device.path === 'direct' ? true : undefined);
  }
});

isolated('a program runs inside a domain and sees only what is its own', async (t) => {
  const stack = await e.up(t, { devices: e.genDevices(['single']) });
  const guest = stack.domain('guest');
  const name = await guest.exec(['hostname']);
  t.deepEqual(name, { code: 0, stdout: 'guest\n', stderr: '' });
  t.is((await guest.exec(['sh', '-c', 'exit 7'])).code, 7);
  t.is((await guest.exec(['cat'], { input: 'through' })).stdout, 'through');
  const seen = await guest.exec(['sh', '-c', 'ls /proc | grep -c "^[0-9]"; ls /tmp /run']);
  t.true(Number(seen.stdout.split('\n')[0]) < 10, 'its own processes only');
  const slow = guest.exec(['sleep', '30'], { timeoutMs: 100 });
  const error = await t.throwsAsync(slow, { instanceOf: NestfrontError });
  t.is(error.code, 'NF_ETIMEDOUT');
  t.throws(() => stack.domain('L2'), { message: /no domain "L2"; there are L0, guest/ });
});

isolated('nothing is left of a stack that was closed', async (t) => {
  const before = e.ownDescriptors().sort();
  const stack = await e.up(t, { devices: e.genDevices(e.PATHS) });
  const { pids, hypervisors } = stack.metadata();
  const networks = e.networksOf(Object.values(pids));

  const directory = join(runtimeDirectory(), stack.name);
  t.true(existsSync(directory));
  const closing = performance.now();
  await stack.close();
  await stack.close();
  t.true(performance.now() - closing < 10_000, 'bounded in time');
  for (const pid of [...Object.values(pids), ...Object.values(hypervisors)])
    t.false(existsSync(`/proc/${pid}`), `process ${pid}`);
  t.deepEqual(e.processesWith(`${stack.name}/`), []);
  t.false(existsSync(directory));
  t.deepEqual(e.ownDescriptors().sort(), before, 'descriptors of this process');
  t.deepEqual(e.inNetworks(networks, closing), [], 'processes in its network namespaces');
  t.false(
    (await gc()).some((line) => line.includes(stack.name)),
    'gc finds nothing',
  );
});

isolated('what is prepared before devices are made is prepared once', async (t) => {
  const prepared: string[] = [];
  const prepare = (domain: (name: string) => { name: string }): Promise<void> => {
    prepared.push(domain('L0').name);
    return Promise.resolve();
  };
  const config = { name: `e2e-prepare-${process.pid}`, isolation: 'on' } as const;
  await using stack = await Stack.up({ ...config, devices: e.genDevices(['single']) }, { prepare });
  t.is(stack.devices.length, 1);
  t.deepEqual(prepared, ['L0']);
});

isolated('a name that is taken is refused, and the holder goes on', async (t) => {
  const stack = await e.up(t, { devices: e.genDevices(['single']) });
  const again = Stack.up({ name: stack.name, devices: e.genDevices(['single']) });
  const error = await t.throwsAsync(again, { instanceOf: NestfrontError });
  t.is(error.code, 'NF_EEXIST');
  t.true(stack.domain('L0').running);
});

isolated('when a part fails everything is taken down, with a clear error', async (t) => {
  const name = `e2e-fail-${process.pid}`;
  const bad = Stack.up({
    name,
    isolation: 'on',
    cpus: { front: 1023 },
    devices: e.genDevices(['translate']),
  });
  const error = await t.throwsAsync(bad, { instanceOf: NestfrontError });
  t.regex(error.message, /L2\/front/);
  t.regex(error.message, /--cpu/);
  t.deepEqual(e.processesWith(`${name}/`), []);
  t.false(listStacks().some((entry) => entry.name === name));
});

isolated('an abort while coming up takes everything down', async (t) => {
  const name = `e2e-abort-${process.pid}`;
  for (const afterMs of [0, 150, 400]) {
    const abort = new AbortController();
    const coming = Stack.up(
      { name, isolation: 'on', devices: e.genDevices(e.NESTED) },
      { signal: abort.signal },
    );
    setTimeout(() => abort.abort(), afterMs);
    const error = await t.throwsAsync(coming, { instanceOf: NestfrontError });
    t.is(error.code, 'NF_EABORTED');
    t.deepEqual(e.processesWith(`${name}/`), []);
    t.false(existsSync(join(runtimeDirectory(), name)));
  }
});

isolated('without isolation the same stack runs as plain processes', async (t) => {
  const stack = await e.up(t, { isolation: 'off', devices: e.genDevices(e.PATHS) });
  t.false(stack.isolated);
  for (const device of stack.devices) {
    device.front.control.order(device.devid, { mode: 'send', frameBytes: 60 });
    await e.eventually(t, () => e.sunk(device) > 100, device.name);
    await e.drain(t, device);
    t.is(e.atBack(device).sink_lost, 0);
  }
});

isolated('the embedding sample of the README runs', async (t) => {
  const sample = join(packageRoot(), 'dist/tools/examples/embed.js');
  const child = spawn(process.execPath, [sample], { stdio: ['ignore', 'pipe', 'inherit'] });
  let text = '';
  child.stdout.setEncoding('utf8').on('data', (chunk: string) => (text += chunk));
  const code = await new Promise((resolve) => child.once('close', resolve));
  t.is(code, 0);
  const { frames, lost, corrupted } = JSON.parse(text) as Record<string, number>;
  t.true(frames! > 10_000, text);
  t.is(lost, 0);
  t.is(corrupted, 0);
});
