// SPDX-License-Identifier: MIT
// Every process of a stack is killed in turn while disks are written through every path: what was
// acknowledged is in the file, at once and afterwards. NF_TEST_MINUTES=5 goes on for so long.
import { mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { setTimeout as sleep } from 'node:timers/promises';
import test, { type ExecutionContext } from 'ava';
import type { NestfrontError, Stack } from '../../../lib/index.js';
import type { Disk } from '../../../lib/api/disk.js';
import { isolationRefused } from '../../../lib/stack/mounts.js';
import { AckLog } from '../helpers/acklog.js';
import { DISK_PATHS } from '../helpers/disks.js';
import * as e from '../helpers/stacks.js';

const BYTES = 4 << 20;
const WORKERS = 6;
const SECTORS_MAX = 160; // 80 KiB: more than one ring request
const WAIT_MS = 60_000;
const MINUTES = Number(process.env['NF_TEST_MINUTES'] ?? 0);

interface Load {
  readonly log: AckLog;
  readonly file: string;
  readonly name: string;
  /** Errors that were a request's, not a connection's. */
  readonly errors: string[];
  reopened: number;
}

const below = (n: number): number => Math.floor(Math.random() * n);

/** Writes into sectors of its own until told to stop, or the connection ends. */
async function work(disk: Disk, load: Load, worker: number, stop: AbortSignal): Promise<void> {
  const { log } = load;
  const own = Math.floor(log.sectors / WORKERS);
  while (!stop.aborted) {
    const count = 1 + below(SECTORS_MAX);
    const sector = worker * own + below(own - count);
    await disk.write(sector * 512, log.issue(sector, count), { fua: below(8) === 0 });
    log.ack(sector, count);
    if (below(16) > 0) continue;
    const answered = log.flush();
    await disk.flush();
    answered();
  }
}

/** A client for as long as the test lasts: one that lost its server finds the next. */
async function client(stack: Stack, load: Load, stop: AbortSignal): Promise<void> {
  while (!stop.aborted) {
    try {
      await using disk = await stack.disk(load.name).open();
      const all = Array.from({ length: WORKERS }, (_, i) => work(disk, load, i, stop));
      const ends = await Promise.allSettled(all);
      for (const end of ends) if (end.status === 'rejected') throw end.reason;
    } catch (error) {
      const { message } = error as NestfrontError;
      if (message.includes('answered with an error')) load.errors.push(message);
      load.reopened += 1;
      await sleep(50);
    }
  }
}

/** Kills one and waits until it is there again. */
async function kill(t: ExecutionContext, stack: Stack, name: string): Promise<void> {
  if (name !== 'H0' && name !== 'H1') {
    process.kill(stack.domain(name).pid, 'SIGKILL');
    await stack.restart(name);
    return;
  }
  const { pid } = stack.hypervisor(name);
  process.kill(pid!, 'SIGKILL');
  const isBack = (): boolean => ![pid, undefined].includes(stack.hypervisor(name).pid);
  await e.eventually(t, isBack, `${name} is there again`, WAIT_MS);
}

function right(t: ExecutionContext, loads: readonly Load[], when: string): void {
  for (const { name, log, file, errors } of loads) {
    t.deepEqual(log.check(file), [], `${name}: ${when}`);
    t.deepEqual(errors, [], `${name}: no request fails, ${when}`);
  }
}

test('the log finds what is lost, torn or foreign', (t) => {
  const dir = mkdtempSync('/var/tmp/nf-disk-acks-');
  t.teardown(() => rmSync(dir, { recursive: true, force: true }));
  const file = join(dir, 'd');
  const log = new AckLog(7, 8 * 512);
  const old = log.issue(0, 8);
  writeFileSync(file, old);
  log.ack(0, 8);
  t.deepEqual(log.check(file), []);
  const next = log.issue(2, 1);
  t.deepEqual(log.check(file), [], 'asked for and not there yet');
  const put = (bytes: Uint8Array, sector: number): void => {
    const whole = Buffer.from(old);
    whole.set(bytes, sector * 512);
    writeFileSync(file, whole);
  };
  put(next, 2);
  t.deepEqual(log.check(file), [], 'there and not answered');
  log.ack(2, 1);
  put(next.subarray(0, 256), 2);
  t.deepEqual(log.check(file), ['sector 2: it is of two writes']);
  put(old.subarray(0, 512), 2);
  t.regex(log.check(file)[0] ?? '', /^sector 2: write 1 is there, 2 was acknowledged, 2 asked for/);
  put(new AckLog(8, 512).issue(0, 1), 5);
  t.true(log.check(file).includes('sector 5: another disk wrote it'));
});

const isolated = isolationRefused() === undefined ? test.serial : test.serial.skip;

isolated('what was acknowledged is in the file, whoever is killed', async (t) => {
  t.timeout((MINUTES + 4) * 60_000);
  const dir = mkdtempSync('/var/tmp/nf-disk-acks-');
  t.teardown(() => rmSync(dir, { recursive: true, force: true }));
  const loads: Load[] = DISK_PATHS.map((name, i) => {
    const file = join(dir, name);
    return { name, file, log: new AckLog(i + 1, BYTES), errors: [], reopened: 0 };
  });
  const disks = DISK_PATHS.map((path, i) => ({
    name: path,
    path,
    disk: `file:${loads[i]!.file},create=${BYTES}`,
  }));
  const stack = await e.up(t, { disks });
  const stop = new AbortController();
  const clients = Promise.all(loads.map((load) => client(stack, load, stop.signal)));
  const victims = [...stack.domains.map(({ name }) => name), 'H1', 'H0'];
  const until = performance.now() + MINUTES * 60_000;
  const turn = async (victim: string, dies: () => Promise<void>): Promise<void> => {
    const before = loads.map(({ log }) => log.writes);
    const dead = dies();
    right(t, loads, `${victim} was just killed`);
    await dead;
    const goOn = (): boolean => loads.every(({ log }, i) => log.writes > before[i]! + 50);
    await e.eventually(t, goOn, `all disks go on after ${victim} was killed`, WAIT_MS);
    right(t, loads, `${victim} was killed and all goes on`);
  };
  try {
    do for (const victim of victims) await turn(victim, () => kill(t, stack, victim));
    while (performance.now() < until);
    for (const name of ['H1', 'H0'] as const) {
      const { keeper } = stack.hypervisor(name); // nobody starts it again
      process.kill(keeper!.id.pid, 'SIGKILL');
      await turn(`the keeper of ${name}`, () => keeper!.exited.then(() => undefined));
    }
  } finally {
    stop.abort();
    await clients;
  }
  right(t, loads, 'at the end');
  for (const { name, log, reopened } of loads)
    t.log(`${name}: ${log.writes} writes, ${log.flushes} flushes, ${reopened} reconnects`);
});
