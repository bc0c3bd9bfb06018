// SPDX-License-Identifier: MIT
// Drivers on real Xen in fifteen lines, in dom0 or a driver domain. In a project of yours: from
// 'nestfront'. `xl create` guests with a vif; Ctrl-C prints what went through, and detaches.
import { once } from 'node:events';
import { attach } from '../../lib/index.js';

await using domain = await attach({ layer: 'xen' });
const drivers = await domain.startDrivers({ log: (line) => process.stderr.write(`${line}\n`) });
console.log(JSON.stringify({ attached: domain.domid, drivers: drivers.pid }));
await Promise.race([once(process, 'SIGINT'), once(process, 'SIGTERM')]);
for (const { kind, state, peer, devid, queue, index } of drivers.counters.blocks()) {
  const { tx_packets, rx_packets } = drivers.counters.read(index);
  console.log(JSON.stringify({ kind, state, peer, devid, queue, tx_packets, rx_packets }));
}
await drivers.stop();
console.log(JSON.stringify({ detached: domain.domid }));
