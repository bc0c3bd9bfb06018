// SPDX-License-Identifier: MIT
// What nestfrontd makes of the disks that xl writes into the store of a real Xen: it offers those
// whose script is block-nestfront, waits for that script, and leaves the others to the kernel.
import { spawn } from 'node:child_process';
import { once } from 'node:events';
import { mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import test from 'ava';
import type { ExecutionContext } from 'ava';
import { until } from '../../lib/api/until.js';
import { native } from '../../lib/native.cjs';
import { executable } from '../../lib/stack/paths.js';
import { StoreClient } from '../../lib/store/client.js';
import { xenDir } from './helpers/xendir.js';

const DOMID = 7;
const GUEST = 3;
const BACKS = `/local/domain/${DOMID}/backend/vbd/${GUEST}`;
const FRONTS = `/local/domain/${GUEST}/device/vbd`;

interface Town {
  readonly root: StoreClient;
  readonly folder: string;
  /** Once the daemon has said so; ava's own limit ends a wait in vain. */
  readonly heard: (what: RegExp) => Promise<void>;
}

/** A daemon in a folder that looks like Xen's, and a toolstack's view of its store. */
async function town(t: ExecutionContext): Promise<Town | undefined> {
  const dir = await xenDir(t, DOMID);
  if (dir === undefined) {
    t.pass('no python3 here: no pseudo-terminal to stand for xenbus');
    return undefined;
  }
  const [ours, theirs] = native.streamPair();
  dir.server.attach(ours, 0, true);
  const root = new StoreClient(theirs);
  t.teardown(() => root.close());
  const folder = mkdtempSync(join(tmpdir(), 'nf-xendisk-'));
  t.teardown(() => rmSync(folder, { recursive: true, force: true }));
  const args = ['--layer', `xen:${dir.path}`, '--run-dir', join(folder, 'run'), '--name', 'back'];
  const daemon = spawn(executable('nestfrontd'), args, { stdio: ['ignore', 'pipe', 'pipe'] });
  const closed = once(daemon, 'close');
  t.teardown(async () => {
    daemon.kill('SIGKILL');
    await closed;
  });
  let said = '';
  daemon.stderr.on('data', (text: Buffer) => (said += String(text)));
  await once(daemon.stdout, 'data'); // ready
  const heard = async (what: RegExp): Promise<void> => {
    while (!what.test(said)) await once(daemon.stderr, 'data');
  };
  return { root, folder, heard };
}

/** A disk as libxl writes it (4.17, backendtype phy). */
async function attach(
  root: StoreClient,
  devid: number,
  keys: Readonly<Record<string, string>>,
): Promise<string> {
  const [front, back] = [`${FRONTS}/${devid}`, `${BACKS}/${devid}`];
  const nodes = {
    [`${front}/backend`]: back,
    [`${front}/backend-id`]: String(DOMID),
    [`${front}/virtual-device`]: String(devid),
    [`${front}/device-type`]: 'disk',
    [`${front}/state`]: '1',
  };
  for (const [path, value] of Object.entries(nodes)) await root.write(path, value);
  const all = {
    script: '/etc/xen/scripts/block-nestfront',
    'frontend-id': String(GUEST),
    online: '1',
    removable: '0',
    bootable: '1',
    dev: 'xvda',
    type: 'phy',
    mode: 'w',
    'device-type': 'disk',
    'discard-enable': '1',
    frontend: front,
    ...keys,
  };
  await root.transaction(async (tx) => {
    for (const [key, value] of Object.entries(all)) await tx.write(`${back}/${key}`, value);
    await tx.write(`${back}/state`, '1');
  });
  return back;
}

const read = (root: StoreClient, path: string): Promise<string | undefined> =>
  root.read(path).then(
    (value) => value,
    () => undefined,
  );

/** Waits until a node says so. */
async function says(root: StoreClient, path: string, what: RegExp): Promise<string> {
  const look = async (): Promise<string | undefined> => {
    const value = await read(root, path);
    return value !== undefined && what.test(value) ? value : undefined;
  };
  return until(root, [path], look, 'test', { what: `${path} is ${what}`, timeoutMs: 50_000 });
}

test.serial('disks with our script are offered as their lines say; others are left', async (t) => {
  const it = await town(t);
  if (!it) return;
  const { root, folder } = it;
  const image = join(folder, 'image');
  writeFileSync(image, Buffer.alloc(1 << 20));
  const other = await attach(root, 51712, {
    script: '/etc/xen/scripts/block',
    params: image,
    'physical-device': '7:0',
  });
  const first = await attach(root, 51728, { params: image });
  await says(root, `${first}/state`, /^2$/);
  t.is(await read(root, `${first}/sectors`), '2048');
  t.is(await read(root, `${first}/info`), '0');

  // the front is there before the script has run; the next disk's offer is made after that was seen
  const front = `${FRONTS}/51728`;
  for (const [key, value] of Object.entries({ 'ring-ref': '9', 'event-channel': '5', state: '3' }))
    await root.write(`${front}/${key}`, value);
  const readOnly = await attach(root, 51744, {
    params: 'mem:1M',
    mode: 'r',
  });
  await says(root, `${readOnly}/state`, /^2$/);
  t.is(await read(root, `${readOnly}/info`), '4', 'read-only');
  t.is(await read(root, `${readOnly}/feature-discard`), '1');
  const kept = await attach(root, 51760, { params: 'mem:1M', 'discard-enable': '0' });
  await says(root, `${kept}/state`, /^2$/);
  t.is(await read(root, `${kept}/feature-discard`), undefined, 'xl may say no');
  t.is(await read(root, `${first}/state`), '2', 'it waits for its script');
  t.is(await read(root, `${first}/error`), undefined);
  t.is(await read(root, `${other}/state`), '1', 'a disk with another script is not ours');

  // no gntdev here: that it tries is what can be seen
  await root.write(`${first}/hotplug-status`, 'connected');
  t.regex(await says(root, `${first}/error`, /./), /mapping rings/);
});

test.serial('a target that cannot be served is told; one that comes later is found', async (t) => {
  const it = await town(t);
  if (!it) return;
  const { root, folder, heard } = it;
  const image = join(folder, 'late');
  const back = await attach(root, 51712, { params: image });
  await attach(root, 51728, { params: '' });
  const third = await attach(root, 51744, { params: 'mem:64K' });
  await says(root, `${third}/state`, /^2$/);
  await heard(/backend\/vbd\/3\/51728: params is empty/);
  await heard(/backend\/vbd\/3\/51712: disk .*late: .*No such file/);
  writeFileSync(image, Buffer.alloc(8192));
  await root.write(`${back}/online`, '1'); // anything written there makes it look again
  await says(root, `${back}/state`, /^2$/);
  t.is(await read(root, `${back}/sectors`), '16');
});
