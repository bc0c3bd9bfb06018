// SPDX-License-Identifier: MIT
import test from 'ava';
import { testStore } from './helpers/store.js';

test('read, write, directory: parents are made, names keep their order', async (t) => {
  const { root } = testStore(t);
  await root.write('/a/b/c', 'one');
  await root.write('/a/b/aa', '');
  t.is(await root.read('/a/b/c'), 'one');
  t.is(await root.read('/a'), '');
  t.deepEqual(await root.directory('/a/b'), ['c', 'aa']);
  t.deepEqual(await root.directory('/a/b/c'), []);
  await t.throwsAsync(root.read('/nothing'), { code: 'NF_ENOENT' });
  t.is(await root.readIfThere('/nothing'), undefined);
  await root.write('/bytes', Buffer.from([0, 255, 0, 10]));
  t.deepEqual(await root.readBytes('/bytes'), Buffer.from([0, 255, 0, 10]));
});

test('mkdir keeps a value, rm takes everything below', async (t) => {
  const { root } = testStore(t);
  await root.write('/a', 'kept');
  await root.mkdir('/a');
  t.is(await root.read('/a'), 'kept');
  await root.write('/a/b/c', '');
  await root.rm('/a');
  await t.throwsAsync(root.read('/a/b/c'), { code: 'NF_ENOENT' });
  await root.rm('/a'); // its parent is there: fine
  await t.throwsAsync(root.rm('/not/there'), { code: 'NF_ENOENT' });
  await t.throwsAsync(root.rm('/'), { code: 'NF_EINVAL' });
});

test('a path that cannot be is refused', async (t) => {
  const { root } = testStore(t);
  for (const path of ['//a', '/a/', '/a b', '/ä', '@other', `/${'x'.repeat(3072)}`, '/a//b']) {
    await t.throwsAsync(root.write(path, ''), { code: 'NF_EINVAL' }, path);
  }
  await t.throwsAsync(root.read(''), { instanceOf: TypeError });
  await t.throwsAsync(root.read('a\0b'), { instanceOf: TypeError });
});

test('relative paths are below the domain', async (t) => {
  const { root, as } = testStore(t);
  await root.mkdir('/local/domain/1/device');
  await root.setPerms('/local/domain/1/device', [{ domid: 1, access: 'n' }]);
  const one = as(1);
  await one.write('device/vif/0/state', '1');
  t.is(await root.read('/local/domain/1/device/vif/0/state'), '1');
  t.is(await one.domainPath(1), '/local/domain/1');
});

test('permissions: owner, listed, everybody else', async (t) => {
  const { root, as } = testStore(t);
  const [one, two, three] = [as(1), as(2), as(3)];
  await root.write('/n', 'v');
  await root.setPerms('/n', [
    { domid: 1, access: 'n' },
    { domid: 2, access: 'r' },
  ]);
  t.is(await one.read('/n'), 'v');
  await one.write('/n', 'w');
  t.is(await two.read('/n'), 'w');
  await t.throwsAsync(two.write('/n', 'x'), { code: 'NF_EACCES' });
  await t.throwsAsync(three.read('/n'), { code: 'NF_EACCES' });
  await root.setPerms('/n', [
    { domid: 1, access: 'b' },
    { domid: 2, access: 'n' },
    { domid: 3, access: 'w' },
  ]);
  await t.throwsAsync(two.read('/n'), { code: 'NF_EACCES' });
  await three.write('/n', 'y');
  await t.throwsAsync(three.read('/n'), { code: 'NF_EACCES' });
});

test('permissions are inherited, with who makes the node as its owner', async (t) => {
  const { root, as } = testStore(t);
  await root.mkdir('/shared');
  await root.setPerms('/shared', [
    { domid: 1, access: 'n' },
    { domid: 2, access: 'b' },
  ]);
  await as(2).write('/shared/deep/node', '');
  const wanted = [
    { domid: 2, access: 'n' },
    { domid: 2, access: 'b' },
  ];
  t.deepEqual(await root.getPerms('/shared/deep'), wanted);
  t.deepEqual(await root.getPerms('/shared/deep/node'), wanted);
  await root.write('/shared/by-root', '');
  t.deepEqual((await root.getPerms('/shared/by-root'))[0], { domid: 1, access: 'n' });
});

test('only the owner sets permissions, and cannot give the node away', async (t) => {
  const { root, as } = testStore(t);
  await root.mkdir('/x');
  await root.setPerms('/x', [
    { domid: 1, access: 'n' },
    { domid: 2, access: 'b' },
  ]);
  const mine = [{ domid: 2, access: 'b' }] as const;
  await t.throwsAsync(as(2).setPerms('/x', mine), { code: 'NF_EACCES' });
  await t.throwsAsync(as(1).setPerms('/x', mine), { code: 'NF_EPERM' });
  await as(1).setPerms('/x', [{ domid: 1, access: 'r' }]);
  await t.throwsAsync(as(2).write('/x', ''), { code: 'NF_EACCES' });
});

test('what is missing shows only to who may look at the parent', async (t) => {
  const { root, as } = testStore(t);
  await root.mkdir('/secret');
  await root.mkdir('/open');
  await root.setPerms('/open', [{ domid: 0, access: 'r' }]);
  await t.throwsAsync(as(1).read('/secret/a'), { code: 'NF_EACCES' });
  await t.throwsAsync(as(1).read('/open/a'), { code: 'NF_ENOENT' });
  await t.throwsAsync(as(1).write('/open/a', ''), { code: 'NF_EACCES' });
});

test('directories beyond 4096 bytes are read in parts', async (t) => {
  const { root } = testStore(t);
  const names = Array.from({ length: 700 }, (_, i) => `node-number-${i}`);
  for (const name of names) await root.write(`/big/${name}`, '');
  t.deepEqual(await root.directory('/big'), names);
});

test('introduced domains', async (t) => {
  const { root, server } = testStore(t);
  t.true(await root.isIntroduced(1));
  t.false(await root.isIntroduced(7));
  server.domainGone(1);
  t.false(await root.isIntroduced(1));
});

test('a domain that goes loses its nodes and its rights', async (t) => {
  const { root, server, as } = testStore(t);
  await root.write('/local/domain/1/device/vif/0/state', '4');
  await root.setPerms('/local/domain/1/device', [{ domid: 1, access: 'n' }]);
  await root.write('/other', '');
  await root.setPerms('/other', [
    { domid: 2, access: 'n' },
    { domid: 1, access: 'b' },
  ]);
  const client = as(1);
  t.is(await client.read('/other'), '');
  server.domainGone(1);
  await t.throwsAsync(client.read('/other'), { code: 'NF_ECONNRESET' });
  await t.throwsAsync(root.read('/local/domain/1/device'), { code: 'NF_ENOENT' });
  t.deepEqual((await root.getPerms('/other')).length, 2); // shown, but void
  server.introduce(1, 'again');
  await t.throwsAsync(as(1).read('/other'), { code: 'NF_EACCES' });
});

test('domid 0 keeps the store and its clients', async (t) => {
  const { root, server } = testStore(t);
  await root.write('/kept', 'v');
  server.domainGone(0);
  t.is(await root.read('/kept'), 'v');
});

test('quotas: nodes, values, permissions, transactions', async (t) => {
  const { root, as, server } = testStore(t, { nodes: 5, nodeBytes: 100 });
  await root.mkdir('/mine');
  await root.setPerms('/mine', [{ domid: 1, access: 'n' }]);
  const one = as(1);
  for (const i of [1, 2, 3, 4]) await one.write(`/mine/${i}`, '');
  await t.throwsAsync(one.write('/mine/5', ''), { code: 'NF_ENOSPC' });
  await t.throwsAsync(one.write('/mine/1/2/3', ''), { code: 'NF_ENOSPC' });
  const inside = one.transaction((tx) => tx.write('/mine/6', ''));
  await t.throwsAsync(inside, { code: 'NF_ENOSPC' });
  await one.rm('/mine/4');
  await one.write('/mine/5', '');
  await t.throwsAsync(one.write('/mine/1', 'x'.repeat(68)), { code: 'NF_ENOSPC' });
  const many = Array.from({ length: 6 }, () => ({ domid: 1, access: 'n' as const }));
  await t.throwsAsync(one.setPerms('/mine/1', many), { code: 'NF_ENOSPC' });
  await root.write('/mine/root-may', 'x'.repeat(2000));
  t.true(server.counts.nodes > 5);
});
