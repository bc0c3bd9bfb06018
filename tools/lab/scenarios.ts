// SPDX-License-Identifier: MIT
/** What the lab can run: scenarios, and the boots that hold them. */

export interface Scenario {
  readonly name: string;
  readonly front: 'stock' | 'nestfront';
  readonly back: 'stock' | 'nestfront';
  readonly summary: string;
}

export interface Boot {
  /** Script in guest/, without .sh. */
  readonly job: string;
  readonly scenarios: readonly string[];
  readonly memory: number;
  readonly dom0Memory: number;
  /** dom0 has Node and this package, and the share a guest's image that has them, too. */
  readonly node?: boolean;
  /** The watchdog's limit. */
  readonly seconds: number;
}

export const SCENARIOS: readonly Scenario[] = [
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
  {
    name: 'net-stock-ours-pv',
    front: 'stock',
    back: 'nestfront',
    summary: 'stock xen-netfront in a PV guest, our netback in dom0',
  },
  { name: 'net-stock-ours-pvh', front: 'stock', back: 'nestfront', summary: 'the same, PVH guest' },
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
];

export const BOOTS: readonly Boot[] = [
  {
    job: 'back-stock',
    scenarios: ['baseline', 'net-ours-stock'],
    memory: 2560,
    dom0Memory: 900,
    seconds: 1200,
  },
  {
    job: 'back-ours',
    scenarios: ['net-stock-ours-pv', 'net-stock-ours-pvh', 'net-ours-ours', 'net-shim'],
    memory: 2560,
    dom0Memory: 900,
    seconds: 1200,
  },
  {
    job: 'node',
    scenarios: ['ts-on-xen', 'net-nested-embedded'],
    memory: 3584,
    dom0Memory: 1300,
    node: true,
    seconds: 1200,
  },
];

/** The boot of `lab shell`, which runs no scenario. */
export const SHELL: Boot = {
  job: 'shell',
  scenarios: [],
  memory: 2560,
  dom0Memory: 900,
  seconds: 86_400,
};

export function scenarioNamed(name: string): Scenario | undefined {
  return SCENARIOS.find((s) => s.name === name);
}
