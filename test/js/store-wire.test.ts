// SPDX-License-Identifier: MIT
// HOSTILE.md 12 and 20: what a store client can do to the server and to others by what it sends.
import { once } from 'node:events';
import { Socket } from 'node:net';
import test, { type ExecutionContext } from 'ava';
import { native } from '../../lib/native.cjs';
import { StoreClient } from '../../lib/store/client.js';
import {
  encodeMessage,
  MessageReader,
  split,
  strings,
  XS,
  type XsMessage,
} from '../../lib/store/wire.js';
import { eventually } from './helpers/hypervisor.js';
import { testStore, type TestStore } from './helpers/store.js';

/** A client that sends what it likes. */
function raw(t: ExecutionContext, { server }: TestStore, domid: number): Socket {
  const [ours, theirs] = native.streamPair();
  server.attach(ours, domid, false);
  const socket = new Socket({ fd: theirs });
  socket.on('error', () => undefined);
  t.teardown(() => socket.destroy());
  return socket;
}

/** Collects messages from now on. */
function messages(socket: Socket): XsMessage[] {
  const reader = new MessageReader();
  const out: XsMessage[] = [];
  socket.on('data', (chunk: Buffer) => {
    reader.push(chunk);
    for (let m = reader.next(); m; m = reader.next()) out.push(m);
  });
  return out;
}

test('a message that arrives byte by byte is one message', async (t) => {
  const store = testStore(t);
  const socket = raw(t, store, 1);
  const got = messages(socket);
  const bytes = encodeMessage(XS.GET_DOMAIN_PATH, 7, 0, strings('3'));
  for (const byte of bytes) {
    socket.write(Buffer.from([byte]));
    await new Promise((resolve) => setImmediate(resolve));
  }
  await eventually(() => got.length === 1);
  t.is(got[0]?.reqId, 7);
  t.deepEqual(split(got[0]?.payload ?? Buffer.alloc(0)), ['/local/domain/3', '']);
});

test('a payload beyond 4096 bytes ends the connection, of this client only', async (t) => {
  const store = testStore(t);
  const socket = raw(t, store, 1);
  socket.resume();
  const header = encodeMessage(XS.READ, 1, 0, Buffer.alloc(0));
  header.writeUInt32LE(4097, 12);
  socket.write(header);
  await once(socket, 'close');
  t.regex(store.log.join('\n'), /domain 1 dropped: it sent a message of 4097 bytes/);
  await store.root.write('/still', 'here');
});

test('nonsense is answered with an error and changes nothing', async (t) => {
  const store = testStore(t);
  const nodes = store.server.counts.nodes;
  const socket = raw(t, store, 1);
  const got = messages(socket);
  const long = Buffer.alloc(4096, 'x');
  const requests: [number, Buffer, string][] = [
    [XS.READ, Buffer.alloc(0), 'EINVAL'],
    [XS.READ, Buffer.from('/no-nul'), 'EINVAL'],
    [XS.READ, strings('/a', 'b'), 'EINVAL'],
    [XS.WRITE, Buffer.from('/no-nul'), 'EINVAL'],
    [XS.WRITE, long, 'EINVAL'],
    [XS.WATCH, strings('/only-a-path'), 'EINVAL'],
    [XS.UNWATCH, strings('/a', 'never'), 'ENOENT'],
    [XS.TRANSACTION_END, strings('T'), 'ENOENT'],
    [XS.TRANSACTION_END, strings('maybe'), 'EINVAL'],
    [XS.SET_PERMS, strings('/local'), 'EINVAL'],
    [XS.SET_PERMS, strings('/local', 'x1'), 'EINVAL'],
    [XS.SET_PERMS, strings('/local', 'r99999999'), 'ENOENT'],
    [XS.SET_PERMS, strings('/local', 'r99999999999'), 'EINVAL'],
    [XS.SET_PERMS, strings('@releaseDomain', 'r1'), 'EACCES'],
    [XS.GET_DOMAIN_PATH, strings('1', '2'), 'EINVAL'],
    [XS.INTRODUCE, strings('1', '1', '1'), 'EACCES'],
    [XS.RELEASE, strings('2'), 'EACCES'],
    [XS.CONTROL, strings('print', 'x'), 'EACCES'],
    [XS.SET_TARGET, strings('1', '2'), 'EACCES'],
    [XS.RESUME, strings('1'), 'EACCES'],
    [XS.IS_DOMAIN_INTRODUCED, strings('1'), 'EACCES'],
    [99, strings('x'), 'ENOSYS'],
    [0xffff, long, 'ENOSYS'],
  ];
  requests.forEach(([type, payload], i) => socket.write(encodeMessage(type, i, 0, payload)));
  await eventually(() => got.length === requests.length);
  got.forEach((message, i) => {
    const [type, , error] = requests[i] ?? [];
    const answer = [message.type, message.reqId, split(message.payload)[0]];
    t.deepEqual(answer, [XS.ERROR, i, error], `request type ${type}`);
  });
  t.is(store.server.counts.nodes, nodes);
});

test('who does not read its replies stalls only itself, within bounds', async (t) => {
  const store = testStore(t);
  await store.root.write('/big', 'x'.repeat(4000));
  await store.root.setPerms('/big', [{ domid: 0, access: 'r' }]);
  const socket = raw(t, store, 1);
  socket.pause();
  const request = encodeMessage(XS.READ, 1, 0, strings('/big'));
  const before = process.memoryUsage().arrayBuffers;
  const flood = Buffer.concat(Array.from({ length: 20000 }, () => request));
  socket.write(flood); // 80 MB of replies
  for (let i = 0; i < 20; i++) await store.root.write('/alive', String(i));
  const grown = process.memoryUsage().arrayBuffers - before;
  t.true(grown < flood.length * 2 + 8e6, `${grown} bytes held`);
  const got = messages(socket);
  socket.resume();
  await eventually(() => got.length === 20000, 30000);
  t.pass();
});

test('who does not read its events is dropped, and so are its watches', async (t) => {
  const store = testStore(t);
  await store.root.mkdir('/open');
  await store.root.setPerms('/open', [{ domid: 0, access: 'r' }]);
  const socket = raw(t, store, 1);
  socket.pause();
  socket.write(encodeMessage(XS.WATCH, 1, 0, strings('/open', 't'.repeat(900))));
  await eventually(() => store.server.counts.watches === 1);
  for (let i = 0; i < 6000 && store.server.counts.watches > 0; i++) {
    await store.root.write(`/open/${i}`, '');
  }
  t.is(store.server.counts.watches, 0);
  t.regex(store.log.join('\n'), /does not read its watch events/);
});

test('equal events that wait are merged: flapping a node drops nobody', async (t) => {
  const store = testStore(t);
  const socket = raw(t, store, 1);
  socket.pause();
  socket.write(encodeMessage(XS.WATCH, 1, 0, strings('/local/domain/1/name', 't')));
  await eventually(() => store.server.counts.watches === 1);
  for (let i = 0; i < 2000; i++) await store.root.write('/local/domain/1/name', String(i));
  t.is(store.server.counts.watches, 1);
});

test('a privileged client introduces and releases domains', async (t) => {
  const store = testStore(t);
  const [ours, theirs] = native.streamPair();
  store.server.attach(ours, 0, true);
  const socket = new Socket({ fd: theirs });
  t.teardown(() => socket.destroy());
  const got = messages(socket);
  socket.write(encodeMessage(XS.INTRODUCE, 1, 0, strings('9', '0', '1')));
  await eventually(() => got.length === 1);
  t.true(await store.root.isIntroduced(9));
  t.is(await store.root.read('/local/domain/9/domid'), '9');
  for (const domid of ['9', '9', '0'])
    socket.write(encodeMessage(XS.RELEASE, 2, 0, strings(domid)));
  await eventually(() => got.length === 4);
  t.false(await store.root.isIntroduced(9));
  const answers = got.map((m) => split(m.payload)[0]);
  t.deepEqual(answers, ['OK', 'OK', 'ENOENT', 'EINVAL']);
});

test('open transactions are limited and go with their client', async (t) => {
  const store = testStore(t, { transactions: 3 });
  const socket = raw(t, store, 1);
  const got = messages(socket);
  const start = encodeMessage(XS.TRANSACTION_START, 1, 0, strings(''));
  for (let i = 0; i < 4; i++) socket.write(start);
  socket.write(encodeMessage(XS.TRANSACTION_START, 1, 1, strings('')));
  await eventually(() => got.length === 5);
  const answers = got.map((m) => [m.type, split(m.payload)[0]]);
  t.deepEqual(answers.slice(3), [
    [XS.ERROR, 'ENOSPC'],
    [XS.ERROR, 'EBUSY'],
  ]);
});

test('a client of 50 connect cycles with watches and transactions leaves nothing', async (t) => {
  const store = testStore(t);
  for (let i = 0; i < 50; i++) {
    const socket = raw(t, store, 1);
    socket.write(encodeMessage(XS.WATCH, 1, 0, strings('/local', 'x')));
    socket.write(encodeMessage(XS.TRANSACTION_START, 1, 0, strings('')));
    socket.write(Buffer.alloc(7)); // dies mid-message
    await new Promise((resolve) => setImmediate(resolve));
    socket.destroy();
  }
  await eventually(() => store.server.counts.connections === 1);
  t.is(store.server.counts.watches, 0);
});

test('the client fails cleanly when the server talks nonsense', async (t) => {
  const [ours, theirs] = native.streamPair();
  const server = new Socket({ fd: ours });
  t.teardown(() => server.destroy());
  const client = new StoreClient(theirs);
  const answer = client.read('/a');
  server.write(encodeMessage(XS.READ, 4711, 0, strings('not asked for')));
  await t.throwsAsync(answer, { code: 'NF_ECONNRESET' });
  await t.throwsAsync(client.read('/b'), { code: 'NF_ECONNRESET' });
});
