// SPDX-License-Identifier: MIT
// Store requests that came together: answered together, written down, and never carried out twice.
import { Socket } from 'node:net';
import test, { type ExecutionContext } from 'ava';
import { KeptStream } from '../../lib/hypervisor/keptstream.js';
import type { RestoredStream, StreamPendingFact } from '../../lib/hypervisor/streamrequests.js';
import { Vault } from '../../lib/hypervisor/vault.js';
import { native } from '../../lib/native.cjs';
import { StoreServer } from '../../lib/store/server.js';
import type { Limits } from '../../lib/store/limits.js';
import { encodeMessage, MessageReader, strings, XS } from '../../lib/store/wire.js';

const DOMID = 1;
const TOGETHER = 16;

/** What a stream has written down of its answers, each time it did. */
class Notes extends Vault {
  readonly answers: StreamPendingFact[][] = [];

  constructor() {
    super(true);
  }

  override put(key: string, value: unknown): void {
    if (key.startsWith('Q') && value) this.answers.push(structuredClone(value) as never);
  }
}

interface Rig {
  readonly server: StoreServer;
  readonly notes: Notes;
  /** The client's end. */
  readonly socket: Socket;
  /** Numbers of the requests answered so far. */
  readonly answered: number[];
}

function rig(t: ExecutionContext, pending?: StreamPendingFact[], limits?: Partial<Limits>): Rig {
  const server = new StoreServer({ log: (line) => t.log(line), ...(limits && { limits }) });
  server.introduce(DOMID, 'one');
  const notes = new Notes();
  const [ours, theirs] = native.streamPair();
  const who = { domid: DOMID, privileged: false };
  const restored: RestoredStream | undefined = pending && {
    uid: 7,
    fact: { ...who, fd: 0, watches: [] },
    pending,
    epoch: 1,
  };
  const stream = new KeptStream(ours, notes, who, restored);
  server.attach(stream, DOMID, false);
  const socket = new Socket({ fd: theirs });
  const reader = new MessageReader();
  const answered: number[] = [];
  socket.on('data', (chunk: Buffer) => {
    reader.push(chunk);
    for (let m = reader.next(); m; m = reader.next()) answered.push(m.reqId);
  });
  t.teardown(() => {
    socket.destroy();
    server.close();
  });
  return { server, notes, socket, answered };
}

function writes(from: number, to: number): Buffer {
  const all: Buffer[] = [];
  for (let id = from; id <= to; id++) {
    const payload = Buffer.concat([strings(`/local/domain/${DOMID}/k${id}`), Buffer.from('1')]);
    all.push(encodeMessage(XS.WRITE, id, 0, payload));
  }
  return Buffer.concat(all);
}

function allow(server: StoreServer): void {
  const home = `/local/domain/${DOMID}`;
  server.restore([{ node: home, value: '', permissions: [`n${DOMID}`] }]);
}

async function until(t: ExecutionContext, condition: () => boolean, what: string): Promise<void> {
  const end = performance.now() + 20_000;
  while (!condition() && performance.now() < end) await new Promise((r) => setTimeout(r, 2));
  t.true(condition(), what);
}

const upTo = (n: number): number[] => Array.from({ length: n }, (_, i) => i + 1);

function written(server: StoreServer): number[] {
  const paths = [...server.snapshot()].map((r) => ('node' in r ? r.node : ''));
  return paths.flatMap((path) => /\/k(\d+)$/.exec(path)?.[1] ?? []).map(Number);
}

test('requests that came together are answered in order, so many at a time', async (t) => {
  const { server, notes, socket, answered } = rig(t);
  allow(server);
  socket.write(writes(1, 40));
  await until(t, () => answered.length >= 40, 'all are answered');
  t.deepEqual(answered, upTo(40));
  t.deepEqual(written(server), upTo(40));
  t.deepEqual(
    notes.answers.flat().map(({ reqId }) => reqId),
    upTo(40),
    'each is written down once',
  );
  t.true(notes.answers.some((batch) => batch.length > 1));
  t.true(notes.answers.every((batch) => batch.length <= TOGETHER));
});

test('half a request waits for its other half', async (t) => {
  const { server, socket, answered } = rig(t);
  allow(server);
  const bytes = writes(1, 3);
  socket.write(bytes.subarray(0, bytes.length - 5));
  await until(t, () => answered.length >= 2, 'the whole ones are answered');
  t.deepEqual(answered, [1, 2]);
  socket.write(bytes.subarray(bytes.length - 5));
  await until(t, () => answered.length >= 3, 'the last one, too');
});

test('a domain that may leave few answers unread is served all the same', async (t) => {
  const { server, socket, answered, notes } = rig(t, undefined, { outstanding: 3 });
  allow(server);
  socket.write(writes(1, 20));
  await until(t, () => answered.length >= 20, 'all are answered');
  t.deepEqual(answered, upTo(20));
  t.true(notes.answers.every((batch) => batch.length <= 3));
});

test('what a predecessor has answered is answered again, not carried out again', async (t) => {
  const first = rig(t);
  allow(first.server);
  first.socket.write(writes(1, 10));
  await until(t, () => first.answered.length >= 10, 'the first life');
  // killed before it took them out of the socket, with six more behind them
  const second = rig(t, first.notes.answers.flat());
  allow(second.server);
  second.socket.write(writes(1, 16));
  await until(t, () => second.answered.length >= 16, 'the second life');
  t.deepEqual(second.answered, upTo(16), 'all answers, in order');
  t.deepEqual(written(second.server), [11, 12, 13, 14, 15, 16], 'only the new ones are done');
  const last = second.notes.answers.flat().map(({ reqId }) => reqId);
  t.deepEqual(last, upTo(16), 'a third life would know of all');
});
