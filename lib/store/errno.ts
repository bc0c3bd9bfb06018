// SPDX-License-Identifier: MIT
import { constants } from 'node:os';

const numbers = constants.errno as unknown as Readonly<Record<string, number>>;

/** The positive number of an errno's name; EIO's for a name this system does not know. */
export function errnoOf(name: string): number {
  return numbers[name] ?? constants.errno.EIO;
}

/** What the server said: the cause of a client's error, also if errors.def does not know it. */
export class XsError extends Error {
  override readonly name = 'XsError';
  readonly code: string;

  constructor(code: string) {
    super(code);
    this.code = code;
  }
}
