// SPDX-License-Identifier: MIT
// Disks in three lines: what native does, and every path as a share of it.
import { DISK_PATHS } from './disks.js';
import type { Result } from './schema.js';

const WIDTHS = [15, 15, 11, 11, 11, 11] as const;

export const isDisk = (r: Result): boolean => r.blockBytes !== undefined;

const line = (cells: readonly string[]): string =>
  cells
    .map((c, i) => (i === 0 ? c.padEnd(WIDTHS[0]) : c.padStart(WIDTHS[i] ?? 0)))
    .join(' ')
    .trimEnd();

const short = (value: number): string => value.toFixed(value < 100 ? 1 : 0);

/** A writing and a reading bench, `write/read`. */
type Pair = readonly ['seq_write' | 'rand_write', 'seq_read' | 'rand_read'];

function cell(results: readonly Result[], pair: Pair, path: string, unit: string): string {
  const of = (bench: string): Result | undefined =>
    results.find((r) => r.bench === bench && r.path === path);
  const both = pair.map(of);
  if (both.every((r) => r === undefined)) return '-';
  if (path !== 'native') {
    const ratios = both.map((r) => r?.ratioToNative?.median.toFixed(2) ?? '-');
    return `${ratios.join('/')}${both.some((r) => r?.noisy === true) ? '~' : ''}`;
  }
  const value = (r: Result | undefined): string => {
    const v = unit === 'MB/s' ? r?.bytesPerSecond : r?.operationsPerSecond;
    return v === undefined ? '-' : short(v.median / (unit === 'MB/s' ? 1e6 : 1e3));
  };
  return `${both.map(value).join('/')} ${unit}`;
}

/** Nothing when no disk was measured. */
export function diskLines(all: readonly Result[]): string[] {
  const results = all.filter(isDisk);
  const cache = results.find((r) => r.path === 'native')?.cache ?? results[0]?.cache;
  if (results.length === 0) return [];
  const row = (name: string, pair: Pair, unit: string): string =>
    line([name, ...DISK_PATHS.map((path) => cell(results, pair, path, unit))]);
  return [
    line([`disk, ${cache ?? ''}`, 'native w/r', ...DISK_PATHS.slice(1).map((p) => `${p} x`)]),
    row('256 KiB', ['seq_write', 'seq_read'], 'MB/s'),
    row('4 KiB random', ['rand_write', 'rand_read'], 'kIOPS'),
  ];
}
