// SPDX-License-Identifier: MIT
// Devices connect and go, again and again, between real processes: nothing is left of any of them.
// As many cycles as fit into 8 s; NF_TEST_CYCLES=10000 does so many, however long that takes.
import { readdirSync } from 'node:fs';
import { setTimeout as sleep } from 'node:timers/promises';
import test from 'ava';
import type { ExecutionContext } from 'ava';
import { descriptors, pssKib } from '../../../bench/lib/procs.js';
import { Town, type Resident } from '../../../bench/lib/town.js';
import { isolationRefused } from '../../../lib/stack/mounts.js';
import { eventually } from '../helpers/stacks.js';

const isolated = isolationRefused() === undefined ? test.serial : test.serial.skip;
const wanted = Number(process.env['NF_TEST_CYCLES'] ?? 0);
const GUESTS = 4;
const WARM = 25; // cycles of each guest after which heaps have their size
const FIT_MS = 8_000;
const FRAMES = 16;
const STANDING_MS = 500;
/** What is free in a driver's heap moves about; 1 KiB lost a device would be 10 MiB of 10,000. */
const DRIVER_KIB = 4096;
/** So many times in a run of NF_TEST_CYCLES the heaps are looked at. */
const PARTS = 8;
/** What a heap's lowest point may rise by from one half of such a run to the other. */
const RISE_KIB = 512;
/** A collector decides when a hypervisor's heap shrinks. */
const HYPERVISOR_KIB = 64 << 10;

/** Connects a device, sends some frames through it, takes it away. */
async function cycle(town: Town, guest: Resident, devid: number): Promise<void> {
  const link = await town.attach(guest, devid);
  await link.connected({ timeoutMs: 60_000 });
  guest.control.order(devid, { mode: 'send', frameBytes: 1500, limit: FRAMES, verifyEvery: 1 });
  const filter = { kind: 'netback', devid, peer: guest.domain.domid } as const;
  const end = performance.now() + 60_000;
  while (town.driver.counters.total(filter).sink_packets < FRAMES) {
    if (performance.now() > end) throw new Error(`device ${devid}: its frames do not arrive`);
    await new Promise((resolve) => setTimeout(resolve, 1));
  }
  guest.control.order(devid, { mode: 'idle', limit: 0 });
  await link.detach({ timeoutMs: 60_000 });
}

interface Holdings {
  readonly fds: readonly number[];
  readonly threads: readonly number[];
  readonly pss: readonly number[];
  readonly hypervisor: Readonly<Record<string, unknown>>;
}

async function holdings(town: Town): Promise<Holdings> {
  const pids = town.processes.map(({ id }) => id.pid);
  const stats = await town.hypervisor.stats();
  const { fds, arenas, pages, ports, quarantinedPages, donations } = stats;
  const domains = await town.hypervisor.listDomains();
  return {
    fds: pids.map(descriptors),
    threads: pids.map((pid) => readdirSync(`/proc/${pid}/task`).length),
    pss: pids.map(pssKib),
    hypervisor: {
      ...{ fds, arenas, pages, ports, quarantinedPages, donations },
      mappings: domains.map(({ mappings }) => mappings),
    },
  };
}

async function run(town: Town, more: () => boolean, first: number): Promise<number> {
  let done = 0;
  const lane = async (guest: Resident): Promise<void> => {
    while (more()) {
      const devid = (first + done++) % 0xffff;
      await cycle(town, guest, devid);
    }
  };
  await Promise.all(town.guests.map(lane));
  return done;
}

/**
 * How far each process' lowest point of the second half lies above that of the first. Heaps move up
 * and down and come back; what is lost with each device does not.
 */
function rises(marks: readonly (readonly number[])[]): number[] {
  const half = marks.length / 2;
  const low = (some: typeof marks, i: number): number => Math.min(...some.map((pss) => pss[i]!));
  return marks[0]!.map((_, i) => low(marks.slice(half), i) - low(marks.slice(0, half), i));
}

/** What the processes and the hypervisor hold, as far as it is to be the same to the last one. */
function exact({ fds, threads, hypervisor }: Holdings): string {
  return JSON.stringify({ fds, threads, hypervisor });
}

/** Waits until what is held stands: a device's last descriptor closes after its detach is done. */
async function settled(t: ExecutionContext, town: Town, before?: Holdings): Promise<Holdings> {
  let now = await holdings(town);
  let last = '';
  const stands = async (): Promise<boolean> => {
    last = exact(now);
    if (!before) await sleep(STANDING_MS);
    now = await holdings(town);
    return exact(now) === (before ? exact(before) : last);
  };
  const what = (): string => `${before ? exact(before) : last} again, but ${exact(now)}`;
  await eventually(t, stands, what, 10_000);
  return now;
}

isolated('after cycles of connect and disconnect everything is at its baseline', async (t) => {
  t.timeout(wanted > 0 ? 7_200_000 : 240_000);
  await using town = await Town.up({ guests: GUESTS });
  let left = GUESTS * WARM;
  const warm = await run(town, () => left-- > 0, 0);
  const before = await settled(t, town);
  const begin = performance.now();
  const more = (): boolean => (wanted > 0 ? left-- > 0 : performance.now() < begin + FIT_MS);
  const parts = wanted > 0 ? PARTS : 1;
  const marks: (readonly number[])[] = [];
  let done = 0;
  let after = before;
  for (let part = 1; part <= parts; part++) {
    left = Math.ceil((wanted * part) / parts) - done;
    done += await run(town, more, warm + done);
    after = await settled(t, town, before);
    marks.push(after.pss);
  }
  const seconds = (performance.now() - begin) / 1000;
  const grown = after.pss.map((kib, i) => kib - before.pss[i]!);
  t.log(
    `${done} cycles in ${seconds.toFixed(0)} s; KiB more in hypervisor, keeper, L0, guests: ` +
      `${grown.join(', ')}; ${JSON.stringify(after.hypervisor)}`,
  );
  t.true(done >= (wanted > 0 ? wanted : 20), `${done} cycles`);
  t.deepEqual(after.fds, before.fds, 'descriptors of every process');
  t.deepEqual(after.threads, before.threads, 'threads');
  t.deepEqual(after.hypervisor, before.hypervisor, 'grants, channels, quarantine');
  t.true(
    town.processes.every((p) => p.running),
    'the same processes',
  );
  t.true(grown[0]! < HYPERVISOR_KIB, `the hypervisor has ${grown[0]} KiB more`);
  for (const kib of grown.slice(1)) t.true(kib < DRIVER_KIB, `${kib} KiB more`);
  if (parts === 1) return;
  const [, ...risen] = rises(marks);
  t.log(`from half to half, KiB, keeper, L0, guests: ${risen.join(', ')}`);
  for (const kib of risen) t.true(kib < RISE_KIB, `the lowest point rises by ${kib} KiB`);
});
