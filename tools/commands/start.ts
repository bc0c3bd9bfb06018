// SPDX-License-Identifier: MIT
// npm start: the main job.
import { writeFileSync } from 'node:fs';
import type { Command } from 'commander';
import { html } from '../../bench/lib/html.js';
import { mainJob, type Size } from '../../bench/lib/mainjob.js';
import { reportSchema, type Report } from '../../bench/lib/schema.js';
import { integrityFailures, summary } from '../../bench/lib/summary.js';
import { EXIT, type CommandContext, type CommandModule } from '../command.js';

interface Options {
  quick?: boolean;
  full?: boolean;
  json?: string;
  report?: string;
}

/** One line on a terminal that is written over; nothing elsewhere. */
class Progress {
  readonly #on = process.stderr.isTTY;

  show(text: string): void {
    if (this.#on) process.stderr.write(`\r\x1b[K… ${text}`);
  }

  clear(): void {
    if (this.#on) process.stderr.write('\r\x1b[K');
  }
}

/** Writes what the flags ask for: results for programs, a page for people. */
export function writeFiles(
  report: Report,
  lines: readonly string[],
  files: { json?: string; report?: string },
): void {
  if (files.json !== undefined)
    writeFileSync(files.json, `${JSON.stringify(reportSchema.parse(report), null, 1)}\n`);
  if (files.report !== undefined) writeFileSync(files.report, html(report, lines));
}

/** Nothing measured is the machine's fault; lost or damaged frames are ours. */
export function exitOf(report: Report): number {
  if (integrityFailures(report.results).length > 0) return EXIT.failed;
  return report.results.some((r) => r.path !== undefined) ? EXIT.done : EXIT.machine;
}

async function start(options: Options, context: CommandContext): Promise<void> {
  const progress = new Progress();
  const size: Size = options.full === true ? 'full' : options.quick === true ? 'quick' : 'default';
  const line = (text: string): void => {
    progress.clear();
    context.print(text);
  };
  try {
    const report = await mainJob({
      size,
      flags: process.argv.slice(2),
      began: 0, // this process does nothing else
      signal: context.signal,
      progress: (text) => progress.show(text),
      line,
    });
    progress.clear();
    const lines = summary(report);
    lines.forEach((text) => context.print(text));
    writeFiles(report, lines, options);
    context.exitCode = exitOf(report);
  } finally {
    progress.clear();
  }
}

export const command: CommandModule = {
  define(command: Command, context: CommandContext): void {
    command
      .option('--quick', 'at most a minute and a half: fewer windows, no iperf3')
      .option('--full', 'the whole matrix: more windows, four queues, every byte checked')
      .option('--json <file>', 'write all results there, as JSON')
      .option('--report <file>', 'write one self-contained HTML page there')
      .addHelpText(
        'after',
        '\nBrings up L0 provider, L1 tenant and L2 guest, measures every path at line rate,\n' +
          'with real TCP and with disks, and takes everything down. Outside its namespaces it\n' +
          'touches files in the build folder for a while, at most half of what is free there.',
      )
      .action(async (options: Options, self: Command) => {
        if (options.quick === true && options.full === true)
          self.error('error: --quick and --full exclude each other');
        await start(options, context);
      });
  },
};
