// SPDX-License-Identifier: MIT
// Arenas that end while their grantee has them mapped.
import test from 'ava';
import { arenaKey, eventually, pair } from './helpers/hypervisor.js';

const RX_RING = 2;
const RX_PAYLOAD = 5;

test.serial('an arena that ends while mapped is emptied, kept apart and charged', async (t) => {
  const { hv, front, back } = await pair(t);
  const arena = await front.alloc(arenaKey(0, false, RX_PAYLOAD), 4, false);
  arena.write(0, Buffer.from('secret of the past'));
  const grefs = Uint32Array.from(arena.grefs);
  const mapping = await back.map(front.domid, grefs, false);
  t.is(mapping.read(0, 6).toString(), 'secret');
  t.false(await arena.end());
  t.deepEqual(mapping.read(0, 18), Buffer.alloc(18));
  const [, charged] = await hv.client.listDomains();
  t.is((await hv.client.listDomains())[0]?.quarantinedPages, 4);
  t.is(charged?.pages, 0);
  const next = await front.alloc(arenaKey(0, false, RX_PAYLOAD), 4, false);
  t.is(next.grefs.filter((gref) => grefs.includes(gref)).length, 0, 'numbers wait as well');
  await mapping.unmap();
  t.is((await hv.client.listDomains())[0]?.quarantinedPages, 0);
  const after = await front.alloc(arenaKey(0, false, RX_PAYLOAD), 4, false);
  t.deepEqual(after.grefs, grefs);
  t.deepEqual(after.read(0, 18), Buffer.alloc(18));
});

test.serial(
  'rings, and what an inner domain has, stay readable and are never used anew',
  async (t) => {
    const { hv, front, back } = await pair(t);
    for (const wanted of [
      arenaKey(0, false, RX_RING),
      { ...arenaKey(0, false, RX_PAYLOAD), innerOwner: 7 },
    ]) {
      const arena = await front.alloc(wanted, 4, false);
      arena.write(0, Buffer.from('not heard of it yet'));
      const mapping = await back.map(front.domid, arena.grefs, false);
      t.false(await arena.end());
      t.is(mapping.read(0, 19).toString(), 'not heard of it yet');
      t.is((await hv.client.listDomains())[0]?.quarantinedPages, 4);
      await t.throwsAsync(back.map(front.domid, arena.grefs, false), { code: 'EACCES' });
      const next = await front.alloc(wanted, 4, false);
      mapping.write(0, Buffer.from('late'));
      t.deepEqual(next.read(0, 19), Buffer.alloc(19), 'other pages');
      await mapping.unmap();
      t.is((await hv.client.listDomains())[0]?.quarantinedPages, 0);
      await next.end();
    }
  },
);

test.serial('what is in quarantine goes when the grantee dies', async (t) => {
  const { hv, front, back } = await pair(t);
  const arena = await front.alloc(arenaKey(0, true, RX_PAYLOAD), 4, false);
  await back.map(front.domid, arena.grefs, true);
  t.false(await arena.end());
  t.is((await hv.client.stats()).quarantinedPages, 4);
  await back.close();
  await eventually(async () => (await hv.client.stats()).quarantinedPages === 0);
});
