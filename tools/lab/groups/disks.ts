// SPDX-License-Identifier: MIT
import type { Group } from './group.js';

/** Disks on real Xen, ours and stock at either end. */
export const disks: Group = {
  job: 'disks',
  memory: 2560,
  dom0Memory: 900,
  seconds: 1200,
  scenarios: [
    {
      name: 'blk-ours-stock',
      front: 'nestfront',
      back: 'stock',
      summary: 'our blkfront in a PV guest, stock xen-blkback in dom0',
    },
    {
      name: 'blk-stock-ours',
      front: 'stock',
      back: 'nestfront',
      summary: 'stock xen-blkfront in a PV guest, our blkback in dom0',
    },
    {
      name: 'blk-ours-ours',
      front: 'nestfront',
      back: 'nestfront',
      summary: 'ours at both ends, registered grants',
    },
    {
      name: 'blk-shim',
      front: 'stock',
      back: 'nestfront',
      summary: 'stock xen-blkfront in a guest under pv-shim, our blkback in dom0',
    },
  ],
};
