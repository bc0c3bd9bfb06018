// SPDX-License-Identifier: MIT
// Hypervisors killed under running rings: a keeper holds what they had, and all goes on.
import test from 'ava';
import { isolationRefused } from '../../../lib/stack/mounts.js';
import * as e from '../helpers/stacks.js';

const isolated = isolationRefused() === undefined ? test.serial : test.serial.skip;

isolated('H0 and H1 killed in turn under load: rings and control go on', async (t) => {
  const notices: string[] = [];
  const stack = await e.up(t, { devices: e.genDevices(e.PATHS) }, (line) => notices.push(line));
  for (const device of stack.devices)
    device.front.control.order(device.devid, { mode: 'send', frameBytes: 1500 });
  for (const name of ['H0', 'H1', 'H0', 'H1'] as const) {
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
    t.log(await hypervisor.stats());
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
