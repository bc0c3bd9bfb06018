// SPDX-License-Identifier: MIT
// HOSTILE.md 20 for the hypervisor's sockets: whatever one domain sends or leaves unread, the
// others are served and nothing stays behind.
import { openSync } from 'node:fs';
import test, { type ExecutionContext } from 'ava';
import { HV, HV_MESSAGE_MAX, LAYOUT } from '../../lib/hypervisor/protocol.js';
import { native } from '../../lib/native.cjs';
import {
  eventually,
  openDomain,
  RawDomain,
  startHypervisor,
  type TestHypervisor,
} from './helpers/hypervisor.js';

/** Another domain still gets its answers, and the hypervisor its descriptors back. */
async function othersGoOn(t: ExecutionContext, hv: TestHypervisor): Promise<void> {
  const { domid } = await hv.client.createDomain({ name: `probe${Math.random()}`.slice(0, 20) });
  const layer = await native.openLayer(await hv.client.connectDomain(domid));
  const arena = await layer.alloc(
    { peer: 1, device: 0, queue: 0, purpose: 1, readonly: false },
    1,
    false,
  );
  t.true(await arena.end());
  await layer.close();
}

test.serial('what is no message ends the connection', async (t) => {
  const hv = await startHypervisor(t);
  await openDomain(t, hv, 'stays');
  const h = LAYOUT.nf_hv_header;
  const bad: ((raw: RawDomain) => Buffer)[] = [
    () => Buffer.from('x'),
    () => Buffer.alloc(h.size),
    (raw) => raw.message(HV.CLONE, h.size).fill(0xff, h.flags, h.flags + 2),
    (raw) => raw.message(HV.CLONE, h.size).subarray(0, h.size - 1),
  ];
  for (const [i, make] of bad.entries()) {
    const raw = await RawDomain.open(t, hv, `bad${i}`);
    await t.throwsAsync(raw.call(make(raw)), { message: /hung up/ }, `case ${i}`);
  }
  await othersGoOn(t, hv);
  t.regex(hv.log.join(''), /connection closed: it sent what is no message/);
});

test.serial('a good header before nonsense is answered with an error', async (t) => {
  const hv = await startHypervisor(t);
  await openDomain(t, hv, 'stays');
  const raw = await RawDomain.open(t, hv, 'raw');
  for (const type of Object.values(HV)) {
    for (const bytes of [16, 17, 24, 47, 64, 9000]) {
      for (const fill of [0, 0xff]) {
        const message = raw.message(type, bytes).fill(fill, 16);
        const { status } = await raw.call(message);
        // the two that need no more than a header may succeed
        const fine = bytes === 16 && (type === HV.CLONE || type === HV.STORE);
        t.true(fine ? status === 0 : status < 0, `type ${type}, ${bytes} bytes: ${status}`);
      }
    }
  }
  for (const type of [0, 14, 0xffff]) t.is((await raw.call(raw.message(type, 16))).status, -38);
  t.true((await raw.call(raw.message(HV.CLONE, HV_MESSAGE_MAX))).status < 0);
  await othersGoOn(t, hv);
});

test.serial('nothing is answered before HELLO, and another version is told ours', async (t) => {
  const hv = await startHypervisor(t);
  await hv.client.createDomain({ name: 'mute' });
  const raw = new RawDomain(t, await hv.client.connectDomain(1), 1);
  t.is((await raw.call(raw.message(HV.CLONE, 16))).status, -71);
  const hello = raw.message(HV.HELLO, LAYOUT.nf_hv_hello.size);
  hello.writeUInt32LE(99, LAYOUT.nf_hv_hello.version);
  const { status, body, fds } = await raw.call(hello);
  t.is(status, -93);
  t.is(body.readUInt32LE(LAYOUT.nf_hv_hello_reply.version), 1);
  t.is(fds.length, 0);
  t.is((await raw.call(raw.message(HV.CLONE, 16))).status, -71);
});

test.serial('stray descriptors are closed', async (t) => {
  const hv = await startHypervisor(t);
  await openDomain(t, hv, 'stays', { domid: 0 });
  const raw = await RawDomain.open(t, hv, 'raw');
  const before = (await hv.client.stats()).fds;
  const fds = Array.from({ length: 100 }, () => openSync('/dev/null', 'r'));
  t.teardown(() => fds.forEach((fd) => native.close(fd)));
  for (const type of [HV.CLONE, HV.DONATE, HV.CHAN_DONATE, HV.MAP]) {
    for (const bytes of [16, LAYOUT.nf_hv_donate.size, LAYOUT.nf_hv_chan.size]) {
      t.true((await raw.call(raw.message(type, bytes), fds)).status < 0);
    }
  }
  t.is((await hv.client.stats()).fds, before);
  t.true(raw.socket.send(Buffer.from('no message at all'), fds));
  await eventually(() => raw.closed);
  await eventually(async () => (await hv.client.stats()).fds < before);
});

test.serial('who does not read its replies loses the connection', async (t) => {
  const hv = await startHypervisor(t);
  await openDomain(t, hv, 'stays');
  const raw = await RawDomain.open(t, hv, 'raw');
  raw.socket.pause();
  for (let i = 0; i < 200; i++) {
    try {
      if (!raw.socket.send(raw.message(HV.STORE, 16))) break;
    } catch {
      break; // it hung up
    }
  }
  await eventually(() => /does not read its replies/.test(hv.log.join('')));
  await othersGoOn(t, hv);
  await eventually(async () => (await hv.client.stats()).storeConnections === 0);
});

test.serial('a flood of requests slows its sender only', async (t) => {
  const hv = await startHypervisor(t);
  await openDomain(t, hv, 'stays');
  const raw = await RawDomain.open(t, hv, 'raw');
  let flooding = true;
  const flood = (async () => {
    let count = 0;
    for (; flooding; count++) await raw.call(raw.message(99, 16));
    return count;
  })();
  for (let i = 0; i < 20; i++) await othersGoOn(t, hv);
  flooding = false;
  t.true((await flood) > 0);
  t.true(hv.log.join('').split('\n').length < 20 * 60, 'the log is limited');
});

test.serial('a domain that dies with everything open leaves nothing', async (t) => {
  const hv = await startHypervisor(t);
  const back = await openDomain(t, hv, 'back', { domid: 0 });
  const baseline = await hv.client.stats();
  for (let i = 0; i < 20; i++) {
    const { domid } = await hv.client.createDomain({ name: 'short-lived' });
    const layer = await native.openLayer(await hv.client.connectDomain(domid));
    const readonly = i % 2 === 0;
    const key = { peer: 0, device: i, queue: 0, purpose: 4, readonly };
    const arena = await layer.alloc(key, 16, false);
    const channel = await layer.allocChan(0, i, 0, 6);
    const bound = await back.bindChan(domid, channel.port);
    const mapping = await back.map(domid, arena.grefs, readonly);
    const copies = await back.copy([
      { peer: domid, gref: arena.grefs[0] ?? 0, offset: 0, bytes: 8 },
    ]);
    t.is(copies[0]?.status, 0);
    native.close(await layer.storeFd());
    await layer.close();
    await mapping.unmap();
    await bound.close();
    await hv.client.destroyDomain(domid);
  }
  await back.copy([{ peer: 1, gref: 8, offset: 0, bytes: 8 }]); // lets go of what it cached
  const after = await hv.client.stats();
  t.is(after.arenas, 0);
  t.is(after.ports, 0);
  t.is(after.quarantinedArenas, 0);
  t.is(after.storeNodes, baseline.storeNodes);
  t.true(after.fds <= baseline.fds + 2, `${after.fds} descriptors, ${baseline.fds} at first`);
});
