// SPDX-License-Identifier: MIT
// The commands that run stacks, as a user calls them.
import { spawn } from 'node:child_process';
import { once } from 'node:events';
import { mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import test from 'ava';
import { isolationRefused } from '../../../lib/stack/mounts.js';
import { packageRoot } from '../../../lib/stack/paths.js';
import * as e from '../helpers/stacks.js';

const isolated = isolationRefused() === undefined ? test.serial : test.serial.skip;
const cli = join(packageRoot(), 'dist/tools/cli.js');
const runtime = mkdtempSync(join(tmpdir(), 'nf-cli-e2e-'));
const env = { ...process.env, XDG_RUNTIME_DIR: runtime };
test.after.always(() => rmSync(runtime, { recursive: true, force: true }));

interface Answer {
  code: number | null;
  stdout: string;
  stderr: string;
}

function start(...args: string[]): { child: ReturnType<typeof spawn>; answer: Promise<Answer> } {
  const child = spawn(process.execPath, [cli, ...args], { env });
  const answer: Answer = { code: null, stdout: '', stderr: '' };
  child.stdout.setEncoding('utf8').on('data', (text: string) => (answer.stdout += text));
  child.stderr.setEncoding('utf8').on('data', (text: string) => (answer.stderr += text));
  return {
    child,
    answer: once(child, 'close').then(([code]) => ({ ...answer, code: code as number })),
  };
}

function nestfront(...args: string[]): Promise<Answer> {
  return start(...args).answer;
}

function config(name: string, more: object = {}): string {
  const file = join(runtime, `${name}.json`);
  const devices = e.genDevices(['single', 'translate']);
  writeFileSync(file, JSON.stringify({ name, isolation: 'on', devices, ...more }));
  return file;
}

type Listed = { frontState: string; backState: string; bytes?: number }[];

/** What `net list` or `disk list` says, as JSON under that key. */
async function listed(what: 'net' | 'disk', key: string): Promise<Listed> {
  const { stdout } = await nestfront(what, 'list', '--json');
  return (JSON.parse(stdout) as Record<string, Listed>)[key] ?? [];
}

isolated('up --detach, ls, net list, exec, counters, down', async (t) => {
  const name = `cli-${process.pid}`;
  const file = config(name, { disks: [{ name: 'd', path: 'single', disk: 'mem:1M' }] });
  const up = await nestfront('up', file, '--detach', '--json');
  t.is(up.code, 0, up.stderr);
  const { pid } = JSON.parse(up.stdout) as { pid: number };
  t.teardown(() => {
    try {
      process.kill(pid, 'SIGTERM');
    } catch {
      return; // down has ended it, as it should
    }
  });

  const again = await nestfront('up', file);
  t.is(again.code, 2);
  t.regex(again.stderr, new RegExp(`"${name}" is running .*nestfront down ${name}`));

  const tree = await nestfront('ls', '--tree');
  for (const part of [
    name,
    'H0  pid',
    'H1  pid',
    'L2  domid 1',
    'translate \\(translate\\): L2 -> L1',
  ])
    t.regex(tree.stdout, new RegExp(part));

  const devices = await listed('net', 'devices');
  t.is(devices.length, 3, 'single has one link, translate two');
  for (const device of devices)
    t.deepEqual([device.frontState, device.backState], ['Connected', 'Connected']);

  const disks = await listed('disk', 'disks');
  t.is(disks.length, 1, 'and a disk is no network device');
  const [d] = disks;
  t.deepEqual([d?.frontState, d?.backState, d?.bytes], ['Connected', 'Connected', 1 << 20]);

  const hostname = await nestfront('exec', 'L2', '--', 'hostname');
  t.deepEqual([hostname.code, hostname.stdout], [0, 'L2\n']);
  t.is((await nestfront('exec', `${name}/L2`, '--', 'sh', '-c', 'exit 5')).code, 5);
  const unknown = await nestfront('exec', 'L3', '--', 'true');
  t.is(unknown.code, 2);
  t.regex(unknown.stderr, new RegExp(`${name}/L2`));

  for (const domain of ['L0', 'L1', 'L2']) {
    const { stdout } = await nestfront('counters', domain, '--json');
    const { blocks } = JSON.parse(stdout) as { blocks: { block: { state: string } }[] };
    t.true(blocks.length > 0, domain);
    t.true(blocks.every((b) => b.block.state === 'Connected'));
  }

  const down = await nestfront('down', name);
  t.deepEqual([down.code, down.stderr], [0, '']);
  t.deepEqual(e.processesWith(`${name}/`), []);
  t.regex((await nestfront('ls')).stdout, /no stack is running/);
  t.deepEqual(JSON.parse((await nestfront('gc', '--json')).stdout), { removed: [] });
});

for (const [signal, when] of [
  ['SIGINT', 'while it runs'],
  ['SIGTERM', 'while it runs'],
  ['SIGINT', 'while it comes up'],
] as const)
  isolated(`${signal} ${when} takes everything down and exits 130`, async (t) => {
    const name = `cli-${signal.toLowerCase()}-${when.length}-${process.pid}`;
    const { child, answer } = start('up', config(name));
    t.teardown(async () => {
      child.kill('SIGTERM');
      await answer;
    });
    if (when === 'while it runs') await once(child.stdout!, 'data');
    else await e.eventually(t, () => e.processesWith(`${name}/`).length > 0, 'a first process');
    child.kill(signal);
    const { code, stdout } = await answer;
    t.is(code, 130);
    if (when === 'while it runs') t.regex(stdout, /is up/);
    t.deepEqual(e.processesWith(`${name}/`), []);
    t.deepEqual(JSON.parse((await nestfront('gc', '--json')).stdout), { removed: [] });
  });

isolated('a stack that cannot come up says why and leaves nothing', async (t) => {
  const name = `cli-bad-${process.pid}`;
  for (const args of [[], ['--detach']]) {
    const { code, stderr } = await nestfront(
      'up',
      config(name, { cpus: { front: 1023 } }),
      ...args,
    );
    t.not(code, 0);
    t.regex(stderr, /L2\/front|guest\/front/);
    t.deepEqual(e.processesWith(`${name}/`), []);
  }
  t.deepEqual(JSON.parse((await nestfront('gc', '--json')).stdout), { removed: [] });
});
