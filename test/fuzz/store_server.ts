// SPDX-License-Identifier: MIT
// A domain that says anything to its store: HOSTILE.md groups 12 and 20. What belongs to another
// domain stays as it is, the server answers everybody else, and a quota ends every growth.
import { Socket } from 'node:net';
import { encodeMessage, strings, XS, XS_PAYLOAD_MAX } from '../../lib/store/wire.js';
import { StoreClient } from '../../lib/store/client.js';
import { native } from '../../lib/native.cjs';
import { startHypervisor } from '../js/helpers/hypervisor.js';
import { expect, fuzz, type Source } from './lib/mutate.js';

const TYPES: readonly number[] = Object.values(XS);
const BURST = 300;

function path(source: Source): string {
  const own = ['', 'data', 'data/a', 'data/a/b', 'device', 'device/vif/0/state', '..', '.', '/'];
  const others = ['/local/domain/1/device', '/local/domain/0', '/tool', '@releaseDomain', '/'];
  const base = source.pick(source.below(3) === 0 ? others : own);
  if (source.below(20) === 0) return `${base}/${'x'.repeat(source.below(3100))}`;
  return source.below(4) === 0 ? `${base}/n${source.below(2000)}` : base;
}

function payload(source: Source): Buffer {
  const kind = source.below(12);
  if (kind === 0) return Buffer.alloc(source.below(XS_PAYLOAD_MAX), source.below(256));
  if (kind === 1) return strings(path(source), `r${source.below(4)}`, `w${source.word() & 0xffff}`);
  if (kind === 2) return strings(String(source.word()));
  if (kind === 3) return strings(source.pick(['T', 'F', '']), '');
  if (kind < 7) return strings(path(source), `token${source.below(300)}`);
  const value = Buffer.alloc(source.below(200), source.below(256));
  return Buffer.concat([strings(path(source)), value]);
}

/** Bytes of one burst, with headers that lie now and then. */
function burst(source: Source): Buffer {
  const parts: Buffer[] = [];
  for (let i = 0; i < BURST; i++) {
    const type = source.below(30) === 0 ? source.word() : source.pick(TYPES);
    const tx = source.below(3) === 0 ? source.below(6) : 0;
    const m = encodeMessage(type, i, tx, payload(source));
    if (source.below(2000) === 0) m.writeUInt32LE(source.word(), 4 * source.below(4));
    parts.push(m);
  }
  return Buffer.concat(parts);
}

/** Sends it and takes what comes, until the server is quiet or hangs up. */
async function speak(fd: number, bytes: Buffer): Promise<void> {
  const socket = new Socket({ fd });
  let last = performance.now();
  let isOver = false;
  socket.on('data', () => (last = performance.now()));
  socket.on('close', () => (isOver = true));
  socket.on('error', () => (isOver = true));
  socket.write(bytes);
  while (!isOver && performance.now() - last < 30) await new Promise((r) => setTimeout(r, 5));
  socket.destroy();
}

await fuzz(async (frame, source) => {
  const hv = await startHypervisor(frame as never);
  const { domid: good } = await hv.client.createDomain({ name: 'good' });
  const { domid: bad } = await hv.client.createDomain({ name: 'bad' });
  const admin = new StoreClient(await hv.client.store());
  frame.teardown(() => admin.close());
  const home = `/local/domain/${good}/data`;
  await admin.write(`${home}/secret`, 'kept');
  await admin.setPerms(`${home}/secret`, [{ domid: good, access: 'n' }]);
  const layer = await native.openLayer(await hv.client.connectDomain(bad));
  frame.teardown(() => layer.close());
  return async () => {
    await speak(await layer.storeFd(), burst(source));
    expect(hv.process.exitCode === null, `the hypervisor ended: ${hv.log.join('')}`);
    expect((await admin.read(`${home}/secret`)) === 'kept', 'a node of another domain changed');
    await admin.write(`${home}/alive`, String(source.u32()));
    return BURST;
  };
});
