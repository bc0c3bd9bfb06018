// SPDX-License-Identifier: MIT
import { constants } from 'node:os';

const numbers = constants.errno as unknown as Readonly<Record<string, number>>;

/** A request that is refused: the reason goes to the log, the errno to the domain. */
export class Refusal extends Error {
  override readonly name = 'Refusal';
  /** Negative. */
  readonly errno: number;

  /** @param code an errno's name, e.g. `EACCES` */
  constructor(code: string, message: string) {
    super(`${code}: ${message}`);
    this.errno = -(numbers[code] ?? constants.errno.EIO);
  }
}

/** The negative errno to answer with for anything thrown while a request was handled. */
export function errnoOfThrown(thrown: unknown): number {
  const { errno } = thrown as { errno?: unknown };
  if (typeof errno === 'number' && errno !== 0) return -Math.abs(errno);
  return -constants.errno.EIO;
}
