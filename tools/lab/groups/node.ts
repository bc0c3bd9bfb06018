// SPDX-License-Identifier: MIT
import type { Group } from './group.js';

/** Node and TypeScript on real Xen. */
export const node: Group = {
  job: 'node',
  memory: 3584,
  dom0Memory: 1300,
  node: 'all',
  seconds: 1500,
  scenarios: [
    {
      name: 'ts-on-xen',
      front: 'stock',
      back: 'nestfront',
      summary: "the TypeScript library in dom0: attach, read a guest's counters, detach",
    },
    {
      name: 'net-nested-embedded',
      front: 'nestfront',
      back: 'stock',
      summary: 'our front on embedded in a PVH guest, relay translate, stock xen-netback in dom0',
    },
    {
      name: 'blk-nested-embedded',
      front: 'nestfront',
      back: 'stock',
      summary: 'our front on embedded in a PVH guest, relay translate, stock xen-blkback in dom0',
    },
    {
      name: 'net-nested-restore',
      front: 'nestfront',
      back: 'stock',
      summary: 'L2 in namespaces of its own inside L1, root an initramfs; L1 restored',
    },
  ],
};
