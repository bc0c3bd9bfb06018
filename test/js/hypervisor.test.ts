// SPDX-License-Identifier: MIT
import { spawnSync } from 'node:child_process';
import { once } from 'node:events';
import { existsSync, statSync } from 'node:fs';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import test from 'ava';
import { HypervisorClient } from '../../lib/hypervisor/client.js';
import { native } from '../../lib/native.cjs';
import { StoreClient } from '../../lib/store/client.js';
import { eventually, openDomain, startHypervisor } from './helpers/hypervisor.js';

const MAIN = fileURLToPath(new URL('../../lib/hypervisor/main.js', import.meta.url));

test.serial('domains are created, listed, connected and destroyed', async (t) => {
  const { client } = await startHypervisor(t);
  t.deepEqual(await client.createDomain({ name: 'back', domid: 0 }), { domid: 0 });
  t.deepEqual(await client.createDomain({ name: 'front' }), { domid: 1 });
  t.deepEqual(await client.createDomain({ name: 'third', privileged: true }), { domid: 2 });
  const fd = await client.connectDomain(1);
  const list = await client.listDomains();
  t.deepEqual(
    list.map(({ domid, name, privileged, state, connections }) => [
      ...[domid, name, privileged, state, connections],
    ]),
    [
      [0, 'back', true, 'created', 0],
      [1, 'front', false, 'running', 1],
      [2, 'third', true, 'created', 0],
    ],
  );
  await client.destroyDomain(1);
  native.close(fd);
  t.is((await client.listDomains()).length, 2);
  await t.throwsAsync(client.connectDomain(1), { code: 'NF_ENOENT' });
});

test.serial('what cannot be is refused by name', async (t) => {
  const { client } = await startHypervisor(t);
  await client.createDomain({ name: 'one', domid: 5 });
  const refused = async (options: Parameters<typeof client.createDomain>[0], code: string) =>
    t.throwsAsync(client.createDomain(options), { code });
  await refused({ name: 'one' }, 'NF_EEXIST');
  await refused({ name: 'two', domid: 5 }, 'NF_EEXIST');
  await refused({ name: 'two', domid: 0x7ff0 }, 'NF_ERANGE');
  await refused({ name: 'two', domid: -1 }, 'NF_ERANGE');
  await refused({ name: '../etc' }, 'NF_EINVAL');
  await refused({ name: '' }, 'NF_EINVAL');
  await t.throwsAsync(client.destroyDomain(77), { code: 'NF_ENOENT' });
  await t.throwsAsync(client.counters(77), { code: 'NF_ENOENT' });
});

test.serial('an aborted call rejects at once and leaks no descriptor', async (t) => {
  const { client } = await startHypervisor(t);
  await client.createDomain({ name: 'one' });
  const abort = new AbortController();
  const call = client.connectDomain(1, { signal: abort.signal });
  abort.abort(new Error('no'));
  await t.throwsAsync(call, { code: 'NF_EABORTED' });
  // the reply comes later; closing its descriptor makes the domain die
  await eventually(async () => (await client.listDomains())[0]?.state === 'dead');
  await t.throwsAsync(client.stats({ signal: abort.signal }), { code: 'NF_EABORTED' });
});

test.serial('counters and control: shared pages, live, with the right of each side', async (t) => {
  const hv = await startHypervisor(t);
  const layer = await openDomain(t, hv, 'one');
  const counters = await hv.client.counters(1);
  const control = await hv.client.control(1);
  t.teardown(() => [counters, control].forEach((fd) => native.close(fd)));
  const theirs = new Uint32Array(native.mapShared(layer.countersFd, 0, 4096, true));
  const ours = new Uint32Array(native.mapShared(counters, 0, 4096, false));
  theirs[100] = 42;
  t.is(ours[100], 42);
  t.throws(() => native.mapShared(counters, 0, 4096, true), { code: 'EACCES' });
  const write = new Uint32Array(native.mapShared(control, 0, 4096, true));
  const read = new Uint32Array(native.mapShared(layer.controlFd, 0, 4096, false));
  t.is(read[0], 0x4e464354);
  write[1] = 1;
  t.is(read[1], 1);
  t.throws(() => native.mapShared(layer.controlFd, 0, 4096, true), { code: 'EACCES' });
});

test.serial('a domain dies with its last connection; @releaseDomain tells', async (t) => {
  const hv = await startHypervisor(t);
  const root = new StoreClient(await hv.client.store());
  t.teardown(() => root.close());
  const layer = await openDomain(t, hv, 'one');
  const second = await layer.clone();
  await root.write('/local/domain/1/device/vif/0/state', '4');
  await root.setPerms('/local/domain/1/device/vif/0', [{ domid: 1, access: 'n' }]);
  const events = root.watch('@releaseDomain');
  await events.next();
  await layer.close();
  t.is((await hv.client.listDomains())[0]?.state, 'running');
  native.close(second);
  t.is((await events.next()).value, '@releaseDomain');
  t.is((await hv.client.listDomains())[0]?.state, 'dead');
  await t.throwsAsync(root.read('/local/domain/1/device/vif/0'), { code: 'NF_ENOENT' });
  t.is(await root.read('/local/domain/1/name'), 'one');
  t.deepEqual(await hv.client.createDomain({ name: 'one', domid: 1 }), { domid: 1 });
});

test.serial('a domain has its store connection, with its own rights', async (t) => {
  const hv = await startHypervisor(t);
  const layer = await openDomain(t, hv, 'one');
  const store = new StoreClient(await layer.storeFd());
  t.teardown(() => store.close());
  t.is(await store.read('domid'), '1');
  await t.throwsAsync(store.write('name', 'other'), { code: 'NF_EACCES' });
  await t.throwsAsync(store.read('/tool'), { code: 'NF_EACCES' });
});

test.serial('it ends when its toolstack hangs up, and takes its sockets along', async (t) => {
  const hv = await startHypervisor(t);
  const path = join(hv.dir, 'store.sock');
  t.is(statSync(path).mode & 0o777, 0o600);
  const gone = once(hv.process, 'exit');
  await hv.client.close();
  t.deepEqual(await gone, [0, null]);
  t.false(existsSync(path));
});

test.serial('with --listen it outlives its toolstack and serves another', async (t) => {
  const hv = await startHypervisor(t, ['--listen']);
  const path = join(hv.dir, 'admin.sock');
  t.is(statSync(path).mode & 0o777, 0o600);
  await hv.client.close();
  const other = await HypervisorClient.connect(path);
  t.is((await other.hello()).name, 'HT');
  const gone = once(hv.process, 'exit');
  await other.shutdown();
  t.deepEqual(await gone, [0, null]);
  t.false(existsSync(path));
  await t.throwsAsync(HypervisorClient.connect(path), { code: 'NF_ENOENT' });
});

test.serial('calls under way fail when the hypervisor is killed', async (t) => {
  const hv = await startHypervisor(t);
  const layer = await openDomain(t, hv, 'one');
  const store = new StoreClient(await layer.storeFd());
  hv.process.kill('SIGKILL');
  await t.throwsAsync(hv.client.stats(), { code: 'NF_ECONNRESET' });
  await t.throwsAsync(hv.client.stats(), { code: 'NF_ECONNRESET' });
  await t.throwsAsync(layer.storeFd(), { code: 'ECONNRESET' });
  await t.throwsAsync(store.read('name'), { code: 'NF_ECONNRESET' });
});

test.serial('a stale socket file is replaced, a live one is not', async (t) => {
  const first = await startHypervisor(t);
  const start = (...args: string[]) =>
    spawnSync(process.execPath, [MAIN, ...args], { timeout: 20000 });
  const second = start('--name', 'H2', '--dir', first.dir);
  t.is(second.status, 1);
  t.regex(String(second.stderr), /store\.sock is in use/);
  first.process.kill('SIGKILL');
  await once(first.process, 'exit');
  t.true(existsSync(join(first.dir, 'store.sock')));
  const [ours, theirs] = native.seqpacketPair();
  native.close(ours); // it hangs up at once
  const third = spawnSync(
    process.execPath,
    [MAIN, '--name', 'H3', '--dir', first.dir, '--admin-fd', '3'],
    { timeout: 20000, stdio: ['ignore', 'pipe', 'pipe', theirs] },
  );
  native.close(theirs);
  t.is(third.status, 0, String(third.stderr));
});

test.serial('bad usage exits 2', (t) => {
  for (const args of [[], ['--name', 'H'], ['--name', 'H', '--dir', '/x', '--what']]) {
    t.is(spawnSync(process.execPath, [MAIN, ...args], { timeout: 20000 }).status, 2);
  }
});

test.serial('the admin channel refuses another version and what is no request', async (t) => {
  const hv = await startHypervisor(t, ['--listen']);
  const path = join(hv.dir, 'admin.sock');
  const replies: { ok: boolean; errno: number }[] = [];
  let closed = false;
  const raw = new native.SeqSocket(native.seqpacketConnect(path), {
    onMessage: (data) => replies.push(JSON.parse(data.toString()) as (typeof replies)[0]),
    onClose: () => (closed = true),
  });
  t.teardown(() => raw.close());
  raw.send(Buffer.from(JSON.stringify({ id: 1, op: 'hello', version: 99 })));
  raw.send(Buffer.from(JSON.stringify({ id: 2, op: 'format-disk' })));
  await eventually(() => replies.length === 2);
  t.deepEqual(
    replies.map(({ ok, errno }) => [ok, errno]),
    [
      [false, -93],
      [false, -38],
    ],
  );
  raw.send(Buffer.from('not json'));
  await eventually(() => closed);
  t.is((await hv.client.hello()).name, 'HT');
});
