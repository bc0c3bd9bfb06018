// SPDX-License-Identifier: MIT
// A nested stack in fifteen lines. In a project of yours: from 'nestfront'.
import { setTimeout as sleep } from 'node:timers/promises';
import { Stack } from '../../lib/index.js';

await using stack = await Stack.up({
  name: `embed-${process.pid}`,
  devices: [{ name: 'net', path: 'translate' }], // L2 -> L1's relay -> L0
});
const { front, back, devid } = stack.device('net');
front.control.order(devid, { mode: 'send', frameBytes: 1500, verifyEvery: 1 });
await sleep(1000);
front.control.order(devid, { mode: 'idle' });
await sleep(100); // what is on its way arrives
const { sink_packets, sink_lost, sink_corrupted } = back.counters.total({ devid });
console.log(JSON.stringify({ frames: sink_packets, lost: sink_lost, corrupted: sink_corrupted }));
