// SPDX-License-Identifier: MIT
// What the bench commands' flags have in common: lists and numbers, refused by name.

export const list = (text: string): string[] => text.split(',').filter((t) => t !== '');

export function chosen<T extends string>(flag: string, text: string, allowed: readonly T[]): T[] {
  return list(text).map((word) => {
    const found = allowed.find((a) => a === word);
    if (found === undefined)
      throw new RangeError(`${flag} "${word}" is unknown; one or more of ${allowed.join(', ')}`);
    return found;
  });
}

/** A whole or decimal number in a range, or an error that names the flag. */
export function number(flag: string, low: number, high: number): (text: string) => number {
  return (text) => {
    const value = Number(text);
    if (text.trim() === '' || !(value >= low && value <= high))
      throw new RangeError(`${flag} "${text}" is not a number from ${low} to ${high}`);
    return value;
  };
}

export function numbers(flag: string, text: string, low: number, high: number): number[] {
  const values = list(text).map(number(flag, low, high));
  if (values.some((v) => !Number.isInteger(v))) throw new RangeError(`${flag}: whole numbers only`);
  return values;
}
