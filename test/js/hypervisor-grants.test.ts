// SPDX-License-Identifier: MIT
// Grants, seals, quarantine, donations and channels of the embedded layer, from honest domains and
// from ones that try what they must not (HOSTILE.md 5, 14, 15, 17, 22).
import { closeSync, constants, ftruncateSync, openSync, writeSync } from 'node:fs';
import test, { type ExecutionContext } from 'ava';
import { HV, LAYOUT } from '../../lib/hypervisor/protocol.js';
import { QUOTA } from '../../lib/hypervisor/quota.js';
import { native } from '../../lib/native.cjs';
import {
  arenaKey,
  eventually,
  openDomain,
  pair,
  RawDomain,
  startHypervisor,
} from './helpers/hypervisor.js';

/** Everything one can try to write through a descriptor. */
function tryToWrite(t: ExecutionContext, fd: number): void {
  const refused = { message: /EPERM|EACCES/ };
  t.throws(() => native.mapShared(fd, 0, 4096, true), refused, 'shared mapping');
  t.throws(() => writeSync(fd, 'x', 0), refused, 'write()');
  t.throws(() => ftruncateSync(fd, 0), refused, 'truncate to 0');
  t.throws(() => ftruncateSync(fd, 1 << 20), refused, 'grow');
  t.throws(() => native.memfdPunch(fd, 0, 4096), refused, 'punch');
  t.throws(() => native.memfdSeal(fd, native.F_SEAL_WRITE), refused, 'more seals');
  const again = openSync(`/proc/self/fd/${fd}`, constants.O_RDWR);
  t.throws(() => native.mapShared(again, 0, 4096, true), refused, 'mapping after reopen');
  t.throws(() => writeSync(again, 'x', 0), refused, 'write() after reopen');
  closeSync(again);
}

/** MAP one grant; the descriptor is the raw domain's. */
async function rawMap(
  raw: RawDomain,
  peer: number,
  gref: number,
  readonly: boolean,
): Promise<{ status: number; fds: number[] }> {
  const l = LAYOUT.nf_hv_map;
  const message = raw.message(HV.MAP, l.size + 4);
  message.writeUInt16LE(peer, l.peer);
  message.writeUInt16LE(readonly ? 1 : 0, l.readonly);
  message.writeUInt32LE(1, l.count);
  message.writeUInt32LE(gref, l.size);
  return raw.call(message);
}

test.serial('a read-only grant cannot be written by its grantee in any way', async (t) => {
  const hv = await startHypervisor(t);
  const front = await openDomain(t, hv, 'front');
  const raw = await RawDomain.open(t, hv, 'grantee');
  const arena = await front.alloc(arenaKey(raw.domid, true), 2, false);
  arena.write(0, Buffer.from('readable'));
  const [gref = 0] = arena.grefs;
  t.is((await rawMap(raw, front.domid, gref, false)).status, -13);
  const { fds } = await rawMap(raw, front.domid, gref, true);
  const [fd = -1] = fds;
  tryToWrite(t, fd);
  const seen = Buffer.from(new Uint8Array(native.mapShared(fd, 0, 4096, false)));
  t.is(seen.toString('latin1', 0, 8), 'readable');
  arena.write(0, Buffer.from('still the granter'));
});

test.serial("a peer's grant table can be read, not written", async (t) => {
  const hv = await startHypervisor(t);
  const front = await openDomain(t, hv, 'front');
  const raw = await RawDomain.open(t, hv, 'grantee');
  const ask = raw.message(HV.TABLE, LAYOUT.nf_hv_table.size);
  ask.writeUInt16LE(front.domid, LAYOUT.nf_hv_table.peer);
  t.is((await raw.call(ask)).status, -13); // it grants us nothing
  const arena = await front.alloc(arenaKey(raw.domid), 1, false);
  const reply = await raw.call(ask);
  const fd = RawDomain.fdOf(reply);
  tryToWrite(t, fd);
  const words = new Uint16Array(native.mapShared(fd, 0, 4096, false));
  const [gref = 0] = arena.grefs;
  t.deepEqual([words[gref * 4], words[gref * 4 + 1]], [1, raw.domid]);
});

test.serial('a forged entry names nothing; a withdrawn one is not mapped', async (t) => {
  const hv = await startHypervisor(t);
  const forger = await RawDomain.open(t, hv, 'forger');
  const hello = forger.message(HV.HELLO, LAYOUT.nf_hv_hello.size);
  hello.writeUInt32LE(1, LAYOUT.nf_hv_hello.version);
  const tableFd = RawDomain.fdOf(await forger.call(hello));
  const table = new Uint16Array(native.mapShared(tableFd, 0, 4096, true));
  const grantee = await openDomain(t, hv, 'grantee');
  const third = await openDomain(t, hv, 'third');
  await third.alloc(arenaKey(forger.domid), 1, false);
  for (const gref of [8, 9, 100]) {
    table[gref * 4 + 1] = grantee.domid;
    table[gref * 4 + 2] = 1; // a frame of somebody
    table[gref * 4] = 1;
  }
  for (const gref of [8, 9, 100, 0, 0xffffffff]) {
    const grefs = Uint32Array.of(gref);
    await t.throwsAsync(grantee.map(forger.domid, grefs, false), { code: 'EACCES' });
  }
  const message = forger.message(HV.ALLOC, LAYOUT.nf_hv_alloc.size);
  message.writeUInt16LE(grantee.domid, LAYOUT.nf_hv_alloc.key);
  message.writeUInt32LE(1, LAYOUT.nf_hv_alloc.pages);
  const { body } = await forger.call(message);
  const gref = body.readUInt32LE(LAYOUT.nf_hv_alloc_reply.size);
  table[gref * 4] = 0;
  await t.throwsAsync(grantee.map(forger.domid, Uint32Array.of(gref), false), { code: 'EACCES' });
  table[gref * 4] = 1;
  await grantee.map(forger.domid, Uint32Array.of(gref), false);
});

test.serial("nobody maps another's grant, a revoked one, or half of a list", async (t) => {
  const { hv, front, back } = await pair(t);
  const other = await openDomain(t, hv, 'other');
  const mine = await front.alloc(arenaKey(0), 2, false);
  const denied = { code: 'EACCES' };
  await t.throwsAsync(other.map(front.domid, mine.grefs, false), denied);
  await t.throwsAsync(back.map(front.domid, Uint32Array.of(...mine.grefs, 4000), false), denied);
  await t.throwsAsync(back.map(77, mine.grefs, false), denied);
  t.is((await hv.client.listDomains())[0]?.mappings, 0);
  t.true(await mine.end());
  await t.throwsAsync(back.map(front.domid, mine.grefs, false), denied);
});

test.serial('a later domain of the same domid inherits no grant', async (t) => {
  const { hv, front, back } = await pair(t);
  const arena = await front.alloc(arenaKey(0), 1, false);
  await back.close();
  await eventually(async () => (await hv.client.listDomains())[0]?.state === 'dead');
  const again = await openDomain(t, hv, 'again', { domid: 0 });
  await t.throwsAsync(again.map(front.domid, arena.grefs, false), { code: 'EACCES' });
  t.true(await arena.end());
});

test.serial('quotas: pages, grant numbers, mappings, ports, connections', async (t) => {
  const { hv, front, back } = await pair(t);
  const out = { code: 'EDQUOT' };
  for (let i = 0; i < QUOTA.grefs / 2048 - 1; i++) await front.alloc(arenaKey(0), 2048, true);
  await t.throwsAsync(front.alloc(arenaKey(0), 2048, true), { code: 'ENOSPC' });
  const small = await back.alloc(arenaKey(front.domid), 1, false);
  const many = new Uint32Array(2048).fill(small.grefs[0] ?? 0);
  for (let i = 0; i < QUOTA.mappings / 2048; i++) await front.map(back.domid, many, false);
  await t.throwsAsync(front.map(back.domid, small.grefs, false), out, 'a guest');
  const ours = await front.alloc(arenaKey(0), 1, false);
  await t.notThrowsAsync(back.map(front.domid, ours.grefs, false), 'a driver domain has its own');
  for (let i = 0; i < QUOTA.ports; i++) await front.allocChan(0, 0, 0, 6);
  await t.throwsAsync(front.allocChan(0, 0, 0, 6), out);
  const clones: number[] = [];
  for (let i = 1; i < QUOTA.connections; i++) clones.push(await front.clone());
  await t.throwsAsync(front.clone(), out);
  clones.forEach((fd) => native.close(fd));
  await front.close();
  await back.close();
  await eventually(async () => (await hv.client.stats()).arenas === 0);
  const { pages, ports, quarantinedPages, donations } = await hv.client.stats();
  t.deepEqual(
    { pages, ports, quarantinedPages, donations },
    {
      ...{ pages: 0, ports: 0, quarantinedPages: 0, donations: 0 },
    },
  );
});

test.serial('channels: only the named peer binds, once, and hears the other end die', async (t) => {
  const { hv, front, back } = await pair(t);
  const other = await openDomain(t, hv, 'other');
  const ours = await front.allocChan(0, 0, 0, 6);
  await t.throwsAsync(other.bindChan(front.domid, ours.port), { code: 'EACCES' });
  await t.throwsAsync(back.bindChan(front.domid, 999), { code: 'EACCES' });
  const theirs = await back.bindChan(front.domid, ours.port);
  await t.throwsAsync(back.bindChan(front.domid, ours.port), { code: 'EBUSY' });
  let heard = 0;
  let gone = false;
  theirs.watch(
    (count) => (heard += count),
    () => (gone = true),
  );
  for (let i = 0; i < 1000; i++) ours.notify(); // pending: merged, never blocks
  await eventually(() => heard > 0);
  await front.close();
  await eventually(() => gone);
});

test.serial('an unbound port hears that its peer died', async (t) => {
  const { front, back } = await pair(t);
  const port = await front.allocChan(0, 0, 0, 6);
  let gone = false;
  port.watch(
    () => undefined,
    () => (gone = true),
  );
  await back.close();
  await t.notThrowsAsync(eventually(() => gone));
});
