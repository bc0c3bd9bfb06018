// SPDX-License-Identifier: MIT
// A report as one self-contained page: bars, the table of all results, what was skipped.
import { DISK_TITLES, type DiskBench } from '../blk.js';
import { isDisk } from './disksummary.js';
import type { Report, Result } from './schema.js';

const escape = (text: string): string =>
  text
    .replaceAll('&', '&amp;')
    .replaceAll('<', '&lt;')
    .replaceAll('>', '&gt;')
    .replaceAll('"', '&quot;');

const label = (r: Result): string =>
  [
    r.path ?? r.bench,
    r.grants === 'copy' ? 'grants copy' : '',
    r.queues && r.queues > 1 ? `${r.queues} queues` : '',
  ]
    .filter((t) => t !== '')
    .join(', ');

interface Chart {
  title: string;
  unit: string;
  bars: { name: string; value: number; low: number; high: number }[];
}

function charts(results: readonly Result[]): Chart[] {
  const out: Chart[] = [];
  const add = (title: string, unit: string, scale: number, own: Result[]): void => {
    const bars = own.flatMap((r) => {
      const frames = unit === 'Mpps' ? r.packetsPerSecond : r.bitsPerSecond;
      const blocks = unit === 'MB/s' ? r.bytesPerSecond : r.operationsPerSecond;
      const s = isDisk(r) ? blocks : frames;
      if (!s) return [];
      return [{ name: label(r), value: s.median / scale, low: s.min / scale, high: s.max / scale }];
    });
    if (bars.length > 0) out.push({ title, unit, bars });
  };
  const pps = results.filter((r) => r.tool === 'nf-window' && r.bench !== 'rtt');
  for (const frame of [...new Set(pps.map((r) => r.frameBytes ?? 0))])
    for (const direction of ['tx', 'rx'] as const) {
      const own = pps.filter(
        (r) => r.frameBytes === frame && r.direction === direction && r.verifyAll !== true,
      );
      const way = direction === 'tx' ? 'from L2' : 'to L2';
      if (frame < 256) add(`${frame}-byte frames ${way}`, 'Mpps', 1e6, own);
      else add(`${frame}-byte frames ${way}`, 'Gbit/s', 1e9, own);
    }
  for (const bench of ['tcp_stream', 'tcp_maerts'] as const)
    for (const tool of ['nf-netperf', 'iperf3'] as const) {
      const own = results.filter((r) => r.bench === bench && r.tool === tool);
      add(`TCP ${bench === 'tcp_stream' ? 'from' : 'to'} L2 (${tool})`, 'Gbit/s', 1e9, own);
    }
  for (const bench of Object.keys(DISK_TITLES) as DiskBench[]) {
    const own = results.filter((r) => r.bench === bench);
    if (bench.startsWith('seq')) add(`Disk: ${DISK_TITLES[bench]}`, 'MB/s', 1e6, own);
    else add(`Disk: ${DISK_TITLES[bench]}`, 'kIOPS', 1e3, own);
  }
  return out;
}

function svg(chart: Chart): string {
  const top = Math.max(...chart.bars.map((b) => b.high), 1e-9);
  const x = (v: number): string => (180 + (v / top) * 380).toFixed(1);
  const bars = chart.bars.map((b, i) => {
    const y = 8 + i * 24;
    const text = `${b.value.toFixed(b.value < 10 ? 2 : 1)} ${chart.unit}`;
    return (
      `<text x="172" y="${y + 12}" text-anchor="end">${escape(b.name)}</text>` +
      `<rect x="180" y="${y}" width="${(Number(x(b.value)) - 180).toFixed(1)}" height="16"/>` +
      `<line x1="${x(b.low)}" x2="${x(b.high)}" y1="${y + 8}" y2="${y + 8}"/>` +
      `<text x="${(Number(x(b.high)) + 6).toFixed(1)}" y="${y + 12}">${text}</text>`
    );
  });
  const height = 16 + chart.bars.length * 24;
  return `<h2>${escape(chart.title)}</h2><svg viewBox="0 0 700 ${height}">${bars.join('')}</svg>`;
}

function rows(results: readonly Result[]): string {
  const cell = (v: string | number | boolean | undefined): string =>
    `<td>${escape(String(v ?? ''))}</td>`;
  const ratio = (r: Result): string | undefined =>
    r.ratioToSingle &&
    [r.ratioToSingle.median, r.ratioToSingle.low, r.ratioToSingle.high]
      .map((x) => x.toFixed(3))
      .join(' ');
  return results
    .map((r) => {
      const rate = r.packetsPerSecond ?? r.bitsPerSecond ?? r.transactionsPerSecond;
      const values = [
        r.bench,
        r.path,
        r.grants,
        r.direction,
        r.frameBytes ?? r.messageBytes,
        r.queues,
      ];
      const more = [
        rate && rate.median.toExponential(3),
        ratio(r),
        r.latencyNs?.p50,
        r.latencyNs?.p99,
      ];
      const rest = [r.cpuSecondsPerGigabyte, r.lost, r.class, r.repetitions, r.noisy];
      return `<tr>${[...values, ...more, ...rest].map(cell).join('')}</tr>`;
    })
    .join('\n');
}

const STYLE =
  'body{font:15px system-ui,sans-serif;max-width:60rem;margin:2rem auto;padding:0 1rem}' +
  'table{border-collapse:collapse;font-size:12px}td,th{border:1px solid #ccc;padding:2px 6px}' +
  'svg{width:100%;font-size:12px}rect{fill:#3a6ea5}line{stroke:#111}' +
  '@media(prefers-color-scheme:dark){body{background:#111;color:#eee}' +
  'text{fill:#eee}line{stroke:#eee}}';

const HEADS =
  'bench path grants direction bytes queues rate ×single p50 p99 cpu/GB lost class n noisy';

/** The whole report as one HTML file without references to anything outside it. */
export function html(report: Report, lines: readonly string[]): string {
  const { environment: e, results, skipped } = report;
  const about = [e.cpu, `${e.cores} CPUs`, e.kernel, `node ${e.node}`, e.revision, e.start];
  const heads = HEADS.split(' ').map((h) => `<th>${h}</th>`);
  const skips = skipped.map(
    (s) => `<li>${escape(`${s.bench} ${s.path ?? ''}: ${s.reason}; ${s.remedy}`)}</li>`,
  );
  return [
    '<!doctype html><html lang="en"><meta charset="utf-8"><title>nestfront</title>',
    `<style>${STYLE}</style><h1>nestfront</h1><p>${escape(about.join(' · '))}</p>`,
    `<pre>${escape(lines.join('\n'))}</pre>`,
    ...charts(results).map(svg),
    `<h2>All results</h2><table><tr>${heads.join('')}</tr>${rows(results)}</table>`,
    skips.length > 0 ? `<h2>Skipped</h2><ul>${skips.join('')}</ul>` : '',
    '</html>',
  ].join('\n');
}
