// SPDX-License-Identifier: MIT
// Processes killed under load: clear errors, other devices go on, nothing is left behind.
import { spawn } from 'node:child_process';
import { existsSync } from 'node:fs';
import { join } from 'node:path';
import { once } from 'node:events';
import test from 'ava';
import { packageRoot } from '../../../lib/stack/paths.js';
import { gc, listStacks, runtimeDirectory } from '../../../lib/stack/registry.js';
import { isolationRefused } from '../../../lib/stack/mounts.js';
import * as e from '../helpers/stacks.js';

const isolated = isolationRefused() === undefined ? test.serial : test.serial.skip;

for (const victim of ['L2', 'L1', 'L0', 'H1', 'H0'] as const)
  isolated(`SIGKILL of ${victim} under load leaves nothing behind`, async (t) => {
    const before = e.ownDescriptors().sort();
    const notices: string[] = [];
    const stack = await e.up(t, { devices: e.genDevices(e.PATHS) }, (line) => notices.push(line));
    const { pids, hypervisors } = stack.metadata();
    for (const device of stack.devices) {
      device.front.control.order(device.devid, { mode: 'send', frameBytes: 1500 });
      await e.eventually(t, () => e.sunk(device) > 1000, device.name);
    }
    const single = stack.device('single');
    const networks = e.networksOf(Object.values(pids));

    const pid = { ...hypervisors, ...pids }[victim as 'H0']!;
    process.kill(pid, 'SIGKILL');
    await e.eventually(t, () => !existsSync(`/proc/${pid}`), 'it is gone');
    if (victim in pids) {
      await e.eventually(t, () => notices.length > 0, 'a notice says so');
      t.regex(notices[0]!, new RegExp(`^domain ${victim} ended \\(.*(SIGKILL|137)`));
    }
    if (victim !== 'L0') {
      const count = e.sunk(single);
      await e.eventually(t, () => e.sunk(single) > count + 1000, 'the other device goes on');
    }
    if (victim === 'H1' || victim === 'H0')
      for (const device of stack.devices) {
        const count = e.sunk(device);
        await e.eventually(t, () => e.sunk(device) > count + 1000, `${device.name} goes on`);
      }
    const closing = performance.now();
    await stack.close();
    t.true(performance.now() - closing < 15_000, 'bounded in time');
    t.deepEqual(e.processesWith(`${stack.name}/`), []);
    t.false(existsSync(join(runtimeDirectory(), stack.name)));
    t.deepEqual(e.ownDescriptors().sort(), before);
    t.deepEqual(e.inNetworks(networks, closing), [], 'processes in its network namespaces');
    t.false(
      (await gc()).some((line) => line.includes(stack.name)),
      'gc finds nothing',
    );
  });

isolated('a guest that is killed and its peer: the backend says why it stopped', async (t) => {
  const stack = await e.up(t, { devices: e.genDevices(['single']) });
  const device = stack.device('single');
  process.kill(device.front.pid, 'SIGKILL');
  await e.eventually(t, async () => (await device.link.back.state()) !== 'Connected', 'it noticed');
  t.true(stack.domain('L0').running);
});

/** A stack held by a process of its own, as the CLI does. */
async function held(name: string): Promise<{ pid: number; exited: Promise<unknown> }> {
  const code = `
    const { Stack } = await import(${JSON.stringify(join(packageRoot(), 'dist/lib/index.js'))});
    await Stack.up({ name: ${JSON.stringify(name)}, isolation: 'on', devices: [
      { name: 'a', path: 'single' }, { name: 'b', path: 'translate' } ] });
    console.log('up');`;
  const child = spawn(process.execPath, ['--input-type=module', '-e', code], {
    stdio: ['ignore', 'pipe', 'inherit'],
  });
  const exited = once(child, 'exit');
  await Promise.race([once(child.stdout, 'data'), exited]);
  return { pid: child.pid!, exited };
}

isolated('SIGKILL of the toolstack ends its stack; gc removes the rest', async (t) => {
  const name = `e2e-orphan-${process.pid}`;
  const holder = await held(name);
  t.true(e.processesWith(`${name}/`).length >= 4);
  process.kill(holder.pid, 'SIGKILL');
  await holder.exited;
  await e.eventually(
    t,
    () => e.processesWith(`${name}/`).length === 0,
    'all processes ended',
    15_000,
  );
  t.true(listStacks().find((entry) => entry.name === name)?.stale);
  t.true((await gc()).some((line) => line.endsWith(`/${name}`)));
  t.false(existsSync(join(runtimeDirectory(), name)));
  t.false((await gc()).some((line) => line.includes(name)));
});
