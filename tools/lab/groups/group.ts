// SPDX-License-Identifier: MIT
/** What a file of this folder describes: one boot and the scenarios its job runs. */

/**
 * `host`: its time is ours. `instructions`: each instruction it executes takes 4 ns and nothing
 * else takes any, whatever the host is busy with. Emulated CPUs only.
 */
export type Clock = 'host' | 'instructions';

export interface Scenario {
  readonly name: string;
  /** Another name that asks for it, and perhaps for others besides. */
  readonly partOf?: string;
  readonly front: 'stock' | 'nestfront';
  readonly back: 'stock' | 'nestfront';
  readonly summary: string;
  /** Runs by its name only: it has not been seen to pass often enough for `all`. */
  readonly trial?: true;
}

export interface Group {
  /** Script in guest/, without .sh. */
  readonly job: string;
  readonly scenarios: readonly Scenario[];
  /** MiB of the machine and of its dom0. */
  readonly memory: number;
  readonly dom0Memory: number;
  /** Who has Node and this package: an image for guests on the share, and dom0, too. */
  readonly node?: 'guests' | 'all';
  /** What the machine's time is, where it is not the host's. */
  readonly clock?: Clock;
  /** The watchdog's limit. */
  readonly seconds: number;
}
