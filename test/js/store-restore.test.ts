// SPDX-License-Identifier: MIT
// A store that is made again from a snapshot and a journal is the same store.
import test, { type ExecutionContext } from 'ava';
import { native } from '../../lib/native.cjs';
import { StoreClient } from '../../lib/store/client.js';
import type { StoreRecord } from '../../lib/store/record.js';
import { StoreServer } from '../../lib/store/server.js';

function serve(t: ExecutionContext, journal?: (r: readonly StoreRecord[]) => void): StoreServer {
  const server = new StoreServer({ log: (line) => t.log(line), ...(journal ? { journal } : {}) });
  t.teardown(() => server.close());
  return server;
}

function client(t: ExecutionContext, server: StoreServer, domid = 0): StoreClient {
  const [ours, theirs] = native.streamPair();
  server.attach(ours, domid, domid === 0);
  const made = new StoreClient(theirs);
  t.teardown(() => made.close());
  return made;
}

/** As a journal file would hold it. */
function written(records: Iterable<StoreRecord>): StoreRecord[] {
  return JSON.parse(JSON.stringify([...records])) as StoreRecord[];
}

test('snapshot and restore: values, order, permissions, domains', async (t) => {
  const first = serve(t);
  first.introduce(1, 'one');
  const root = client(t, first);
  await root.write('/a/z', Buffer.from([0, 1, 128, 255]));
  await root.write('/a/b/c', 'deep');
  await root.setPerms('/a/b', [
    { domid: 1, access: 'n' },
    { domid: 0, access: 'r' },
  ]);
  await root.setPerms('@releaseDomain', [
    { domid: 0, access: 'n' },
    { domid: 1, access: 'r' },
  ]);
  const second = serve(t);
  second.restore(written(first.snapshot()));
  t.deepEqual([...second.snapshot()], [...first.snapshot()]);
  t.is(second.counts.nodes, first.counts.nodes);
  const again = client(t, second);
  t.deepEqual(await again.readBytes('/a/z'), Buffer.from([0, 1, 128, 255]));
  t.deepEqual(await again.directory('/a'), ['z', 'b']);
  t.true(await again.isIntroduced(1));
  await client(t, second, 1).write('/a/b/own', ''); // its nodes are its own still
});

test('a snapshot and the journal after it are the store as it was at the last reply', async (t) => {
  const journal: StoreRecord[] = [];
  const batches: number[] = [];
  const first = serve(t, (records) => {
    journal.push(...written(records));
    batches.push(records.length);
  });
  const base = written(first.snapshot());
  const root = client(t, first);
  first.introduce(1, 'one');
  first.introduce(2, 'two');
  await root.write('/keep/x', '1');
  await root.write('/gone/deep/er', '2');
  await root.setPerms('/gone', [{ domid: 2, access: 'n' }]);
  await root.setPerms('/keep', [
    { domid: 1, access: 'n' },
    { domid: 2, access: 'b' },
  ]);
  const before = batches.length;
  await root.transaction(async (tx) => {
    await tx.write('/tx/a', '1');
    await tx.write('/tx/b', '2');
    await tx.rm('/keep/x');
  });
  t.is(batches.length, before + 1, 'a commit is one batch: all of it or nothing is kept');
  await t.throwsAsync(root.transaction(() => Promise.reject(new Error('dropped'))));
  await root.rm('/tx/a');
  first.domainGone(2);
  await root.write('/keep/late', 'x');
  const second = serve(t);
  second.restore([...base, ...journal]);
  t.deepEqual([...second.snapshot()], [...first.snapshot()]);
  t.false(await client(t, second).isIntroduced(2));
});

test('a journal that no store wrote is refused', (t) => {
  const wrong: StoreRecord[][] = [
    [{ node: '/no/parent', value: '', permissions: ['n0'] }],
    [{ node: '/bad', value: '', permissions: ['x0'] }],
    [{ node: '/none', value: '', permissions: [] }],
    [{ special: '@other', permissions: ['n0'] }],
  ];
  for (const records of wrong) t.throws(() => serve(t).restore(records));
});
