// SPDX-License-Identifier: MIT
// What the program of embedder.ts says.

/** The device that `embedder.js drive` attaches. */
export const drivenName = 'driven';

/** A collection: how long it took, and frames that arrived meanwhile at each far end. */
export interface Pause {
  readonly ms: number;
  readonly moved: readonly number[];
  readonly isLong: boolean;
}
