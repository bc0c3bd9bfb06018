// SPDX-License-Identifier: MIT
// `top`'s rows as text of at most 80 columns.
import { isDisk } from './rows.js';
import type { Row } from './rows.js';

export const COLUMNS = 80;

const UNITS = ['', 'k', 'M', 'G', 'T', 'P'];

/** At most five characters: 999, 1.23k, 12.3M, 123G. */
export function short(value: number): string {
  if (value === 0) return '-';
  if (value < 10 && !Number.isInteger(value)) return value.toFixed(1);
  let unit = 0;
  let left = value;
  while (left >= 999.5 && unit < UNITS.length - 1) {
    left /= 1000;
    unit += 1;
  }
  const digits = unit === 0 || left >= 99.95 ? 0 : left >= 9.995 ? 1 : 2;
  return `${left.toFixed(digits)}${UNITS[unit]}`;
}

/** Nanoseconds as a time of at most six characters. */
export function time(ns: number): string {
  if (ns < 1000) return `${Math.round(ns)}ns`;
  if (ns < 1e6) return `${(ns / 1e3).toPrecision(3)}us`;
  if (ns < 1e9) return `${(ns / 1e6).toPrecision(3)}ms`;
  return `${(ns / 1e9).toPrecision(3)}s`;
}

const WIDTHS = [2, 7, 12, 2, 5, 5, 5, 5, 5, 5, 7, 5] as const;

function line(cells: readonly string[]): string {
  return cells
    .map((cell, i) => {
      const width = WIDTHS[i] ?? 0;
      const text = cell.length > width ? `${cell.slice(0, width - 1)}~` : cell;
      return i < 3 ? text.padEnd(width) : text.padStart(width);
    })
    .join(' ')
    .trimEnd();
}

const HEADS = {
  net: ['ON', 'DOMAIN', 'DEVICE', 'Q', 'TX/s', 'B/s', 'RX/s', 'B/s'],
  disk: ['ON', 'DOMAIN', 'DISK', 'Q', 'WR/s', 'B/s', 'RD/s', 'B/s'],
} as const;
const TAIL = ['NTFY', 'GRNT', 'RING', 'DROP'] as const;

function sum(values: Readonly<Record<string, number>>): number {
  return Object.values(values).reduce((a, b) => a + b, 0);
}

function cells(row: Row): string[] {
  const rate = (name: keyof Row['rates']): number => row.rates[name] ?? 0;
  const end = row.kind.replace(/^(net|blk)/, '');
  const name = row.device ?? `${isDisk(row) ? 'vbd' : 'vif'}${row.peer}.${row.devid}`;
  const flow = isDisk(row)
    ? (['blk_writes', 'blk_write_bytes', 'blk_reads', 'blk_read_bytes'] as const)
    : (['tx_packets', 'tx_bytes', 'rx_packets', 'rx_bytes'] as const);
  const { txUsed, rxPosted } = row.ring;
  return [
    row.layer,
    row.domain,
    `${end === 'front' ? '>' : end === 'back' ? '<' : '='}${name}`,
    String(row.queue),
    ...flow.map((counter) => short(rate(counter))),
    short(rate('notify_sent')),
    short(rate('grant_copies') + rate('grant_maps') + rate('grant_unmaps')),
    isDisk(row) ? String(txUsed) : `${txUsed}/${rxPosted}`,
    short(sum(row.drops)),
  ];
}

/** What needs words: a state that is not Connected, an error, drops by reason, latency. */
function notes(row: Row): string[] {
  const said: string[] = [];
  if (row.state !== 'Connected') said.push(`state ${row.state}`);
  if (row.error !== 0) said.push(`stopped by errno ${-row.error}`);
  for (const [name, total] of Object.entries(row.dropsTotal)) {
    const rate = row.drops[name as keyof Row['drops']] ?? 0;
    said.push(`${name} ${total}${rate === 0 ? '' : ` (+${short(rate)}/s)`}`);
  }
  const l = row.latencyNs;
  if (l !== undefined)
    said.push(
      `latency p50 ${time(l.p50)} p99 ${time(l.p99)} p99.9 ${time(l.p999)} max ${time(l.max)}`,
    );
  return wrap(said, '   ');
}

/** Joins with commas, in lines of at most 80 columns. */
function wrap(parts: readonly string[], indent: string): string[] {
  const lines: string[] = [];
  for (const part of parts) {
    const last = lines.at(-1);
    const joined = `${last}, ${part}`;
    if (last !== undefined && joined.length <= COLUMNS) lines[lines.length - 1] = joined;
    else lines.push(`${indent}${part}`.slice(0, COLUMNS));
  }
  return lines;
}

function section(title: 'net' | 'disk', rows: readonly Row[]): string[] {
  if (rows.length === 0) return [];
  return [
    line([...HEADS[title], ...TAIL]),
    ...rows.flatMap((row) => [line(cells(row)), ...notes(row)]),
  ];
}

/** All rows, stack by stack; `rows` high at most, saying what was left out. */
export function view(rows: readonly Row[], height = Infinity): string[] {
  const stacks = [...new Set(rows.map((row) => row.stack))];
  const lines = stacks.flatMap((stack) => {
    const own = rows.filter((row) => row.stack === stack);
    const net = own.filter((row) => !isDisk(row));
    const blk = own.filter(isDisk);
    return [stack.slice(-COLUMNS), ...section('net', net), ...section('disk', blk)];
  });
  if (lines.length <= height) return lines;
  const left = lines.length - height + 1;
  return [...lines.slice(0, height - 1), `... ${left} more lines: make the window taller`];
}
