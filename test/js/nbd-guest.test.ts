// SPDX-License-Identifier: MIT
// What a guest with a kernel's NBD client installs: the script that connects a nested disk to a
// free /dev/nbdN and remembers which, and the udev rule that reads what it remembers.
import { spawnSync } from 'node:child_process';
import { once } from 'node:events';
import { chmodSync, existsSync, mkdirSync, mkdtempSync, readFileSync, rmSync } from 'node:fs';
import { writeFileSync } from 'node:fs';
import { createServer } from 'node:net';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import test from 'ava';
import { packageRoot } from '../../lib/stack/paths.js';

const scripts = join(packageRoot(), 'drivers', 'daemon', 'scripts');
const installed = ['/usr/sbin', '/usr/bin', '/sbin', '/bin'].some((dir) =>
  existsSync(join(dir, 'nbd-client')),
);
/** A client that would connect real devices is not to be tried. */
const fake = installed ? test.skip : test;

fake('nestfront-nbd takes a free device, remembers the disk, and lets go of it', async (t) => {
  const dir = mkdtempSync(join(tmpdir(), 'nf-nbd-guest-'));
  t.teardown(() => rmSync(dir, { recursive: true, force: true }));
  const [sys, known, bin] = ['sys', 'known', 'bin'].map((name) => join(dir, name));
  for (const path of [join(sys!, 'nbd0'), join(sys!, 'nbd1'), bin!])
    mkdirSync(path, { recursive: true });
  writeFileSync(join(sys!, 'nbd0', 'pid'), '1\n'); // somebody else's
  writeFileSync(
    join(bin!, 'nbd-client'),
    `#!/bin/sh
[ "$1" = -d ] && exec rm "${sys}/$(basename "$2")/pid"
[ "$1" = -unix ] && [ -S "$2" ] && echo 9 >"${sys}/$(basename "$3")/pid"
`,
  );
  chmodSync(join(bin!, 'nbd-client'), 0o755);
  const socket = join(dir, 's');
  const server = createServer().listen(socket);
  await once(server, 'listening');
  t.teardown(() => server.close());
  const run = (...args: string[]): { status: number | null; out: string; err: string } => {
    const env = { ...process.env, NESTFRONT_NBD_DIR: known!, NESTFRONT_NBD_SYS: sys! };
    const path = `${process.env['PATH']}:${bin}`;
    const ended = spawnSync('sh', [join(scripts, 'nestfront-nbd'), ...args], {
      env: { ...env, PATH: path },
      encoding: 'utf8',
    });
    return { status: ended.status, out: ended.stdout, err: ended.stderr };
  };

  t.deepEqual(run('attach', '51712', socket), { status: 0, out: '/dev/nbd1\n', err: '' });
  t.is(readFileSync(join(known!, 'nbd1'), 'utf8'), '51712\n');
  t.regex(run('attach', '51712', socket).err, /disk 51712 is at \/dev\/nbd1 already/);
  t.regex(run('attach', '51728', socket).err, /every \/dev\/nbdN is in use/);
  t.regex(run('attach', '51728', join(dir, 'none')).err, /is no socket/);
  t.regex(run('detach', '51728').err, /disk 51728 is at no \/dev\/nbdN/);
  t.is(run('detach', '51712').status, 0);
  t.false(existsSync(join(known!, 'nbd1')) || existsSync(join(sys!, 'nbd1', 'pid')));
  for (const wrong of [[], ['attach', '5;2', socket], ['attach', '5'], ['detach'], ['list', '5']])
    t.is(run(...wrong).status, 2, wrong.join(' '));
});

test('the rule looks where the script writes', (t) => {
  const rule = readFileSync(join(scripts, '60-nestfront.rules'), 'utf8');
  const script = readFileSync(join(scripts, 'nestfront-nbd'), 'utf8');
  const [, where] = /NESTFRONT_NBD_DIR:-(.+)\}/.exec(script)!;
  t.true(rule.includes(`TEST!="${where}/%k"`) && rule.includes(`/bin/cat ${where}/%k`));
});
