// SPDX-License-Identifier: MIT
// Devices that come and go beside one that carries traffic.
import { readdirSync } from 'node:fs';
import type { ExecutionContext } from 'ava';
import * as e from './stacks.js';

function openFiles(pid: number): number {
  return readdirSync(`/proc/${pid}/fd`).length;
}

/** A device carries verified traffic while `cycles` others are attached and detached in turn. */
export async function comeAndGo(t: ExecutionContext, cycles: number): Promise<void> {
  const stack = await e.up(t, { devices: e.genDevices(['translate']) });
  const device = stack.device('translate');
  const { front, back, devid } = device;
  back.control.order(devid, { verifyEvery: 1 });
  front.control.order(devid, { mode: 'send', frameBytes: 1500, verifyEvery: 1 });
  await e.eventually(t, () => e.sunk(device) > 1000, 'traffic on the first device');
  const pids = [...Object.values(stack.metadata().pids)];
  await stack.attach({ name: 'b', path: 'direct' });
  await stack.detach('b');
  const before = pids.map(openFiles);
  let last = e.sunk(device);
  for (let cycle = 0; cycle < cycles; cycle += 1) {
    const path = e.PATHS[1 + (cycle % 3)]!;
    const other = await stack.attach({ name: 'b', path });
    t.not(other.devid, devid);
    await stack.detach('b');
    if (cycle % 5 !== 4) continue;
    await e.eventually(t, () => e.sunk(device) > last, `traffic goes on in cycle ${cycle}`);
    last = e.sunk(device);
  }
  await e.drain(t, device);
  const taken = e.atBack(device);
  t.is(taken.sink_packets, e.generated(device), 'every frame arrived');
  t.is(taken.sink_verified, taken.sink_packets, 'and every byte of it was checked');
  for (const key of ['sink_lost', 'sink_duplicated', 'sink_reordered', 'sink_corrupted'] as const)
    t.is(taken[key], 0, key);
  t.is(taken.connects, 1, 'it never reconnected');
  const grown = (): boolean => pids.some((pid, i) => openFiles(pid) > before[i]!);
  await e.eventually(t, () => !grown(), 'no driver has more descriptors than before');
  t.deepEqual(
    stack.devices.map((d) => d.name),
    ['translate'],
  );
}
