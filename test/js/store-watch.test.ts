// SPDX-License-Identifier: MIT
import test from 'ava';
import type { StoreClient } from '../../lib/store/client.js';
import { testStore } from './helpers/store.js';

/** The next `count` events, or what came within `ms`. */
async function take(events: AsyncGenerator<string, void>, count: number): Promise<string[]> {
  const out: string[] = [];
  while (out.length < count) {
    const { value, done } = await events.next();
    if (done) break;
    out.push(value);
  }
  return out;
}

/** Events up to a marker that is written after everything else. */
async function until(
  root: StoreClient,
  events: AsyncGenerator<string, void>,
  marker: string,
): Promise<string[]> {
  await root.write(marker, '');
  const out: string[] = [];
  for (;;) {
    const { value } = await events.next();
    if (value === undefined || value === marker) return out;
    out.push(value);
  }
}

test('the first event comes at once, then those at and below the path', async (t) => {
  const { root } = testStore(t);
  await root.mkdir('/a');
  const events = root.watch('/a');
  t.deepEqual(await take(events, 1), ['/a']);
  await root.write('/a/b/c', '1');
  await root.write('/ab', 'not below');
  await root.setPerms('/a', [{ domid: 1, access: 'r' }]);
  t.deepEqual(await until(root, events, '/a/end'), ['/a/b/c', '/a']);
});

test('a watch that is relative tells relative paths', async (t) => {
  const { root, as } = testStore(t);
  await root.mkdir('/local/domain/1/device');
  await root.setPerms('/local/domain/1/device', [{ domid: 1, access: 'n' }]);
  const events = as(1).watch('device');
  t.deepEqual(await take(events, 1), ['device']);
  await root.write('/local/domain/1/device/vif/0', '');
  t.deepEqual(await take(events, 1), ['device/vif/0']);
});

test('a removed tree tells the watches within it, each its own path', async (t) => {
  const { root } = testStore(t);
  await root.write('/a/b/c', '');
  const [inner, outer] = [root.watch('/a/b/c'), root.watch('/a')];
  await take(inner, 1);
  await take(outer, 1);
  await root.rm('/a/b');
  t.deepEqual(await take(inner, 1), ['/a/b/c']);
  t.deepEqual(await until(root, outer, '/a/end'), ['/a/b']);
});

test('who can read neither the node nor its parent hears nothing', async (t) => {
  const { root, as } = testStore(t);
  await root.mkdir('/open');
  await root.setPerms('/open', [{ domid: 0, access: 'r' }]);
  await root.mkdir('/open/secret');
  await root.setPerms('/open/secret', [{ domid: 0, access: 'n' }]);
  const events = as(1).watch('/open');
  await take(events, 1);
  await root.write('/open/secret/x', '1');
  await root.write('/open/seen', '2');
  t.deepEqual(await take(events, 1), ['/open/seen']);
});

test('a transaction tells at its commit', async (t) => {
  const { root } = testStore(t);
  await root.mkdir('/a');
  const events = root.watch('/a');
  await take(events, 1);
  await root.transaction(async (tx) => {
    await tx.write('/a/in', '');
    await root.write('/b', '');
  });
  t.deepEqual(await take(events, 1), ['/a/in']);
  await root
    .transaction(async (tx) => {
      await tx.write('/a/dropped', '');
      throw new Error('no');
    })
    .catch(() => undefined);
  t.deepEqual(await until(root, events, '/a/end'), []);
});

test('domains come and go: only privileged ones hear, unless permitted', async (t) => {
  const { root, server, as } = testStore(t);
  const [released, introduced] = [root.watch('@releaseDomain'), root.watch('@introduceDomain')];
  const other = as(1).watch('@releaseDomain');
  for (const events of [released, introduced, other]) await take(events, 1);
  server.introduce(9);
  server.domainGone(9);
  t.deepEqual(await take(released, 1), ['@releaseDomain']);
  t.deepEqual(await take(introduced, 1), ['@introduceDomain']);
  await root.setPerms('@releaseDomain', [
    { domid: 0, access: 'n' },
    { domid: 1, access: 'r' },
  ]);
  server.domainGone(2);
  t.deepEqual(await take(other, 1), ['@releaseDomain']);
  await other.return();
  t.deepEqual(await take(as(1).watch('@else'), 1), ['@else']); // any name may be, as in Xen
});

test('a watch ends by return, also while somebody waits for it', async (t) => {
  const { root, server } = testStore(t);
  const before = server.counts.watches;
  const events = root.watch('/a');
  await take(events, 1);
  t.is(server.counts.watches, before + 1);
  const waiting = events.next();
  await events.return();
  t.deepEqual(await waiting, { value: undefined, done: true });
  t.is(server.counts.watches, before);
});

test('a watch ends by its signal', async (t) => {
  const { root, server } = testStore(t);
  const abort = new AbortController();
  const events = root.watch('/a', { signal: abort.signal });
  await take(events, 1);
  const waiting = events.next();
  abort.abort(new Error('enough'));
  await t.throwsAsync(waiting, { code: 'NF_EABORTED' });
  t.is(server.counts.watches, 0);
  await t.throwsAsync(root.watch('/a', { signal: abort.signal }).next(), { code: 'NF_EABORTED' });
});

test('a watch ends with the server', async (t) => {
  const { root, server } = testStore(t);
  const events = root.watch('/a');
  await take(events, 1);
  const waiting = events.next();
  server.close();
  await t.throwsAsync(waiting, { code: 'NF_ECONNRESET' });
  await t.throwsAsync(root.read('/a'), { code: 'NF_ECONNRESET' });
});

test('quota: a domain has so many watches', async (t) => {
  const { as, server } = testStore(t, { watches: 3 });
  const one = as(1);
  const open = ['/a', '/b', '/c'].map((path) => one.watch(path));
  for (const events of open) await take(events, 1);
  await t.throwsAsync(one.watch('/d').next(), { code: 'NF_E2BIG' });
  await t.throwsAsync(as(1).watch('/e').next(), { code: 'NF_E2BIG' }); // the domain's
  t.deepEqual(await take(as(2).watch('/d'), 1), ['/d']); // others are not harmed
  await open[0]?.return();
  t.deepEqual(await take(one.watch('/d'), 1), ['/d']);
  t.is(server.counts.watches, 4);
});
