// SPDX-License-Identifier: MIT
import type { Group } from './group.js';

/** Our netback in dom0. */
export const backOurs: Group = {
  job: 'back-ours',
  memory: 2560,
  dom0Memory: 900,
  seconds: 1200,
  scenarios: [
    {
      name: 'net-stock-ours-pv',
      partOf: 'net-stock-ours',
      front: 'stock',
      back: 'nestfront',
      summary: 'stock xen-netfront in a PV guest, our netback in dom0',
    },
    {
      name: 'net-stock-ours-pvh',
      partOf: 'net-stock-ours',
      front: 'stock',
      back: 'nestfront',
      summary: 'the same, PVH guest',
    },
    {
      name: 'net-ours-ours',
      front: 'nestfront',
      back: 'nestfront',
      summary: 'ours at both ends, static grants',
    },
    {
      name: 'net-shim',
      front: 'stock',
      back: 'nestfront',
      summary: 'stock xen-netfront in a guest under pv-shim, our netback in dom0: Xen in Xen',
    },
  ],
};
