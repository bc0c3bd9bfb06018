// SPDX-License-Identifier: MIT
// attach() to real Xen, against a folder that looks like a guest's /dev/xen with a store behind it.
import { spawn } from 'node:child_process';
import { once } from 'node:events';
import { readdirSync, readlinkSync, unlinkSync } from 'node:fs';
import { join } from 'node:path';
import test from 'ava';
import type { ExecutionContext } from 'ava';
import { attach, Counters, NestfrontError } from '../../lib/index.js';
import { StoreClient } from '../../lib/store/client.js';
import { native } from '../../lib/native.cjs';
import { executable, packageRoot } from '../../lib/stack/paths.js';
import { xenDir } from './helpers/xendir.js';
import type { XenDir } from './helpers/xendir.js';

const DOMID = 7;

async function folder(t: ExecutionContext): Promise<XenDir | undefined> {
  const dir = await xenDir(t, DOMID);
  if (dir === undefined) t.pass('no python3 here: no pseudo-terminal to stand for xenbus');
  return dir;
}

/** Descriptors of this process that are open on something of the folder or of a terminal. */
const openHere = (): string[] =>
  readdirSync('/proc/self/fd').flatMap((fd) => {
    try {
      const to = readlinkSync(`/proc/self/fd/${fd}`);
      return to.includes('nf-xendir') || to.startsWith('/dev/pts/') ? [to] : [];
    } catch {
      return []; // the folder's own
    }
  });

test.serial('a guest finds its domid and its store, and leaves nothing open', async (t) => {
  const dir = await folder(t);
  if (!dir) return;
  const before = openHere();
  const domain = await attach({ layer: 'xen', directory: dir.path });
  t.is(domain.domid, DOMID);
  const store = await domain.store();
  t.is(await domain.store(), store, 'one a domain');
  t.is(await store.read('domid'), String(DOMID));
  await store.write('data/greeting', 'hello');
  t.deepEqual(await store.directory('data'), ['greeting']);
  await domain.close();
  await domain.close();
  await t.throwsAsync(store.read('domid'), { instanceOf: NestfrontError, code: 'NF_ECONNRESET' });
  await t.throwsAsync(domain.store(), { code: 'NF_ENODEV' });
  t.deepEqual(openHere(), before);
});

test.serial('requests overlap, watches and transactions work through a device', async (t) => {
  const dir = await folder(t);
  if (!dir) return;
  await using store = await StoreClient.connect(`${dir.path}/xenbus`);
  const many = Array.from({ length: 40 }, (_none, i) =>
    store.write(`data/${i}`, `${i}`.repeat(50)),
  );
  await Promise.all(many);
  t.is((await store.directory('data')).length, 40);
  t.is(await store.read('data/39'), '39'.repeat(50));
  const events = store.watch('data/0');
  t.is((await events.next()).value, 'data/0', 'the first comes at once');
  await store.transaction(async (tx) => {
    await tx.write('data/0', 'a');
    await tx.write('data/1', 'b');
  });
  t.is((await events.next()).value, 'data/0');
  await events.return();
  const big = 'x'.repeat(4000);
  await store.write('data/big', big);
  t.is(await store.read('data/big'), big);
  await t.throwsAsync(store.read('data/none'), { code: 'NF_ENOENT' });
});

test.serial('a store that goes fails what waits; one that is silent keeps nobody', async (t) => {
  const dir = await folder(t);
  if (!dir) return;
  const store = await StoreClient.connect(`${dir.path}/xenbus`);
  t.is(await store.read('domid'), String(DOMID));
  const abort = new AbortController();
  const events = store.watch('data/never');
  await events.next();
  const waiting = events.next();
  abort.abort();
  await t.throwsAsync(store.read('domid', { signal: abort.signal }), { code: 'NF_EABORTED' });
  await store.close();
  await t.throwsAsync(waiting, { code: 'NF_ECONNRESET' });
  await t.throwsAsync(store.read('domid'), { code: 'NF_ECONNRESET' });
});

test.serial('drivers start in that domain, count, and stop', async (t) => {
  const dir = await folder(t);
  if (!dir) return;
  const lines: string[] = [];
  const domain = await attach({ layer: 'xen', directory: dir.path });
  const drivers = await domain.startDrivers({ log: (line) => lines.push(line) });
  t.true(drivers.pid > 0);
  t.true(drivers.counters instanceof Counters);
  t.deepEqual(drivers.counters.blocks(), [], 'no device, no block');
  await domain.close();
  t.throws(() => process.kill(drivers.pid, 0), { code: 'ESRCH' });
  t.true(
    lines.some((line) => line.includes('asked to stop')),
    lines.join('\n'),
  );
});

/** A vif of that domain, as a toolstack writes it; frames of it go nowhere. */
async function writeVif(t: ExecutionContext, dir: XenDir): Promise<void> {
  const [ours, theirs] = native.streamPair();
  dir.server.attach(ours, 0, true);
  const root = new StoreClient(theirs);
  t.teardown(() => root.close());
  const front = `/local/domain/${DOMID}/device/vif/0`;
  const back = `/local/domain/0/backend/vif/${DOMID}/0`;
  const nodes = {
    [`${back}/frontend`]: front,
    [`${back}/frontend-id`]: String(DOMID),
    [`${back}/state`]: '1',
    [`${front}/backend`]: back,
    [`${front}/backend-id`]: '0',
    [`${front}/handle`]: '0',
    [`${front}/mac`]: '00:16:3e:00:00:01',
    [`${front}/nestfront/port`]: 'null',
    [`${front}/state`]: '1',
  };
  for (const [path, value] of Object.entries(nodes)) await root.write(path, value);
}

function run(program: string, ...args: string[]): Promise<{ code: number | null; out: string }> {
  return new Promise((resolve) => {
    const child = spawn(program, args, { stdio: ['ignore', 'pipe', 'pipe'] });
    let out = '';
    child.stdout.on('data', (text: Buffer) => (out += String(text)));
    child.stderr.on('data', (text: Buffer) => (out += String(text)));
    child.on('close', (code) => resolve({ code, out }));
  });
}

test.serial('nestfront counters reads what a daemon keeps in its run directory', async (t) => {
  const dir = await folder(t);
  if (!dir) return;
  await writeVif(t, dir);
  const base = join(dir.path, 'run');
  const args = ['--layer', `xen:${dir.path}`, '--run-dir', base, '--name', 'front'];
  const daemon = spawn(executable('nestfrontd'), args, { stdio: ['ignore', 'pipe', 'pipe'] });
  const exited = once(daemon, 'close');
  t.teardown(async () => {
    daemon.kill('SIGKILL');
    await exited;
  });
  const page = join(base, 'front');
  const cli = [join(packageRoot(), 'dist/tools/cli.js'), 'counters', page];
  await once(daemon.stdout, 'data'); // ready
  const { code, out } = await run(process.execPath, ...cli, '--json');
  t.is(code, 0);
  t.deepEqual(JSON.parse(out), { file: page, blocks: [] }, 'no back, no queue');
  const wrong = await run(process.execPath, ...cli.slice(0, 2), join(base, 'back'));
  t.is(wrong.code, 2);
  t.regex(wrong.out, /does a nestfrontd/);
});

test('what is missing is told with what to do', async (t) => {
  const nowhere = await t.throwsAsync(attach({ layer: 'xen', directory: '/nowhere' }), {
    instanceOf: NestfrontError,
    code: 'NF_ENODEV',
  });
  t.regex(nowhere.message, /modprobe/);
  t.throws(() => attach({ layer: 'embedded' as 'xen' }), { instanceOf: TypeError });
});

test('drivers that cannot start say why in the error', async (t) => {
  const dir = await folder(t);
  if (!dir) return;
  const domain = await attach({ layer: 'xen', directory: dir.path });
  t.teardown(() => domain.close());
  unlinkSync(`${dir.path}/evtchn`);
  const error = await t.throwsAsync(domain.startDrivers(), { code: 'NF_ENODEV' });
  t.regex(error.message, /modprobe xen-evtchn/);
});

test('a watch of a descriptor refuses what it cannot watch', (t) => {
  t.throws(() => new native.FdWatch(-1, () => undefined), { instanceOf: RangeError });
  t.throws(() => new native.FdWatch(1_000_000, () => undefined));
  t.throws(() => new native.FdWatch(0, undefined as never), { instanceOf: TypeError });
});
