// SPDX-License-Identifier: MIT
// A report as at most 20 lines of 80 columns: one row a path, and what it comes to.
import { diskLines, isDisk } from './disksummary.js';
import type { Report, Result } from './schema.js';

const WIDTH = 80;
const LINES = 18; // npm's and the first figure come before
const SKIPS_SHOWN = 3;

interface Row {
  name: string;
  bench?: 'bare_ring' | 'copy_limit';
  path?: Result['path'];
  grants?: 'copy';
}

const ROWS: readonly Row[] = [
  { name: 'bare ring', bench: 'bare_ring' },
  { name: 'copy limit', bench: 'copy_limit' },
  { name: 'native', path: 'native' },
  { name: 'splice', path: 'splice' },
  { name: 'single', path: 'single' },
  { name: 'copy', path: 'copy' },
  { name: 'translate', path: 'translate' },
  { name: 'direct', path: 'direct' },
  { name: 'single', path: 'single', grants: 'copy' },
];

/** Column heads and what they take, right-aligned but for the first. */
const COLUMNS = [10, 4, 6, 6, 8, 6, 6, 11, 7, 7] as const;
const HEAD = [
  ['~ noisy', 'pro-', '', '64 B', '', '1500 B', 'GSO', 'TCP up/down', 'req/rsp', 'CPU s'],
  ['path', 'cess', 'grants', 'Mpps', 'x single', 'Gbit/s', 'Gbit/s', 'Gbit/s', 'µs', 'per GB'],
] as const;

const cells = (row: readonly string[]): string =>
  row
    .map((cell, i) => (i === 0 ? cell.padEnd(COLUMNS[0]) : cell.padStart(COLUMNS[i] ?? 0)))
    .join(' ')
    .trimEnd();

/** Results of a row: those of the plain set-ups only, not of other queue counts. */
function ofRow(results: readonly Result[], row: Row): Result[] {
  return results.filter((r) => {
    if (row.bench !== undefined) return r.bench === row.bench;
    if (r.path !== row.path || (r.queues ?? 1) !== 1 || r.verifyAll === true) return false;
    return row.grants === 'copy' ? r.grants === 'copy' : r.grants !== 'copy';
  });
}

const giga = (s: { median: number } | undefined): string => {
  if (s === undefined) return '-';
  const g = s.median / 1e9;
  return g >= 100 ? g.toFixed(0) : g.toFixed(1);
};

/** Cells of the polled part: 64 B, × single, 1500 B, GSO. */
function frameCells(results: readonly Result[]): string[] {
  // a first look at the bare ring comes before the one that counts
  const frame = (bytes: number): Result | undefined =>
    results.findLast((r) => r.frameBytes === bytes && r.direction === 'tx' && r.bench !== 'rtt');
  const small = frame(60);
  const mpps = small?.packetsPerSecond;
  const ratio = small?.ratioToSingle;
  return [
    mpps ? (mpps.median / 1e6).toFixed(1) : '-',
    ratio ? `${ratio.median.toFixed(2)}${small.noisy === true ? '~' : ''}` : '-',
    giga(frame(1500)?.bitsPerSecond),
    giga(frame(65_226)?.bitsPerSecond),
  ];
}

/** Cells of real traffic: up/down, request/response. */
function tcpCells(results: readonly Result[]): string[] {
  const tcp = (bench: Result['bench']): Result | undefined =>
    results.find((r) => r.bench === bench && r.tool === 'nf-netperf');
  const up = tcp('tcp_stream');
  const down = tcp('tcp_maerts');
  const rr = tcp('tcp_rr')?.latencyNs?.p50;
  return [
    up || down ? `${giga(up?.bitsPerSecond)}/${giga(down?.bitsPerSecond)}` : '-',
    rr === undefined ? '-' : (rr / 1000).toFixed(rr < 100_000 ? 1 : 0),
  ];
}

/** CPU time a gigabyte of TCP takes, of 1,500-byte frames where TCP was not measured. */
function cpuCell(results: readonly Result[]): string {
  const by = (wanted: (r: Result) => boolean): number | undefined =>
    results.find(wanted)?.cpuSecondsPerGigabyte;
  const cpu =
    by((r) => r.bench === 'tcp_stream' && r.tool === 'nf-netperf') ??
    by((r) => r.frameBytes === 1500) ??
    by(() => true);
  return cpu === undefined ? '-' : cpu.toFixed(cpu < 10 ? 2 : 1);
}

function rowOf(all: readonly Result[], row: Row): string[] {
  const results = ofRow(all, row);
  const any = results[0];
  return [
    row.name,
    any ? String(any.dataProcesses) : '-',
    any?.grants ?? '-',
    ...frameCells(results),
    ...tcpCells(results),
    cpuCell(results),
  ];
}

/** What a share of the single layer's rate costs, `12 %`. */
const cost = (ratio: number): string => `${Math.round((1 - ratio) * 100)} %`;

function costs(results: readonly Result[], path: 'translate' | 'direct'): string | undefined {
  const own = results.filter((r) => r.path === path && (r.queues ?? 1) === 1);
  const small = own.find(
    (r) => r.bench === 'pps' && r.frameBytes === 60 && r.direction === 'tx' && r.disturbed !== true,
  );
  const tcp = own.find((r) => r.bench === 'tcp_stream' && r.tool === 'nf-netperf');
  const parts = [
    small?.ratioToSingle && `${cost(small.ratioToSingle.median)} at 64 B`,
    tcp?.ratioToSingle && `${cost(tcp.ratioToSingle.median)} TCP`,
  ].filter((p) => p !== undefined);
  return parts.length > 0 ? parts.join(', ') : undefined;
}

/** The verdict, in lines that fit. */
export function verdict(results: readonly Result[]): string[] {
  const translate = costs(results, 'translate');
  const direct = costs(results, 'direct');
  if (results.some((r) => r.bench === 'pps' && r.path === 'translate' && r.disturbed === true))
    return wrap(
      'No verdict: other programs used the CPUs while the second layer was measured. Run it ' +
        'again while the machine does nothing else.',
    );
  if (translate === undefined && direct === undefined)
    return ['The second layer was not measured; see what was skipped.'];
  const first = translate ?? `${direct ?? ''} (direct)`;
  const second = translate && direct ? ` (direct: ${direct})` : '';
  return wrap(
    `The second layer costs ${first}${second}; xCloud 2011: 9 %. This is shared memory ` +
      'without VM exits: for real Xen run `nestfront lab run`.',
  );
}

function wrap(text: string): string[] {
  const lines: string[] = [];
  let line = '';
  for (const word of text.split(' ')) {
    if (line !== '' && line.length + 1 + word.length > WIDTH) {
      lines.push(line);
      line = word;
    } else line = line === '' ? word : `${line} ${word}`;
  }
  return [...lines, line];
}

const clip = (text: string): string =>
  text.length <= WIDTH ? text : `${text.slice(0, WIDTH - 1)}…`;

/** Frames that were lost, twice, in the wrong order or damaged: a bug, whatever the speed. */
export function integrityFailures(results: readonly Result[]): string[] {
  return results.flatMap((r) => {
    const wrong = (['lost', 'duplicated', 'reordered', 'corrupted'] as const).filter(
      (k) => (r[k] ?? 0) > 0,
    );
    if (isDisk(r))
      return (r.lost ?? 0) > 0
        ? [`FAILED: disk ${r.path ?? ''} ${r.bench}: ${r.lost ?? 0} requests`]
        : [];
    const what = `${r.path ?? r.bench} ${r.frameBytes ?? ''} B ${r.direction ?? ''}`;
    return wrong.map((k) => `FAILED: ${what}: ${r[k] ?? 0} frames ${k}`);
  });
}

/** What, why and the first thing to do about it, in one line; the reason gives way. */
function skippedLine(s: Report['skipped'][number]): string {
  const head = `skipped ${[s.bench, s.path].filter(Boolean).join(' ')}: `;
  const remedy = `; ${s.remedy.split(';')[0] ?? ''}`;
  const room = Math.max(20, WIDTH - head.length - remedy.length);
  const reason = s.reason.length <= room ? s.reason : `${s.reason.slice(0, room - 1)}…`;
  return clip(`${head}${reason}${remedy}`);
}

/** @param room lines there are for it, one at least */
export function skippedLines(report: Report, room: number = SKIPS_SHOWN): string[] {
  const shown = Math.min(SKIPS_SHOWN, Math.max(1, room));
  const lines = report.skipped.map(skippedLine);
  if (lines.length <= shown) return lines;
  const more = lines.length - shown + 1;
  return [...lines.slice(0, shown - 1), `${more} parts were skipped (--json FILE says why)`];
}

/** The table, what was skipped and why, and the verdict, or what is wrong in its place. */
export function summary(report: Report): string[] {
  const nets = report.results.filter((r) => !isDisk(r));
  const rows = ROWS.filter((row) => ofRow(nets, row).length > 0);
  const table = [
    ...HEAD.map((h) => cells(h)),
    ...rows.map((row) => cells(rowOf(nets, row))),
    ...diskLines(report.results),
  ];
  const failures = integrityFailures(report.results).slice(0, 2).map(clip);
  const end = failures.length > 0 ? failures : verdict(nets);
  return [...table, ...skippedLines(report, LINES - table.length - end.length), ...end];
}
