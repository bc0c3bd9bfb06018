// SPDX-License-Identifier: MIT
// Hypervisors killed under running rings: a keeper holds what they had, and all goes on.
import { readdirSync } from 'node:fs';
import test from 'ava';
import { isolationRefused } from '../../../lib/stack/mounts.js';
import * as e from '../helpers/stacks.js';

const isolated = isolationRefused() === undefined ? test.serial : test.serial.skip;

// NF_TEST_KILLS=50 takes about three minutes
const ROUNDS = Number(process.env['NF_TEST_KILLS'] ?? 4);

function descriptors(pid: number): number {
  return readdirSync(`/proc/${pid}/fd`).length;
}

isolated('H0 and H1 killed in turn under load: rings and control go on', async (t) => {
  t.timeout(600_000);
  const notices: string[] = [];
  const stack = await e.up(t, { devices: e.genDevices(e.PATHS) }, (line) => notices.push(line));
  for (const device of stack.devices)
    device.front.control.order(device.devid, { mode: 'send', frameBytes: 1500 });
  const held = new Map<string, number[]>();
  for (let round = 0; round < ROUNDS; round++) {
    const name = round % 2 === 0 ? 'H0' : 'H1';
    const hypervisor = stack.hypervisor(name);
    const { pid } = hypervisor;
    process.kill(pid!, 'SIGKILL');
    await e.eventually(t, () => hypervisor.pid !== pid, `${name} has a new process`, 20_000);
    await e.eventually(t, () => notices.includes(`${name} was started again`), 'which is ready');
    notices.length = 0;
    for (const device of stack.devices) {
      const count = e.sunk(device);
      await e.eventually(t, () => e.sunk(device) > count + 1000, `${device.name} goes on`);
    }
    const { fds, arenas, pages, ports, quarantinedPages } = await hypervisor.stats();
    const now = [
      fds,
      arenas,
      pages,
      ports,
      quarantinedPages,
      descriptors(hypervisor.keeper!.id.pid),
    ];
    t.deepEqual(now, held.get(name) ?? now, `${name} holds no more than after its first restart`);
    held.set(name, now);
  }
  for (const device of stack.devices) {
    await e.drain(t, device);
    const back = e.atBack(device);
    t.is(back.sink_lost + back.sink_duplicated + back.sink_reordered + back.sink_corrupted, 0);
  }
  // control operations: all the way through both layers
  for (const device of stack.devices) {
    await (device.relay ?? device.link).detach();
    t.is(await device.link.front.state(), 'Closed');
  }
});

isolated('a keeper that is killed costs the next restart, nothing else', async (t) => {
  const notices: string[] = [];
  const config = { devices: e.genDevices(['single']) };
  const stack = await e.up(t, config, (line) => notices.push(line));
  const device = stack.device('single');
  const hypervisor = stack.hypervisor('H0');
  device.front.control.order(device.devid, { mode: 'send', frameBytes: 1500 });
  const { keeper, pid } = hypervisor;
  process.kill(keeper!.id.pid, 'SIGKILL');
  await keeper!.exited;
  const count = e.sunk(device);
  await e.eventually(t, () => e.sunk(device) > count + 1000, 'the device goes on');
  t.is((await hypervisor.createDomain({ name: 'late' })).domid, 2, 'so does control');
  const error = await t.throwsAsync(stack.restart('H0'));
  t.is((error as { code?: string }).code, 'NF_ENODEV');
  t.is(hypervisor.pid, pid, 'which is not killed for that');
  process.kill(pid!, 'SIGKILL');
  await e.eventually(t, () => notices.some((n) => n.endsWith('and has no keeper')), 'it says so');
  const later = e.sunk(device);
  await e.eventually(t, () => e.sunk(device) > later + 1000, 'rings go on without both');
});
