// SPDX-License-Identifier: MIT
import { NestfrontError } from '../errors.js';

/** The one of a name. @throws NestfrontError `NF_ENOENT` with the names there are */
export function named<T extends { readonly name: string }>(
  noun: string,
  all: readonly T[],
  name: string,
): T {
  const found = all.find((one) => one.name === name);
  if (found !== undefined) return found;
  const names = all.map((one) => one.name).join(', ') || 'none';
  throw new NestfrontError(
    'NF_ENOENT',
    `stack.${noun}`,
    `no ${noun} "${name}"; there are ${names}`,
  );
}
