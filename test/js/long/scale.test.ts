// SPDX-License-Identifier: MIT
// A hundred devices over ten domains connect, carry frames, and cost nothing while nothing happens.
import test from 'ava';
import { scale } from '../../../bench/scale.js';
import { isolationRefused } from '../../../lib/stack/mounts.js';

const isolated = isolationRefused() === undefined ? test.serial : test.serial.skip;

isolated('100 devices over 10 domains are idle when idle', async (t) => {
  t.timeout(180_000);
  const result = await scale({ domains: 10, devices: 100, idleSeconds: 3 });
  t.log(JSON.stringify(result));
  t.is(result.devices, 100);
  t.is(result.processes, 13, 'hypervisor, keeper, L0, ten guests');
  t.is(result.frames, 17 * 64, 'a sample carries frames, every byte checked');
  // one timer at 1 Hz in one of thirteen processes would be three; fifty a second, thousands
  t.true(result.idle.sleeps <= 2, `${result.idle.sleeps} wake-ups of all processes in 3 s`);
  // each end of a device: channels of two rings and control; the hypervisor: its arenas
  t.true(result.fdsPerDevice < 32, `${result.fdsPerDevice} descriptors a device`);
});
