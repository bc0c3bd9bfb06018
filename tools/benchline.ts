// SPDX-License-Identifier: MIT
// nestfront bench line: the stack on a link shaped to a speed.
import type { Command } from 'commander';
import { environment, finished } from '../bench/lib/environment.js';
import type { Report, Result } from '../bench/lib/schema.js';
import { line } from '../bench/line.js';
import { chosen, number, numbers } from './benchflags.js';
import { table, type CommandContext } from './command.js';
import { exitOf, writeFiles } from './commands/start.js';

interface LineFlags {
  path: string;
  frame: string;
  direction: 'tx' | 'rx' | 'both';
  seconds: number;
  warmup: number;
  repeat: number;
  rate: number;
  json?: string;
}

async function lineReport(flags: LineFlags, context: CommandContext): Promise<Report> {
  const started = environment(process.argv.slice(2));
  const { results, skipped } = await line({
    paths: chosen('--path', flags.path, ['copy', 'translate', 'direct'] as const),
    frames: numbers('--frame', flags.frame, 60, 1514),
    directions: flags.direction === 'both' ? ['tx', 'rx'] : [flags.direction],
    rounds: flags.repeat,
    seconds: flags.seconds,
    settleMs: flags.warmup * 1000,
    bitsPerSecond: flags.rate * 1e6,
    signal: context.signal,
    progress: (text) => context.note(`nestfront: line: ${text}`),
  });
  return { schemaVersion: 1, environment: finished(started), results, skipped };
}

function lineRows(results: readonly Result[]): string[] {
  const ratio = (x: Result['ratioToNative']): string =>
    x ? `${x.median.toFixed(3)} [${x.low.toFixed(3)} ${x.high.toFixed(3)}]` : '';
  return table([
    ['path', 'way', 'bytes', 'kpps', 'min–max', 'x native', 'x line', 'lost', 'dropped'],
    ...results.map((r) => [
      r.path ?? '',
      r.direction ?? '',
      String(r.frameBytes ?? ''),
      ((r.packetsPerSecond?.median ?? 0) / 1e3).toFixed(1),
      [r.packetsPerSecond?.min, r.packetsPerSecond?.max]
        .map((n) => ((n ?? 0) / 1e3).toFixed(1))
        .join('–'),
      ratio(r.ratioToNative),
      (r.ratioToLimit?.median ?? 0).toFixed(3),
      String(r.lost ?? 0),
      String(r.tapDrops ?? 0),
    ]),
  ]);
}

export function defineLine(parent: Command, context: CommandContext): void {
  const paths = 'copy,translate,direct';
  parent
    .command('line')
    .description('over a link shaped to a speed, beside a plain AF_PACKET sender')
    .option('--path <list>', `of ${paths}, separated by commas`, paths)
    .option('--frame <list>', 'bytes without FCS', '60,1500')
    .option('--direction <way>', 'tx (from L2), rx or both', 'both')
    .option('--seconds <n>', 'of a window', number('--seconds', 0.05, 600), 0.5)
    .option('--warmup <seconds>', 'before each window', number('--warmup', 0, 10), 0.2)
    .option('--repeat <n>', 'rounds over all paths', number('--repeat', 1, 1000), 10)
    .option('--rate <mbit>', 'of the link, Mbit/s', number('--rate', 1, 100_000), 1000)
    .option('--json <file>', 'write all results there, as JSON')
    .action(async (flags: LineFlags) => {
      chosen('--direction', flags.direction, ['tx', 'rx', 'both']);
      const report = await lineReport(flags, context);
      const lines = lineRows(report.results);
      for (const s of report.skipped)
        lines.push(`skipped ${s.bench} ${s.path ?? ''}: ${s.reason}; ${s.remedy}`);
      lines.forEach((text) => context.print(text));
      writeFiles(report, lines, flags.json === undefined ? {} : { json: flags.json });
      context.exitCode = exitOf(report);
    });
}
