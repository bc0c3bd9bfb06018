// SPDX-License-Identifier: MIT
// The addon: every object in every state, in workers too.
import { once } from 'node:events';
import { createRequire } from 'node:module';
import { Worker } from 'node:worker_threads';
import test from 'ava';
import { native } from '../../lib/native.cjs';
import { eventually, openDomain, startHypervisor } from './helpers/hypervisor.js';

const require = createRequire(import.meta.url);
const LOADER = require.resolve('../../lib/native.cjs');

const key = { peer: 0, device: 0, queue: 0, purpose: 1, readonly: false };

test('a seqpacket socket keeps bounds and passes descriptors', async (t) => {
  const [left, right] = native.seqpacketPair();
  const got: [string, number, boolean][] = [];
  let hangup: number | undefined;
  const a = new native.SeqSocket(left, { onMessage: () => undefined, onClose: () => undefined });
  const b = new native.SeqSocket(right, {
    onMessage: (data, fds, truncated) => {
      got.push([data.toString(), fds.length, truncated]);
      fds.forEach((fd) => native.close(fd));
    },
    onClose: (errno) => (hangup = errno),
  });
  const file = native.memfdCreate('passed', 1);
  t.true(a.send(Buffer.from('one')));
  t.true(a.send(Buffer.from('two'), [file, file]));
  native.close(file);
  await eventually(() => got.length === 2);
  t.deepEqual(got, [
    ['one', 0, false],
    ['two', 2, false],
  ]);
  a.close();
  await eventually(() => hangup === 0);
  t.is(b.fd, -1);
  t.throws(() => a.send(Buffer.from('x')), { code: 'ENODEV' });
  t.throws(() => b.pause(), { code: 'ENODEV' });
  a.close();
  b.close();
});

test('a full socket says so, then that it is writable again', async (t) => {
  const [left, right] = native.seqpacketPair();
  let writable = 0;
  let read = 0;
  const a = new native.SeqSocket(left, {
    onMessage: () => undefined,
    onClose: () => undefined,
    onWritable: () => writable++,
  });
  const b = new native.SeqSocket(right, { onMessage: () => read++, onClose: () => undefined });
  b.pause();
  let sent = 0;
  while (a.send(Buffer.alloc(4096))) sent++;
  t.true(sent > 0);
  t.true(a.unread > 0);
  a.wantWritable();
  await new Promise((resolve) => setTimeout(resolve, 20));
  t.is(writable, 0);
  b.resume();
  await eventually(() => writable === 1 && read === sent);
  t.is(a.unread, 0);
  a.close();
  b.close();
});

test('wrong arguments are a TypeError or a RangeError, never a crash', (t) => {
  const wrong = { instanceOf: TypeError };
  const odd = native as unknown as Record<string, (...args: unknown[]) => unknown>;
  for (const name of ['close', 'dup', 'memfdSeals', 'fileBytes', 'peerCredentials']) {
    for (const arg of [undefined, 'x', 1.5, {}, NaN]) t.throws(() => odd[name]?.(arg), wrong);
    t.throws(() => odd[name]?.(-1), { instanceOf: RangeError });
    t.throws(() => odd[name]?.(99999), { code: 'EBADF' });
  }
  t.throws(() => odd.memfdCreate?.(5, 1), wrong);
  t.throws(() => odd.memfdCreate?.('x', 0), { instanceOf: RangeError });
  t.throws(() => odd.futexWake?.(new ArrayBuffer(8), 0), wrong);
  t.throws(() => odd.SeqSocket?.(0, {}), wrong);
  t.throws(() => new native.SeqSocket(0, undefined as never), wrong);
});

test('shared memory: live, bounded, read-only without a crash', (t) => {
  const fd = native.memfdCreate('shared', 2);
  const writable = new Uint32Array(native.mapShared(fd, 4096, 4096, true));
  const reader = new Uint32Array(native.mapShared(fd, 4096, 4096, false));
  writable[3] = 7;
  t.is(Atomics.load(reader, 3), 7);
  const scribbler = new Uint32Array(native.mapShared(fd, 4096, 4096, false));
  scribbler[900] = 1; // stays private to that mapping
  t.deepEqual([writable[900], reader[900]], [0, 0]);
  t.throws(() => native.mapShared(fd, 0, 8193, true), { code: 'ERANGE' });
  t.throws(() => native.mapShared(fd, 1, 4096, true), { instanceOf: RangeError });
  t.throws(() => native.mapShared(0, 0, 4096, false), { code: 'EINVAL' });
  t.is(native.futexWake(writable.buffer, 3), 0);
  native.close(fd);
  writable[4] = 8; // the mapping outlives the descriptor
  t.is(reader[4], 8);
});

test('punched pages are gone and read as zeros', (t) => {
  const fd = native.memfdCreate('punch', 4);
  const view = new Uint8Array(native.mapShared(fd, 0, 16384, true));
  view.fill(1);
  t.is(native.fileResident(fd), 16384);
  native.memfdPunch(fd, 4096, 8192);
  t.is(native.fileResident(fd), 8192);
  t.deepEqual([view[4095], view[4096], view[12287], view[12288]], [1, 0, 0, 1]);
  native.close(fd);
});

test.serial('every method of what was closed says so', async (t) => {
  const hv = await startHypervisor(t);
  const back = await openDomain(t, hv, 'back', { domid: 0 });
  const front = await openDomain(t, hv, 'front');
  const arena = await front.alloc(key, 2, false);
  const buffer = arena.buffer;
  const mapping = await back.map(1, arena.grefs, false);
  const channel = await front.allocChan(0, 0, 0, 6);
  const ring = arena.ringFront(0, 4096, 12);
  const backRing = mapping.ringBack(0, 4096, 12, 0);
  t.is(buffer?.byteLength, 8192);
  try {
    structuredClone(buffer, { transfer: buffer ? [buffer] : [] });
  } catch {
    // some versions of Node refuse, others copy; none may move the pages away
  }
  t.is(buffer?.byteLength, 8192);
  await front.close();
  await back.close();
  t.is(buffer?.byteLength, 0, 'detached before the pages go');
  const gone = { code: 'ENODEV' };
  t.throws(() => arena.read(0, 1), gone);
  t.throws(() => arena.write(0, Buffer.from('x')), gone);
  t.throws(() => arena.ringBack(0, 4096, 12, 0), gone);
  t.throws(() => arena.end(), gone);
  t.throws(() => mapping.read(0, 1), gone);
  t.throws(() => mapping.unmap(), gone);
  t.throws(() => channel.notify(), gone);
  t.throws(() => channel.clear(), gone);
  t.throws(() => channel.watch(() => undefined), gone);
  for (const r of [ring, backRing]) {
    t.throws(() => r.put(Buffer.from('x')), gone);
    t.throws(() => r.take(), gone);
    t.throws(() => r.push(), gone);
    t.throws(() => r.arm(1), gone);
    t.throws(() => r.free(), gone);
    t.throws(() => r.pending(), gone);
    r.close();
  }
  const verbs = [
    () => front.alloc(key, 1, false),
    () => front.map(0, Uint32Array.of(8), false),
    () => front.copy([]),
    () => front.allocChan(0, 0, 0, 6),
    () => front.bindChan(0, 1),
    () => front.storeFd(),
    () => front.clone(),
    () => front.donate(0, arena, false),
    () => front.donateChan(0, 0, 0, 0, channel),
  ];
  for (const verb of verbs) t.throws(verb, gone);
  await channel.close();
  await front.close();
});

test.serial('a ring over shared pages: batches, events, and a peer that lies', async (t) => {
  const hv = await startHypervisor(t);
  const back = await openDomain(t, hv, 'back', { domid: 0 });
  const front = await openDomain(t, hv, 'front');
  const arena = await front.alloc(key, 1, false);
  const mapping = await back.map(1, arena.grefs, false);
  const [f, b] = [arena.ringFront(0, 4096, 12), mapping.ringBack(0, 4096, 12, 0)];
  t.is(f.count, 256);
  t.is(b.put(Buffer.from('early')), false, 'no response without a request');
  for (let i = 0; i < 256; i++) t.true(f.put(Buffer.from([i])));
  t.false(f.put(Buffer.from('full')));
  t.true(f.push());
  t.is(b.pending(), 256);
  for (let i = 0; i < 256; i++) t.is(b.take()?.[0], i);
  t.is(b.take(), undefined);
  t.true(b.put(Buffer.from('rsp')));
  t.is(f.arm(1), 0);
  t.true(b.push());
  t.is(f.take()?.toString('latin1', 0, 3), 'rsp');
  t.throws(() => f.put(Buffer.alloc(13)), { instanceOf: RangeError });
  arena.write(0, Buffer.from([0xff, 0xff, 0, 0])); // req_prod: far too many
  t.throws(() => b.pending(), { code: 'EPROTO' });
  arena.write(0, Buffer.from([0, 1, 0, 0]));
  t.throws(() => b.take(), { code: 'EPROTO' }, 'sticky');
});

test.serial('workers: verbs under way and open objects end with the worker', async (t) => {
  const hv = await startHypervisor(t);
  await openDomain(t, hv, 'back', { domid: 0 });
  await hv.client.createDomain({ name: 'front' });
  const ways = [
    'process.exit(0)',
    'undefined',
    'setInterval(() => {}, 1000)',
    'arena.end(); channel.close(); process.exit(0)',
    'layer.close(); process.exit(0)',
  ];
  for (const how of ways) {
    const fd = await hv.client.connectDomain(1);
    const code = `
      const { workerData, parentPort } = require('node:worker_threads');
      const { native } = require(workerData.loader);
      native.openLayer(workerData.fd).then(async (layer) => {
        const key = { peer: 0, device: 0, queue: 0, purpose: 1, readonly: false };
        const arena = await layer.alloc(key, 16, false);
        arena.ringFront(0, 4096, 12);
        const channel = await layer.allocChan(0, 0, 0, 6);
        channel.watch(() => undefined);
        channel.unref();
        layer.storeFd();
        layer.alloc(key, 16, false);
        layer.alloc(key, 16, false);
        parentPort.postMessage('there');
        parentPort.unref();
        ${how};
      });`;
    const worker = new Worker(code, { eval: true, workerData: { loader: LOADER, fd } });
    const ended = once(worker, 'exit');
    await once(worker, 'message');
    if (how.startsWith('set')) await worker.terminate();
    await ended;
    await eventually(async () => (await hv.client.stats()).arenas === 0);
    await hv.client.destroyDomain(1);
    await hv.client.createDomain({ name: 'front' });
  }
  t.is((await hv.client.stats()).ports, 0);
});
