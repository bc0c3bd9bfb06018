// SPDX-License-Identifier: MIT
// Front and back in two processes, each asleep between frames: no wake-up is lost, in any mode.
import { setTimeout as sleep } from 'node:timers/promises';
import test from 'ava';
import { activity, between } from '../../../bench/lib/procs.js';
import { Town } from '../../../bench/lib/town.js';
import { isolationRefused } from '../../../lib/stack/mounts.js';
import { eventually } from '../helpers/stacks.js';

const isolated = isolationRefused() === undefined ? test.serial : test.serial.skip;
const TRIPS = Number(process.env['NF_TEST_TRIPS'] ?? 5000);

for (const notify of ['event', 'adaptive', 'poll'] as const)
  isolated(`${notify}: every frame of ${TRIPS} round trips`, async (t) => {
    t.timeout(300_000);
    await using town = await Town.up({ guests: 1, notify });
    const [guest] = town.guests as [(typeof town.guests)[0]];
    const { driver } = town;
    const link = await town.attach(guest, 0);
    await link.connected();
    const front = (): ReturnType<typeof guest.counters.total> => guest.counters.total({ devid: 0 });
    const back = (): ReturnType<typeof guest.counters.total> => driver.counters.total({ devid: 0 });
    // one frame is under way at a time: one lost wake-up, at either end, and it stands for ever
    driver.control.order(0, { mode: 'echo', frameBytes: 60 });
    guest.control.order(0, { mode: 'ping', frameBytes: 60, limit: TRIPS });
    await eventually(t, () => front().gen_packets >= TRIPS, 'all pings left', 120_000);
    await eventually(t, () => front().sink_packets >= TRIPS, 'and came back', 10_000);
    const { sleeps, notify_received } = front();
    // no limit with it: pings would leave until it is seen
    guest.control.order(0, { mode: 'idle' });
    driver.control.order(0, { mode: 'idle' });
    if (notify === 'event') {
      t.true(notify_received > 0 && sleeps > 0, `${sleeps} sleeps, ${notify_received} wake-ups`);
      t.true(back().sleeps > 0, 'the back slept, too');
    }
    t.is(back().sink_lost + back().sink_corrupted, 0);
    t.log(`front slept ${sleeps} times, woke by ${notify_received} notifications`);
    if (notify === 'poll') return;
    guest.control.order(0, { mode: 'idle', limit: 0 });
    await sleep(500);
    const pids = town.processes.map(({ id }) => id.pid);
    const start = activity(pids);
    await sleep(1000);
    const idle = between(start, activity(pids));
    t.true(idle.sleeps <= 1, `${idle.sleeps} wake-ups of an idle device in a second`);
  });
