// SPDX-License-Identifier: MIT
// fio writes and verifies through a nested disk while L1's driver is killed and started again.
import { spawn, spawnSync } from 'node:child_process';
import { once } from 'node:events';
import { mkdtempSync, rmSync } from 'node:fs';
import { join } from 'node:path';
import { setTimeout as sleep } from 'node:timers/promises';
import test from 'ava';
import { isolationRefused } from '../../../lib/stack/mounts.js';
import * as e from '../helpers/stacks.js';

const KILLS = 4;
const FIO = [
  ...['--name=x', '--ioengine=nbd', '--rw=randrw', '--bsrange=512-256k', '--blockalign=512'],
  ...['--iodepth=16', '--verify=crc32c', '--verify_fatal=1', '--size=64M', '--time_based'],
  ...['--runtime=15', '--verify_state_save=0'],
];
const can = isolationRefused() === undefined && spawnSync('fio', ['--version']).status === 0;
const serial = can ? test.serial : test.serial.skip;

for (const path of ['copy', 'translate', 'direct'] as const)
  serial(`${path}: the relay killed ${KILLS} times, and every block verifies`, async (t) => {
    t.timeout(120_000);
    const dir = mkdtempSync('/var/tmp/nf-disk-kill-');
    t.teardown(() => rmSync(dir, { recursive: true, force: true }));
    const disk = `file:${join(dir, 'd')},create=64M`;
    const stack = await e.up(t, { disks: [{ name: 'd', path, disk }] });
    const uri = `--uri=nbd+unix:///?socket=${stack.disk('d').socket!}`;
    const fio = spawn('fio', [...FIO, uri], { cwd: dir, stdio: ['ignore', 'pipe', 'pipe'] });
    let said = '';
    for (const stream of [fio.stdout, fio.stderr])
      stream.on('data', (chunk: Buffer) => (said += chunk.toString()));
    const ended = once(fio, 'close');
    for (let kills = 0; kills < KILLS && fio.exitCode === null; kills++) {
      await sleep(2500);
      process.kill(stack.domain('L1').pid, 'SIGKILL');
      await stack.restart('L1');
    }
    await ended;
    t.is(fio.exitCode, 0, said);
  });
