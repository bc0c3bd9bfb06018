// SPDX-License-Identifier: MIT
/** What a file of this folder describes: one boot and the scenarios its job runs. */

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
  /** The watchdog's limit. */
  readonly seconds: number;
}
