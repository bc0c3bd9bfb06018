// SPDX-License-Identifier: MIT

/** Bytes that may pass in each window of so many microseconds. */
export interface Rate {
  readonly bytes: number;
  readonly microseconds: number;
}

const RATE = /^(\d+)([GMK]?)([Bb])\/s(?:@(\d+)([mu]?)s)?$/;
const POWERS: Readonly<Record<string, number>> = { G: 1e9, M: 1e6, K: 1e3, '': 1 };
const MICROSECONDS: Readonly<Record<string, number>> = { '': 1e6, m: 1e3, u: 1 };
const DEFAULT_WINDOW_US = 50_000;
const WINDOW_MAX_US = 0xffff_ffff;

/**
 * Reads `rate=` as xl does: `10Mb/s`, `1MB/s@20ms`. Powers of 1,000; `b` is bits, `B` bytes; the
 * window is 50 ms when left out.
 * @returns `undefined`: not a rate, or one that lets no byte through a window
 */
export function parseRate(text: string): Rate | undefined {
  const match = RATE.exec(text);
  if (match === null) return undefined;
  const [, digits = '', power = '', unit, window, scale = ''] = match;
  const perSecond = (Number(digits) * POWERS[power]!) / (unit === 'b' ? 8 : 1);
  const microseconds =
    window === undefined ? DEFAULT_WINDOW_US : Number(window) * MICROSECONDS[scale]!;
  const bytes = Math.floor((Math.floor(perSecond) * microseconds) / 1e6);
  const fits = Number.isSafeInteger(bytes) && bytes > 0 && microseconds <= WINDOW_MAX_US;
  return fits ? { bytes, microseconds } : undefined;
}
