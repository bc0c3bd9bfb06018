// SPDX-License-Identifier: MIT
// `lab shell` as far as it goes without booting: the prompt's functions, the terminal it needs and
// puts back.
import { execFileSync, spawnSync } from 'node:child_process';
import { mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { pathToFileURL } from 'node:url';
import test from 'ava';
import { packageRoot } from '../../lib/stack/paths.js';

const GUEST = join(packageRoot(), 'tools/lab/guest');
const CLI = join(packageRoot(), 'dist/tools/cli.js');

test("the prompt has every function that its text names, and no line it can't type", (t) => {
  const text = readFileSync(join(GUEST, 'shell.txt'), 'utf8');
  const named = [...text.matchAll(/^ {2}(?! )(.*?) {2,}/gm)].flatMap(([, line = '']) =>
    line.split('; ').map((command) => command.split(' ')[0] ?? ''),
  );
  t.deepEqual(named, [
    'guest_create',
    'guest_do',
    'net_suite',
    'guest_gone',
    'rmmod',
    'back_start',
  ]);
  const env = readFileSync(join(GUEST, 'shell-env.sh'), 'utf8')
    .replaceAll('/lab/', `${GUEST}/`)
    .replace('cd /root', 'cd /');
  const found = execFileSync('sh', ['-euc', `${env}\nhelp; type ${named.join(' ')} help option`], {
    encoding: 'utf8',
    env: { ...process.env, PATH: `${process.env['PATH'] ?? ''}:/usr/sbin:/sbin` },
  });
  t.true(found.startsWith(text));
  for (const name of named.filter((n) => n !== 'rmmod'))
    t.regex(found, new RegExp(`${name} is a shell function`));
  for (const line of text.split('\n')) t.true(line.length <= 80, line);
});

test('without a terminal it says what else there is, and boots nothing', (t) => {
  const { status, stderr } = spawnSync(process.execPath, [CLI, 'lab', 'shell'], {
    stdio: ['ignore', 'pipe', 'pipe'],
    encoding: 'utf8',
  });
  t.is(status, 2);
  t.regex(stderr, /needs a terminal: without one, nestfront lab run/);
});

/** Runs shell lines on a terminal of their own; what they wrote there. */
function onTerminal(lines: string, path: string): string {
  const { stdout, status } = spawnSync('script', ['-qec', lines, '/dev/null'], {
    stdio: ['ignore', 'pipe', 'pipe'],
    encoding: 'utf8',
    env: { ...process.env, PATH: path },
  });
  return `${stdout}exit ${String(status)}`;
}

test('a machine that is killed leaves the terminal as it was', (t) => {
  const dir = mkdtempSync(join(tmpdir(), 'nestfront-lab-test-'));
  t.teardown(() => rmSync(dir, { recursive: true }));
  const path = `${dir}:${process.env['PATH'] ?? ''}`;
  const fake = join(dir, 'qemu-system-x86_64');
  writeFileSync(fake, '#!/bin/sh\necho "$@"\nstty raw -echo\nstty -a\nkill -9 $$\n', {
    mode: 0o755,
  });
  const qemu = pathToFileURL(join(packageRoot(), 'dist/tools/lab/qemu.js')).href;
  const code = join(dir, 'boot.mjs');
  const machine = {
    images: { xen: 'xen', kernel: 'linux' },
    ...{ initrd: 'initrd', share: '/', job: 'shell', memory: 1, dom0Memory: 1 },
    options: { rows: 33, columns: 101 },
  };
  writeFileSync(
    code,
    `import { bootOnTerminal } from ${JSON.stringify(qemu)};\n` +
      `await bootOnTerminal(${JSON.stringify(machine)});\n`,
  );
  const said = onTerminal(`stty -a; '${process.execPath}' '${code}'; stty -a; exit 7`, path);
  t.regex(said, /lab\.rows=33 lab\.columns=101/);
  const modes = [...said.matchAll(/\s(-?)icanon/g)].map(([, minus]) => minus !== '-');
  t.deepEqual(modes, [true, false, true], said);
  t.true(said.endsWith('exit 7'), said);
});
