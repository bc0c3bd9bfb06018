// SPDX-License-Identifier: MIT
import type { Group } from './group.js';

/** What goes wrong on a machine and must be told, survived or undone. */
export const bad: Group = {
  job: 'bad',
  memory: 2560,
  dom0Memory: 900,
  seconds: 1200,
  scenarios: [
    {
      name: 'bad-front',
      partOf: 'xen-bad-things',
      front: 'nestfront',
      back: 'stock',
      summary: 'devices of Xen missing, a kernel driver bound, pages that may not be granted',
    },
    {
      name: 'bad-back',
      partOf: 'xen-bad-things',
      front: 'stock',
      back: 'nestfront',
      summary: 'the same for our back; its guest destroyed while it stands still or is dead',
    },
    {
      name: 'bad-store',
      partOf: 'xen-bad-things',
      front: 'nestfront',
      back: 'nestfront',
      summary: 'xenstored killed under a stream: the rings go on, both ends say so and can stop',
    },
  ],
};
