// SPDX-License-Identifier: MIT
// The lab's promises that need no Xen: its checker of complaints finds one, the provider's files
// are Debian's, nothing runs on when it was killed.
import { execFileSync, spawn } from 'node:child_process';
import { once } from 'node:events';
import { mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { setTimeout } from 'node:timers/promises';
import { pathToFileURL } from 'node:url';
import test from 'ava';
import { packageRoot } from '../../lib/stack/paths.js';
import { indexHashes, moduleFaults } from '../../tools/lab/provenance.js';
import type { Provider } from '../../tools/lab/provenance.js';

/** Runs shell lines with dom0's library; `dmesg` and `xl dmesg` say what the test says. */
function dom0(logs: { linux: string; xen: string }, script: string): string {
  const dir = mkdtempSync(join(tmpdir(), 'nestfront-lab-test-'));
  const guest = join(packageRoot(), 'tools/lab/guest');
  try {
    writeFileSync(join(dir, 'linux'), logs.linux);
    writeFileSync(join(dir, 'xen'), logs.xen);
    // the library's own files are below /tmp: here, below the test's folder
    const library = readFileSync(join(guest, 'lib.sh'), 'utf8').replaceAll('/tmp/', `${dir}/`);
    writeFileSync(join(dir, 'lib.sh'), library);
    const lines = `dmesg() { cat ${dir}/linux; }\nxl() { cat ${dir}/xen; }\n. ${dir}/lib.sh\n`;
    return execFileSync('sh', ['-c', `${lines}${script.replaceAll('$DIR', dir)}`], {
      encoding: 'utf8',
    });
  } finally {
    rmSync(dir, { recursive: true });
  }
}

const QUIET = {
  linux: '[    1.2] clocksource: WARNING: timekeeping\n[    9.9] eth0: link becomes ready\n',
  xen: '(XEN) d1 has 0x100 pages\n(XEN) *** Serial input to DOM0 (type to switch)\n',
};

test('the checker of complaints finds what Linux, Xen and guests complain about', (t) => {
  const checked = 'begin s >/dev/null; end s';
  t.regex(dom0(QUIET, checked), /check no-complaints ok/);
  for (const linux of [
    '[   12.345678] BUG: unable to handle page fault\n',
    '[   12.345678] WARNING: CPU: 0 PID: 7 at drivers/xen/grant-table.c:700\n',
    '[   12.345678] Oops: 0002 [#1] PREEMPT SMP\n',
  ])
    t.regex(dom0({ ...QUIET, linux }, checked), /check no-complaints fail/, linux);
  for (const xen of [
    '(XEN) grant_table.c:803:d0v0 Bad flags (0) or dom (0)\n',
    '(XEN) event_channel.c:319:d1v0 EVTCHNOP failure: error -17\n',
    '(XEN) Error: something\n',
  ])
    t.regex(dom0({ ...QUIET, xen }, checked), /check no-complaints fail/, xen);
  const guest = `begin s >/dev/null; echo 'Oops: 0000 in a guest' >$DIR/complaints.guests; end s`;
  t.regex(dom0(QUIET, guest), /check no-complaints fail.*Oops/);
});

test('a complaint of the baseline is no complaint, whatever its numbers', (t) => {
  const first = '[   3.1] WARNING: vif1.0 took 0x1f pages\n';
  const again = '[ 300.2] WARNING: vif2.0 took 0x2e pages\n';
  const script = (line: string): string =>
    `complained >$DIR/complaints.base; printf '${line}' >$DIR/linux; end s`;
  const quiet = { ...QUIET, linux: first };
  t.regex(dom0(quiet, script(again)), /check no-complaints ok/);
  t.regex(dom0(quiet, script('[ 3.2] WARNING: another\\n')), /check no-complaints fail/);
});

test('the index says which package is which', (t) => {
  const hex = 'ab'.repeat(32);
  const index = indexHashes(
    `'http://a/b/xen_1%2b2_amd64.deb' xen_1+2_amd64.deb 17 SHA256:${hex}\n` +
      "'http://a/b/old.deb' old.deb 17 MD5Sum:00\n",
  );
  t.deepEqual([...index], [['xen_1+2_amd64.deb', hex]]);
});

test("a module that is not Debian's is a fault, and none at all, too", (t) => {
  const from: Provider = { packages: {}, xen: '', kernel: '', modules: { 'k/a.ko': 'aa' } };
  t.deepEqual(moduleFaults(from, new Map([['k/a.ko', 'aa']])), []);
  t.is(moduleFaults(from, new Map([['k/a.ko', 'ab']])).length, 1);
  t.is(moduleFaults(from, new Map([['k/b.ko', 'aa']])).length, 1);
  t.is(moduleFaults(from, new Map()).length, 1);
});

/** False also for one that ended and that nobody has asked about. */
function runs(pid: number): boolean {
  try {
    return !/\) [ZX] /.test(readFileSync(`/proc/${pid}/stat`, 'utf8'));
  } catch {
    return false;
  }
}

test('a lab that is killed takes its machine along', async (t) => {
  const dir = mkdtempSync(join(tmpdir(), 'nestfront-lab-test-'));
  t.teardown(() => rmSync(dir, { recursive: true }));
  const fake = join(dir, 'qemu-system-x86_64');
  writeFileSync(fake, '#!/bin/sh\necho machine $$\nexec sleep 1000\n', { mode: 0o755 });
  const qemu = pathToFileURL(join(packageRoot(), 'dist/tools/lab/qemu.js')).href;
  const machine = {
    images: { xen: '', kernel: '' },
    ...{ initrd: '', share: '', job: 'x', memory: 1, dom0Memory: 1 },
    ...{ consoleFile: join(dir, 'console'), seconds: 900, idleSeconds: 900 },
  };
  const code =
    `const { boot } = await import(${JSON.stringify(qemu)});` +
    `await boot(${JSON.stringify(machine)}, (line) => process.stdout.write(line + '\\n'));`;
  const lab = spawn(process.execPath, ['--input-type=module', '-e', code], {
    stdio: ['ignore', 'pipe', 'inherit'],
    env: { ...process.env, PATH: `${dir}:${process.env['PATH'] ?? ''}` },
  });
  const [said] = (await once(lab.stdout, 'data')) as [Buffer];
  const pid = Number(/machine (\d+)/.exec(said.toString())?.[1]);
  t.true(runs(pid));
  lab.kill('SIGKILL');
  for (let i = 0; i < 600 && runs(pid); i += 1) await setTimeout(50);
  t.false(runs(pid));
});
