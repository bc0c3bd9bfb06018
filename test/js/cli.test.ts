// SPDX-License-Identifier: MIT
import { spawn } from 'node:child_process';
import { mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import test from 'ava';
import { packageRoot } from '../../lib/stack/paths.js';

const cli = join(packageRoot(), 'dist/tools/cli.js');
const runtime = mkdtempSync(join(tmpdir(), 'nf-cli-'));
test.after.always(() => rmSync(runtime, { recursive: true, force: true }));

interface Answer {
  code: number | null;
  stdout: string;
  stderr: string;
}

function nestfront(...args: string[]): Promise<Answer> {
  return new Promise((resolve) => {
    const env = { ...process.env, XDG_RUNTIME_DIR: runtime };
    const child = spawn(process.execPath, [cli, ...args], { env });
    const answer: Answer = { code: null, stdout: '', stderr: '' };
    child.stdout.setEncoding('utf8').on('data', (text: string) => (answer.stdout += text));
    child.stderr.setEncoding('utf8').on('data', (text: string) => (answer.stderr += text));
    child.on('close', (code) => resolve({ ...answer, code }));
  });
}

const COMMANDS = ['up', 'down', 'ls', 'exec', 'plan', 'net', 'counters', 'gc', 'doctor'];

test('--help names every command', async (t) => {
  const { code, stdout } = await nestfront('--help');
  t.is(code, 0);
  for (const name of [...COMMANDS, 'start', 'bench'])
    t.regex(stdout, new RegExp(`^  ${name}\\b`, 'm'));
});

for (const name of COMMANDS)
  test(`${name}: has --help and --json, refuses unknown flags by name`, async (t) => {
    const words = name === 'net' ? ['net', 'list'] : [name];
    const help = await nestfront(...words, '--help');
    t.is(help.code, 0);
    t.regex(help.stdout, /--json/);
    const operands = ['exec', 'plan', 'up', 'down', 'counters'].includes(name) ? ['x'] : [];
    const refused = await nestfront(
      ...words,
      '--nonsense',
      ...operands,
      ...(name === 'exec' ? ['y'] : []),
    );
    t.is(refused.code, 2);
    t.regex(refused.stderr, /--nonsense/);
    t.is(refused.stdout, '');
  });

test('an unknown command is refused by name', async (t) => {
  const { code, stderr } = await nestfront('upp');
  t.is(code, 2);
  t.regex(stderr, /upp/);
});

test('lab bench refuses a path and a clock that there is not', async (t) => {
  const path = await nestfront('lab', 'bench', '--paths', 'stock-stock,theirs');
  t.is(path.code, 2);
  t.regex(path.stderr, /no path theirs: there are stock-stock/);
  const clock = await nestfront('lab', 'bench', '--clock', 'sun');
  t.is(clock.code, 2);
  t.regex(clock.stderr, /no clock sun: there are host, instructions/);
});

test('a bad configuration exits 2 and says what to change', async (t) => {
  const file = join(runtime, 'bad.json');
  writeFileSync(file, JSON.stringify({ name: 'x', devices: [{ name: 'a', path: 'relay' }] }));
  const text = await nestfront('plan', file);
  t.is(text.code, 2);
  t.regex(text.stderr, /devices\[0\]\.path is "relay"; use one of/);
  const json = await nestfront('up', file, '--json');
  t.is(json.code, 2);
  t.is((JSON.parse(json.stdout) as { error: { code: string } }).error.code, 'NF_ECONFIG');
  t.is(json.stderr, '');
});

test('plan prints without side effects', async (t) => {
  const file = join(packageRoot(), 'tools/examples/nested.json');
  const { code, stdout } = await nestfront('plan', file, '--json');
  t.is(code, 0);
  t.true((JSON.parse(stdout) as { nested: boolean }).nested);
  t.regex((await nestfront('ls')).stdout, /no stack is running/);
});

test('what is not there is said, with what is', async (t) => {
  for (const args of [
    ['down', 'nothing'],
    ['exec', 'L2', '--', 'true'],
    ['counters', 'L2'],
  ]) {
    const { code, stderr } = await nestfront(...args);
    t.is(code, 2);
    t.regex(stderr, /none is running|no stack is running/);
  }
});

test('gc of nothing finds nothing', async (t) => {
  t.deepEqual(JSON.parse((await nestfront('gc', '--json')).stdout), { removed: [] });
});

test('doctor has one line and one remedy a check', async (t) => {
  const { stdout } = await nestfront('doctor', '--json');
  const { checks } = JSON.parse(stdout) as {
    checks: { name: string; status: string; remedy?: string }[];
  };
  t.true(checks.length >= 9);
  for (const check of checks) {
    t.true(['ok', 'part', 'no'].includes(check.status));
    if (check.status !== 'ok') t.truthy(check.remedy, check.name);
  }
});
