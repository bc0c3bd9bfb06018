// SPDX-License-Identifier: MIT
import { existsSync, mkdtempSync, readdirSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import test from 'ava';
import { makeRoom, roomFor } from '../../bench/lib/diskroom.js';
import { html } from '../../bench/lib/html.js';
import { roundOf } from '../../bench/pps.js';
import { reportSchema, type Report, type Result } from '../../bench/lib/schema.js';
import { integrityFailures, summary } from '../../bench/lib/summary.js';

const spread = (median: number): NonNullable<Result['bitsPerSecond']> => ({
  median,
  min: median * 0.9,
  max: median * 1.1,
  samples: 20,
});
const ratio = (median: number): NonNullable<Result['ratioToSingle']> => ({
  median,
  low: median * 0.99,
  high: median * 1.01,
  pairs: 20,
});

const base = { cpus: {}, pids: {}, depth: 2, dataProcesses: 3, seconds: 0.01, repetitions: 20 };

function pps(path: Result['path'], frameBytes: number, x: number): Result {
  const r: Result = {
    ...base,
    bench: 'pps',
    path,
    grants: 'static',
    direction: 'tx',
    frameBytes,
    packetsPerSecond: spread(40e6 * x),
    bitsPerSecond: spread(40e6 * x * frameBytes * 8),
    lost: 0,
  };
  return path === 'single' ? r : { ...r, ratioToSingle: ratio(x) };
}

function disks(): Result[] {
  const paths = ['native', 'single', 'copy', 'translate', 'direct'] as const;
  return (['seq_write', 'seq_read', 'rand_write', 'rand_read'] as const).flatMap((bench) =>
    paths.map((path, i) => ({
      ...base,
      bench,
      path,
      port: 'file' as const,
      cache: 'buffered' as const,
      blockBytes: bench.startsWith('seq') ? 262_144 : 4096,
      operationsPerSecond: spread(123_456),
      bytesPerSecond: spread(2.345e9),
      ...(i > 0 && { ratioToNative: ratio(1 - i / 10), noisy: true }),
      lost: 0,
    })),
  );
}

function full(): Report {
  const paths = ['single', 'copy', 'translate', 'direct'] as const;
  const results: Result[] = [];
  for (const bench of ['bare_ring', 'copy_limit'] as const)
    results.push({ ...pps(undefined, bench === 'bare_ring' ? 60 : 1500, 1), bench });
  for (const [i, path] of paths.entries()) {
    for (const frame of [60, 1500, 65_226]) results.push(pps(path, frame, 1 - i / 10));
    for (const bench of ['tcp_stream', 'tcp_maerts'] as const)
      results.push({
        ...base,
        bench,
        path,
        tool: 'nf-netperf',
        bitsPerSecond: spread(123.4e9),
        ratioToSingle: ratio(0.97),
        cpuSecondsPerGigabyte: 123.45,
      });
    const latencyNs = { p50: 123_456, p99: 200_000, p999: 300_000, max: 400_000 };
    results.push({ ...base, bench: 'tcp_rr', path, tool: 'nf-netperf', latencyNs });
  }
  results.push({ ...pps('single', 60, 0.5), grants: 'copy', ratioToSingle: ratio(0.5) });
  for (const path of ['native', 'splice'] as const)
    results.push({
      ...base,
      bench: 'tcp_stream',
      path,
      tool: 'nf-netperf',
      bitsPerSecond: spread(9e9),
    });
  results.push(...disks());
  const environment = {
    revision: 'abc',
    version: '0.1.0',
    cpu: 'a <fast> one',
    cores: 2,
    kernel: '6.1',
    node: 'v20',
    flags: [] as string[],
    loadAverage: [0, 0, 0],
    start: 'now',
    end: 'then',
    user: 'root' as const,
  };
  const skipped = Array.from({ length: 9 }, (_, i) => ({
    bench: 'tcp',
    path: `p${i}`,
    reason: 'the kernel refuses user namespaces '.repeat(4),
    remedy: 'sudo npm start',
  }));
  return { schemaVersion: 1, environment, results, skipped };
}

test('the summary fits a terminal whatever happened', (t) => {
  const lines = summary(reportSchema.parse(full()));
  // two lines come before it: npm's and the first figure
  t.true(lines.length <= 18, lines.join('\n'));
  for (const line of lines) t.true([...line].length <= 80, line);
});

test('a disk is a share of native, and stays out of the network rows', (t) => {
  const lines = summary(full());
  const at = lines.findIndex((l) => l.startsWith('disk, buffered'));
  t.regex(lines[at] ?? '', /native w\/r +single x +copy x +translate x +direct x$/);
  t.regex(lines[at + 1] ?? '', /^256 KiB +2345\/2345 MB\/s +0\.90\/0\.90~ .* 0\.60\/0\.60~$/);
  t.regex(lines[at + 2] ?? '', /^4 KiB random +123\/123 kIOPS +0\.90\/0\.90~/);
  t.deepEqual(summary({ ...full(), results: disks() }).slice(2, 5), lines.slice(at, at + 3));
});

test('a disk request that failed is told in place of a verdict', (t) => {
  const report = full();
  const results = report.results.map((r) => (r.bench === 'rand_read' ? { ...r, lost: 2 } : r));
  const lines = summary({ ...report, results });
  t.true(lines.length <= 18);
  t.true(lines.includes('FAILED: disk native rand_read: 2 requests'));
  t.false(lines.some((l) => l.includes('second layer')));
});

test('files for disks are as large as there is room and time for', (t) => {
  const directory = makeRoom(tmpdir());
  const dead = mkdtempSync(join(tmpdir(), 'nf-bench-4194305-')); // above every pid there is
  try {
    t.is(roomFor(directory, 16, 5, Infinity), 16);
    t.is(roomFor(directory, 1 << 20, 5, 0), 16);
    t.throws(() => roomFor(directory, 16, 1 << 30, Infinity), {
      code: 'NF_ENOSPC',
      message: /has room for .* files/,
    });
    t.deepEqual(readdirSync(directory), []);
    rmSync(makeRoom(tmpdir()), { recursive: true });
    t.false(existsSync(dead));
    t.true(existsSync(directory));
  } finally {
    rmSync(directory, { recursive: true });
    rmSync(dead, { recursive: true, force: true });
  }
});

test('the verdict compares the default relay with one layer', (t) => {
  const text = summary(full()).join(' ');
  t.regex(text, /second layer costs 20 % at 64 B, 3 % TCP \(direct: 30 % at 64 B, 3 % TCP\)/);
  t.regex(text, /xCloud 2011: 9 %/);
  t.regex(text, /nestfront lab run/);
});

test('every row has its own figures', (t) => {
  const rows = summary(full());
  const row = (name: string, grants: string): string =>
    rows.find((l) => l.startsWith(name) && l.includes(grants)) ?? '';
  t.regex(row('single', 'static'), /^single\s+3\s+static\s+40\.0\s+-\s+480\s/);
  t.regex(row('single', 'copy'), /^single\s+3\s+copy\s+20\.0\s+0\.50/);
  t.regex(row('translate', 'static'), /32\.0\s+0\.80.*123\/123\s+123\s+123\.5$/);
  t.regex(row('native', ''), /9\.0\/-/);
});

test('a lost frame is told and noise is marked', (t) => {
  const report = full();
  report.results[3] = { ...pps('copy', 60, 0.4), lost: 3, noisy: true };
  t.deepEqual(integrityFailures(report.results), ['FAILED: copy 60 B tx: 3 frames lost']);
  const lines = summary(report);
  t.true(lines.some((l) => l.startsWith('FAILED: copy')));
  t.true(lines.some((l) => l.startsWith('~ noisy')));
});

test('there is no verdict from windows that other programs had', (t) => {
  const report = full();
  const results = report.results.map((r) =>
    r.path === 'translate' && r.bench === 'pps' ? { ...r, disturbed: true } : r,
  );
  const text = summary({ ...report, results }).join(' ');
  t.regex(text, /No verdict: other programs used the CPUs/);
  t.notRegex(text, /second layer costs/);
});

test('nothing measured is said, not invented', (t) => {
  const report = { ...full(), results: [] };
  t.regex(summary(report).join(' '), /was not measured/);
});

test('the page is one file and escapes what it shows', (t) => {
  const page = html(full(), summary(full()));
  t.is(/.{0,40}(src|href)=.{0,40}/.exec(page)?.[0], undefined);
  t.true(page.includes('a &lt;fast&gt; one'));
  t.is(/.{0,60}(NaN|undefined).{0,60}/.exec(page)?.[0], undefined);
});

test('the reference stands beside every other set-up in both directions of a round', (t) => {
  for (const others of [1, 2, 3, 4, 5, 6, 7]) {
    const names = ['single', ...Array.from({ length: others }, (_, i) => `o${i}`)];
    const round = roundOf(names, 'single');
    for (const name of names.slice(1)) {
      const at = round.indexOf(name);
      t.true(round[at - 1] === 'single' || round[at + 1] === 'single', round.join(' '));
    }
  }
  t.deepEqual(roundOf(['a', 'b'], 'single'), ['a', 'b']);
  t.deepEqual(roundOf(['single'], 'single'), ['single']);
});
