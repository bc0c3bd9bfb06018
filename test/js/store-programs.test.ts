// SPDX-License-Identifier: MIT
// Debian's xenstore-* programs against our store, unchanged, with the flags they have.
import { spawn, spawnSync } from 'node:child_process';
import { once } from 'node:events';
import { join } from 'node:path';
import test, { type ExecutionContext } from 'ava';
import { StoreClient } from '../../lib/store/client.js';
import { eventually, startHypervisor } from './helpers/hypervisor.js';

const there = spawnSync('xenstore-ls', ['-h']).error === undefined;
const unless = there ? test : test.skip;
const why = there ? '' : ' (needs xenstore-utils)';

interface Ran {
  status: number | null;
  out: string;
  err: string;
}

/** A hypervisor with domains 1 and 2 and a way to run programs at its store. */
async function store(t: ExecutionContext): Promise<{
  run: (program: string, ...args: string[]) => Ran;
  env: NodeJS.ProcessEnv;
  path: string;
}> {
  const hv = await startHypervisor(t);
  for (const name of ['one', 'two']) await hv.client.createDomain({ name });
  const path = join(hv.dir, 'store.sock');
  const env = { ...process.env, XENSTORED_PATH: path };
  const run = (program: string, ...args: string[]): Ran => {
    const ran = spawnSync(`xenstore-${program}`, args, { env, timeout: 30_000 });
    return { status: ran.status, out: String(ran.stdout), err: String(ran.stderr) };
  };
  return { run, env, path };
}

unless(`xenstore-write and -read: -s, -R, -p, binary values${why}`, async (t) => {
  const { run } = await store(t);
  t.is(run('write', '/a/b', 'one', '/a/c', 'two').status, 0);
  t.is(run('read', '/a/b', '/a/c').out, 'one\ntwo\n');
  t.is(run('read', '-p', '/a/b').out, '/a/b: one\n');
  t.is(run('write', '-s', '/a/b', String.raw`x\x00y\n`).status, 0);
  t.is(run('read', '-s', '/a/b').out, `${String.raw`x\000y\n`}\n`);
  t.is(run('read', '-R', '/a/b').out, 'x\0y\n');
  t.is(run('write', '-R', '/a/b', String.raw`x\x00`).status, 0);
  t.is(run('read', '-R', '/a/b').out, String.raw`x\x00`);
  const failed = run('read', '/none');
  t.is(failed.status, 1);
  t.regex(failed.err, /couldn't read path \/none/);
});

unless(`xenstore-ls and -list: -f, -p, -s, order, permissions, domains${why}`, async (t) => {
  const { run } = await store(t);
  run('write', '/x/z', '1', '/x/a/deep', '2');
  run('chmod', '/x/z', 'n1', 'r2');
  t.is(run('ls', '/x').out, 'z = "1"\na = ""\n deep = "2"\n');
  t.is(run('ls', '-f', '/x').out, '/x/z = "1"\n/x/a = ""\n/x/a/deep = "2"\n');
  t.is(run('ls', '-f', '-p', '-s', '/x').out.split('\n')[0], '/x/z = "1"   (n1,r2)');
  t.is(run('list', '/x').out, 'z\na\n');
  t.is(run('list', '-p', '-s', '/x').out, '/x/z\n/x/a\n');
  t.regex(run('ls', '-fp').out, /^\/local\/domain\/1\/name = "one" .*\(n0,r1\)$/m);
  t.is(run('ls', '/none').status, 1);
});

unless(`xenstore-ls and -list read a directory that has no room in one reply${why}`, async (t) => {
  const { run, path } = await store(t);
  const client = await StoreClient.connect(path);
  t.teardown(() => client.close());
  const names = Array.from({ length: 600 }, (_, i) => `a-rather-long-name-${i}`);
  for (const name of names) await client.write(`/big/${name}`, '');
  t.deepEqual(run('list', '/big').out.trim().split('\n'), names);
  t.is(run('ls', '-f', '/big').out.trim().split('\n').length, names.length);
});

unless(`xenstore-exists, -rm: -p, -s, -t${why}`, async (t) => {
  const { run } = await store(t);
  run('write', '/a/b/c', '1', '/a/x', '2');
  t.is(run('exists', '/a/b').status, 0);
  t.is(run('exists', '-p', '-s', '/a/b', '/a/none').status, 1);
  t.is(run('rm', '-t', '/a/b/c').status, 0); // with parents that are empty then
  t.is(run('exists', '/a/b').status, 1);
  t.is(run('exists', '/a').status, 0);
  t.is(run('rm', '-s', '/a').status, 0);
  t.is(run('exists', '/a').status, 1);
  t.is(run('rm', '/none/at/all').status, 1);
});

unless(`xenstore-chmod: -r, -u, -s, refused lists${why}`, async (t) => {
  const { run } = await store(t);
  const perms = (path: string): string =>
    run('ls', '-fp', '/')
      .out.split('\n')
      .find((l) => l.startsWith(`${path} = `)) ?? '';
  run('write', '/a/b/c', '1');
  t.is(run('chmod', '-s', '/a/b', 'b1').status, 0);
  t.true(perms('/a/b').endsWith('(b1)'));
  t.true(perms('/a/b/c').endsWith('(n0)'));
  t.is(run('chmod', '-r', '/a', 'n2', 'r1').status, 0);
  t.true(perms('/a/b/c').endsWith('(n2,r1)'));
  t.is(run('chmod', '-u', '/a/b/c', 'n0', 'w2').status, 0);
  for (const path of ['/a', '/a/b', '/a/b/c']) t.true(perms(path).endsWith('(n0,w2)'), path);
  t.is(run('chmod', '/a', 'n77').status, 1); // an owner that is not there
  t.is(run('chmod', '/a', 'x1').status, 1);
});

unless(`xenstore-watch: -n, below the path, a path that is not there yet${why}`, async (t) => {
  const { run, env } = await store(t);
  const child = spawn('xenstore-watch', ['-n', '3', '/w'], {
    env,
    stdio: ['ignore', 'pipe', 'pipe'],
  });
  t.teardown(() => child.kill('SIGKILL'));
  let out = '';
  child.stdout.setEncoding('utf8').on('data', (text: string) => (out += text));
  await eventually(() => out === '/w\n', 30_000);
  run('write', '/w/deep/er', '1');
  await eventually(() => out === '/w\n/w/deep/er\n', 30_000);
  run('rm', '/w');
  const [status] = (await once(child, 'close')) as [number | null]; // after its last output
  t.is(status, 0);
  t.is(out, '/w\n/w/deep/er\n/w\n');
});
