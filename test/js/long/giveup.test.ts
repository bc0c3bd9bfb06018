// SPDX-License-Identifier: MIT
// A hypervisor that cannot restore what it had: tried so often, then given up with an error.
import { renameSync, rmSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import test from 'ava';
import { Stack } from '../../../lib/index.js';
import type { NestfrontError } from '../../../lib/index.js';
import { isolationRefused } from '../../../lib/stack/mounts.js';
import { runtimeDirectory } from '../../../lib/stack/registry.js';
import * as e from '../helpers/stacks.js';

const isolated = isolationRefused() === undefined ? test.serial : test.serial.skip;

isolated('a hypervisor that cannot be restored is given up; by hand it comes back', async (t) => {
  t.timeout(180_000);
  const name = `giveup-${process.pid}`;
  const notices: string[] = [];
  let tell: (error: NestfrontError) => void;
  const givenUp = new Promise<NestfrontError>((resolve) => (tell = resolve));
  const stack = await Stack.up(
    { name, devices: e.genDevices(['single']) },
    { notice: (line) => notices.push(line), gaveUp: (_name, error) => tell(error) },
  );
  t.teardown(() => stack.close());
  const device = stack.device('single');
  device.front.control.order(device.devid, { mode: 'send', frameBytes: 1500 });
  const home = join(runtimeDirectory(), name, 'H0');
  renameSync(home, `${home}.away`);
  writeFileSync(home, ''); // it has nowhere to put its sockets
  process.kill(stack.hypervisor('H0').pid!, 'SIGKILL');
  const error = await givenUp;
  t.regex(error.message, /H0 is given up after 8 attempts/);
  t.is(notices.filter((line) => line.startsWith('H0 could not be started again')).length, 8);
  const count = e.sunk(device);
  await e.eventually(t, () => e.sunk(device) > count + 1000, 'rings go on without it');
  rmSync(home);
  renameSync(`${home}.away`, home);
  await stack.restart('H0');
  t.true((await stack.hypervisor('H0').listDomains()).length >= 2, 'it has its domains again');
  const later = e.sunk(device);
  await e.eventually(t, () => e.sunk(device) > later + 1000, 'rings went on through that, too');
  await stack.detach('single');
  t.is(await device.link.front.state(), 'Closed', 'and control works');
});
