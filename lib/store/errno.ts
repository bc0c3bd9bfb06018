// SPDX-License-Identifier: MIT
import { constants } from 'node:os';

const numbers = constants.errno as unknown as Readonly<Record<string, number>>;

/** The positive number of an errno's name; EIO's for a name this system does not know. */
export function errnoOf(name: string): number {
  return numbers[name] ?? constants.errno.EIO;
}
