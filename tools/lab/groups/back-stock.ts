// SPDX-License-Identifier: MIT
import type { Group } from './group.js';

/** The provider is stock Linux. */
export const backStock: Group = {
  job: 'back-stock',
  memory: 2560,
  dom0Memory: 900,
  seconds: 1200,
  scenarios: [
    {
      name: 'baseline',
      front: 'stock',
      back: 'stock',
      summary: 'stock Linux at both ends, to compare with',
    },
    {
      name: 'net-ours-stock',
      front: 'nestfront',
      back: 'stock',
      summary: 'our netfront in a PV guest, stock xen-netback in dom0',
    },
  ],
};
