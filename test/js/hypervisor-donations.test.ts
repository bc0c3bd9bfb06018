// SPDX-License-Identifier: MIT
// Pages and channel ends of an outer layer behind an inner domain's grants.
import test from 'ava';
import { HV, LAYOUT } from '../../lib/hypervisor/protocol.js';
import { native } from '../../lib/native.cjs';
import { arenaKey, eventually, pair, RawDomain } from './helpers/hypervisor.js';

test.serial('donated pages: two layers, one set of pages, equal numbers', async (t) => {
  const outer = await pair(t);
  const [held, outerFd] = native.seqpacketPair();
  t.teardown(() => [held, outerFd].forEach((fd) => native.close(fd)));
  const inner = await pair(t, ['--outer-fd', '1']);
  const { front: l1, back: l0 } = outer;
  const { back: relay, front: l2 } = inner;
  const wanted = { peer: 0, innerOwner: l2.domid, device: 3, queue: 1, readonly: true };
  const below = await l1.alloc({ ...wanted, purpose: 4 }, 8, true);
  t.is(below.buffer, undefined);
  await relay.donate(l2.domid, below, true);
  const plain = await l2.alloc(arenaKey(0), 2, false);
  t.true(
    plain.grefs.every((gref) => gref > 16000),
    'plain numbers come from the top',
  );
  const above = await l2.alloc({ ...wanted, innerOwner: 0x7ff0, purpose: 4 }, 8, false);
  t.deepEqual(above.grefs, below.grefs);
  above.write(5, Buffer.from('through both layers'));
  const seen = await l0.map(l1.domid, below.grefs, true);
  t.is(seen.read(5, 19).toString(), 'through both layers');
  // the next allocation is fresh again
  const fresh = await l2.alloc({ ...wanted, innerOwner: 0x7ff0, purpose: 4 }, 8, false);
  t.notDeepEqual(fresh.grefs, below.grefs);
  // ending the outer grant stops what L2 writes from being seen
  t.false(await below.end());
  t.true(await above.end());
});

test.serial('donations: only privileged, only sealed memory, only what fits', async (t) => {
  const outer = await pair(t);
  const { hv, front, back } = await pair(t);
  const arena = await outer.front.alloc(arenaKey(0, false, 5), 4, true);
  await back.donate(front.domid, arena, false);
  await t.throwsAsync(front.alloc(arenaKey(0, false, 5), 5, false), { code: 'EINVAL' });
  const got = await front.alloc(arenaKey(0, false, 5), 3, false);
  got.write(0, Buffer.from('x'));
  await back.donate(front.domid, arena, true);
  await front.alloc(arenaKey(0), 8, false); // takes 8 and on
  await t.throwsAsync(front.alloc(arenaKey(0, false, 5), 4, false), { code: 'EEXIST' });
  const raw = await RawDomain.open(t, hv, 'plain');
  const fd = native.memfdCreate('mine', 4);
  t.teardown(() => native.close(fd));
  const l = LAYOUT.nf_hv_donate;
  const message = raw.message(HV.DONATE, l.size);
  message.writeUInt16LE(front.domid, l.key);
  message.writeUInt32LE(4, l.pages);
  t.is((await raw.call(message, [fd])).status, -13);
  t.is((await hv.client.stats()).donations, 1);
  await back.close();
  await eventually(async () => (await hv.client.stats()).donations === 0);
});

test.serial('donated channel ends: L2 rings L0 without L1', async (t) => {
  const outer = await pair(t);
  const inner = await pair(t);
  const ours = await outer.front.allocChan(0, 0, 0, 6);
  await inner.back.donateChan(inner.front.domid, 0, 0, 6, ours);
  const l2 = await inner.front.allocChan(0, 0, 0, 6);
  const l0 = await outer.back.bindChan(outer.front.domid, ours.port);
  await ours.close();
  l2.notify();
  let heard = 0;
  l0.watch((count) => (heard += count));
  await eventually(() => heard === 1);
  // pages and channels don't get mixed up
  await inner.back.donateChan(inner.front.domid, 0, 0, 9, l2);
  const plain = await inner.front.alloc(arenaKey(0, false, 9), 1, false);
  plain.write(0, Buffer.from('memory'));
  t.is(plain.read(0, 6).toString(), 'memory');
});
