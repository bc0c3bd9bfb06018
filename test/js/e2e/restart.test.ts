// SPDX-License-Identifier: MIT
// The relay is killed under load and started again: see "Who survives whom" in docs/relay.md.
import { setTimeout as sleep } from 'node:timers/promises';
import test from 'ava';
import { isolationRefused } from '../../../lib/stack/mounts.js';
import { addresses, HashedStream, tapDevices } from '../helpers/links.js';
import * as e from '../helpers/stacks.js';

const isolated = isolationRefused() === undefined ? test.serial : test.serial.skip;
const KILLS = 3;

for (const path of e.NESTED)
  isolated(`${path}: one TCP connection outlives relays that are killed`, async (t) => {
    const stack = await e.up(t, { devices: tapDevices([path]) });
    const device = stack.device(path);
    const host = await addresses(device);
    await using stream = await HashedStream.start(device, host, 5);
    const moved = (): number => device.back.counters.total({ kind: 'netback' }).tx_packets;
    const connects = (): number => device.back.counters.total({ kind: 'netback' }).connects;
    const back: number[] = [];
    for (let i = 0; i < KILLS; i++) {
      const before = moved();
      const generation = connects();
      await e.eventually(t, () => moved() > before + 100, 'the stream flows');
      process.kill(stack.domain('L1').pid, 'SIGKILL');
      await stack.domain('L1').exited;
      await stack.restart('L1');
      const restarted = performance.now();
      await e.eventually(t, () => connects() > generation, 'a new connection', 10_000);
      back.push(performance.now() - restarted);
      await sleep(300);
    }
    t.log(`the device is back after ${back.map((ms) => ms.toFixed(0)).join(', ')} ms`);
    t.true(Math.min(...back) < 500, 'within half a second; the best of three on a busy machine');
    const { code, stderr } = await stream.ended;
    t.is(code, 0, `the hashes of both ends are equal: ${stderr}`);
    t.is(await device.link.front.error(), undefined);
    t.is(await device.relay!.outer.back.error(), undefined);
  });

for (const name of ['L0', 'L2', 'guest'] as const)
  isolated(`${name} is started again: all its devices reconnect`, async (t) => {
    const stack = await e.up(t, { devices: e.genDevices(e.PATHS) });
    const devices = stack.devices.filter((d) => name === 'L0' || d.front.name === name);
    const start = (): void => {
      for (const device of devices)
        device.front.control.order(device.devid, { mode: 'send', frameBytes: 1500 });
    };
    start();
    for (const device of devices)
      await e.eventually(t, () => e.sunk(device) > 1000, `${device.name} flows`);
    process.kill(stack.domain(name).pid, 'SIGKILL');
    await stack.restart(name);
    start();
    for (const device of devices) {
      const count = e.sunk(device);
      const flows = (): boolean => e.sunk(device) > count + 1000 || e.sunk(device) < count;
      await e.eventually(t, flows, `${device.name} flows again`, 15_000);
      const again = e.sunk(device);
      await e.eventually(t, () => e.sunk(device) > again + 1000, `${device.name} goes on`);
      t.is(await device.link.front.state(), 'Connected', device.name);
    }
  });
