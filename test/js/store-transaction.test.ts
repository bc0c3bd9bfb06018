// SPDX-License-Identifier: MIT
import test from 'ava';
import { testStore } from './helpers/store.js';

test('a transaction sees its own writes, others see them at its commit', async (t) => {
  const { root } = testStore(t);
  await root.write('/t/a', '1');
  await root.transaction(async (tx) => {
    await tx.write('/t/a', '2');
    await tx.write('/t/new/child', '3');
    await tx.rm('/t/gone');
    t.is(await tx.read('/t/a'), '2');
    t.deepEqual(await tx.directory('/t'), ['a', 'new']);
    t.is(await root.read('/t/a'), '1');
    await t.throwsAsync(root.read('/t/new'), { code: 'NF_ENOENT' });
  });
  t.is(await root.read('/t/a'), '2');
  t.is(await root.read('/t/new/child'), '3');
});

test('a transaction whose body throws leaves nothing', async (t) => {
  const { root } = testStore(t);
  const thrown = await t.throwsAsync(
    root.transaction(async (tx) => {
      await tx.write('/t', 'x');
      throw new Error('changed my mind');
    }),
  );
  t.is(thrown.message, 'changed my mind');
  await t.throwsAsync(root.read('/t'), { code: 'NF_ENOENT' });
});

test('a conflict runs the transaction again, and only so often', async (t) => {
  const { root } = testStore(t);
  await root.write('/n', '0');
  let runs = 0;
  await root.transaction(async (tx) => {
    const seen = Number(await tx.read('/n'));
    if (runs++ === 0) await root.write('/n', '10');
    await tx.write('/n', String(seen + 1));
  });
  t.is(runs, 2);
  t.is(await root.read('/n'), '11');
  runs = 0;
  const never = root.transaction(
    async (tx) => {
      await tx.read('/n');
      await root.write('/n', String(runs++));
    },
    { retries: 3 },
  );
  await t.throwsAsync(never, { code: 'NF_EAGAIN' });
  t.is(runs, 4);
});

test('looking for what is not there, then it appears: a conflict', async (t) => {
  const { root } = testStore(t);
  let runs = 0;
  await root.transaction(async (tx) => {
    const there = await tx.readIfThere('/late');
    if (runs++ === 0) await root.write('/late', 'x');
    await tx.write('/saw', there ?? 'nothing');
  });
  t.is(await root.read('/saw'), 'x');
});

test('two transactions that do not touch the same nodes both commit', async (t) => {
  const { root } = testStore(t);
  await root.mkdir('/a');
  await root.mkdir('/b');
  let runs = 0;
  await root.transaction(async (tx) => {
    runs++;
    await tx.write('/a/x', '1');
    await root.transaction((other) => other.write('/b/x', '2'));
  });
  t.is(runs, 1);
});

test('a transaction ends once', async (t) => {
  const { root } = testStore(t);
  let kept: { write(path: string, value: string): Promise<void> } | undefined;
  await root.transaction(async (tx) => {
    kept = tx;
  });
  await t.throwsAsync(async () => kept?.write('/a', ''), { code: 'NF_ENOENT' });
});
