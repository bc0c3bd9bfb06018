// SPDX-License-Identifier: MIT
import { spawn } from 'node:child_process';
import { once } from 'node:events';
import { chmodSync, existsSync, mkdirSync, mkdtempSync, readFileSync, rmSync } from 'node:fs';
import { statSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import test from 'ava';
import type { ExecutionContext } from 'ava';
import { NestfrontError } from '../../lib/errors.js';
import { checkConfig } from '../../lib/stack/config.js';
import { identify, isAlive, signal } from '../../lib/stack/processes.js';
import { Claim, findStack, gc, listStacks, runtimeDirectory } from '../../lib/stack/registry.js';

const config = (name: string): ReturnType<typeof checkConfig> =>
  checkConfig({ name, devices: [{ name: 'a', path: 'single' }] });

function scratch(t: ExecutionContext): string {
  const directory = mkdtempSync(join(tmpdir(), 'nf-registry-'));
  t.teardown(() => rmSync(directory, { recursive: true, force: true }));
  return directory;
}

/** Makes a claim look like one whose toolstack is dead. */
function orphan(claim: Claim): Promise<void> {
  claim.update({ owner: { pid: 1, start: 'before the flood' } });
  return claim.written();
}

test('a name is taken once, and free again after release', async (t) => {
  const runtime = scratch(t);
  const first = await Claim.take(config('one'), runtime);
  const error = await t.throwsAsync(Claim.take(config('one'), runtime), {
    instanceOf: NestfrontError,
  });
  t.is(error.code, 'NF_EEXIST');
  t.regex(error.message, new RegExp(`pid ${process.pid}.*nestfront down one`));
  t.deepEqual(
    listStacks(runtime).map((e) => [e.name, e.stale]),
    [['one', false]],
    'the loser leaves no draft',
  );
  await first.release();
  await first.release();
  const again = await Claim.take(config('one'), runtime);
  await again.release();
  t.deepEqual(listStacks(runtime), []);
});

test('of many claims of one name exactly one wins', async (t) => {
  const runtime = scratch(t);
  const all = await Promise.allSettled(
    Array.from({ length: 8 }, () => Claim.take(config('same'), runtime)),
  );
  t.is(all.filter((r) => r.status === 'fulfilled').length, 1);
});

test('gc ends what a dead toolstack left and only that', async (t) => {
  const runtime = scratch(t);
  const alive = await Claim.take(config('alive'), runtime);
  const dead = await Claim.take(config('dead'), runtime);
  const child = spawn('sleep', ['60'], { stdio: 'ignore' });
  const exited = once(child, 'exit');
  const id = identify(child.pid!)!;
  dead.update({
    processes: [
      { role: 'L2/front', ...id },
      { role: 'somebody else by now', pid: process.pid, start: '1' },
    ],
  });
  await orphan(dead);
  t.throws(() => findStack('dead', runtime), { message: /running: alive/ });
  const removed = await gc(runtime);
  await exited;
  t.false(isAlive(id));
  t.deepEqual(removed, [`process ${id.pid} (L2/front)`, `directory ${join(runtime, 'dead')}`]);
  t.deepEqual(await gc(runtime), [], 'nothing is left');
  t.is(findStack('alive', runtime).state?.owner.pid, process.pid);
  await alive.release();
});

test('a stale holder of a name is swept when the name is taken', async (t) => {
  const runtime = scratch(t);
  await orphan(await Claim.take(config('name'), runtime));
  const claim = await Claim.take(config('name'), runtime);
  t.is(claim.state.owner.pid, process.pid);
  await claim.release();
});

test('a damaged state.json counts as stale', async (t) => {
  const runtime = scratch(t);
  mkdirSync(join(runtime, 'broken'));
  writeFileSync(join(runtime, 'broken', 'state.json'), '{"version": 1');
  t.true(listStacks(runtime)[0]!.stale);
  await gc(runtime);
  t.false(existsSync(join(runtime, 'broken')));
});

test('a pid that was used again is another process', (t) => {
  const own = identify(process.pid)!;
  t.true(isAlive(own));
  t.false(isAlive({ ...own, start: String(Number(own.start) - 1) }));
  t.false(signal({ pid: process.pid, start: '0' }, 'SIGKILL'), 'or we would not be here');
});

test('the runtime directory is ours alone', (t) => {
  const base = scratch(t);
  const made = runtimeDirectory({ XDG_RUNTIME_DIR: base });
  t.is(made, join(base, 'nestfront'));
  t.is(statSync(made).mode & 0o777, 0o700);
  chmodSync(made, 0o755);
  const error = t.throws(() => runtimeDirectory({ XDG_RUNTIME_DIR: base }), {
    instanceOf: NestfrontError,
  });
  t.is(error.code, 'NF_EPERM');
});

test('state.json is whole at any moment', async (t) => {
  const runtime = scratch(t);
  const claim = await Claim.take(config('whole'), runtime);
  claim.update({ phase: 'closing' });
  claim.update({ phase: 'running' });
  await claim.written();
  const file = join(claim.directory, 'state.json');
  t.is((JSON.parse(readFileSync(file, 'utf8')) as { phase: string }).phase, 'running');
  t.is(statSync(file).mode & 0o777, 0o600);
  await claim.release();
});
