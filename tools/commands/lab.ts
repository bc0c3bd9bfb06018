// SPDX-License-Identifier: MIT
import { writeFileSync } from 'node:fs';

import { environment, finished } from '../../bench/lib/environment.js';
import { SCENARIOS } from '../lab/scenarios.js';
import { ORDER, runBench } from '../lab/bench.js';
import type { LabBench, PathName } from '../lab/bench.js';
import { labShell, runLab } from '../lab/run.js';
import type { Clock } from '../lab/groups/group.js';
import type { Environment } from '../../bench/lib/schema.js';
import { EXIT, table } from '../command.js';
import type { CommandContext, CommandModule } from '../command.js';

function writeJson(file: string, started: Environment, result: object): void {
  const all = { schemaVersion: 1, environment: finished(started), ...result };
  writeFileSync(file, JSON.stringify(all, null, 2));
}

function positive(text: string): number {
  const n = Number(text);
  if (!Number.isInteger(n) || n < 1) throw new RangeError(`a number from 1 on, not ${text}`);
  return n;
}

function clockName(text: string): Clock {
  if (text !== 'host' && text !== 'instructions')
    throw new RangeError(`no clock ${text}: there are host, instructions`);
  return text;
}

function pathNames(text: string): PathName[] {
  const names = text.split(',');
  const unknown = names.find((name) => !ORDER.some((known) => known === name));
  if (unknown !== undefined)
    throw new RangeError(`no path ${unknown}: there are ${ORDER.join(', ')}`);
  return ORDER.filter((name) => names.includes(name));
}

/** Medians, spread and ratios as a table. */
function benchTable({ results }: LabBench): string[] {
  const short = (n: number): string => (n >= 1e6 ? `${(n / 1e6).toFixed(1)}M` : n.toFixed(0));
  return table([
    [
      'bench',
      'front-back',
      'median',
      'min..max',
      'ratio',
      'low..high',
      'ev/pkt',
      'hc/pkt',
      'stolen',
    ],
    ...results.map((r) => {
      const rate = r.bitsPerSecond ?? r.packetsPerSecond ?? r.transactionsPerSecond;
      return [
        r.bench === 'pps' ? `pps ${r.direction ?? ''}` : r.bench,
        r.pair,
        rate ? short(rate.median) : '',
        rate ? `${short(rate.min)}..${short(rate.max)}` : '',
        r.ratio ? `${r.ratio.median.toFixed(2)} x ${r.ratio.to}` : '',
        r.ratio
          ? `${r.ratio.low.toFixed(2)}..${r.ratio.high.toFixed(2)}${r.noisy ? ' noisy' : ''}`
          : '',
        r.eventsPerPacket?.toFixed(3) ?? '',
        r.hypercallsPerPacket?.toFixed(3) ?? '',
        r.stolen?.median.toFixed(2) ?? '',
      ];
    }),
  ]);
}

interface BenchFlags {
  rounds: number;
  seconds: number;
  quick?: boolean;
  json?: string;
  paths: readonly PathName[];
  clock: Clock;
}

async function bench(o: BenchFlags, context: CommandContext): Promise<void> {
  const started = environment(['lab', 'bench']);
  const effort =
    o.quick === true ? { rounds: 2, window: 1 } : { rounds: o.rounds, window: o.seconds };
  const note = (line: string): void => context.note(line);
  const result = await runBench(
    { ...effort, paths: o.paths, clock: o.clock },
    note,
    context.signal,
  );
  benchTable(result).forEach((line) => context.print(line));
  result.faults.forEach((f) => context.print(`fault ${f}`));
  if (o.json !== undefined) writeJson(o.json, started, { ...result, skipped: [] });
  if (result.faults.length > 0) context.exitCode = EXIT.failed;
}

async function run(
  names: string[],
  o: { json?: string; allowSkip?: boolean },
  context: CommandContext,
): Promise<void> {
  const started = environment(['lab', 'run', ...names]);
  const result = await runLab(names, (l) => context.note(l), context.signal);
  for (const s of result.scenarios)
    context.print(
      `${s.status.padEnd(5)} ${s.name.padEnd(20)} ` +
        `${s.seconds.toFixed(0).padStart(4)} s  ${s.reason ?? ''}`,
    );
  result.faults.forEach((f) => context.print(`fault ${f}`));
  if (o.json !== undefined) writeJson(o.json, started, result);
  if (context.signal.aborted) return;
  const bad = result.scenarios.some(
    (s) => s.status === 'fail' || (s.status === 'skip' && o.allowSkip !== true),
  );
  if (bad || result.faults.length > 0) context.exitCode = EXIT.failed;
}

export const command: CommandModule = {
  define(command, context) {
    command
      .command('ls')
      .description('list the scenarios')
      .option('--json', 'as JSON')
      .action((options: { json?: boolean }) => {
        if (options.json === true) context.print(JSON.stringify({ scenarios: SCENARIOS }));
        else
          table([
            ['scenario', 'front', 'back', ''],
            ...SCENARIOS.map((s) => {
              const trial = s.trial === true ? ' (on trial: not in all)' : '';
              return [s.name, s.front, s.back, s.summary + trial];
            }),
          ]).forEach((line) => context.print(line));
      });
    command
      .command('shell')
      .description("one machine, dom0's prompt on this terminal; Ctrl-A X ends it")
      .action(() => labShell((l) => context.note(l), context.signal));
    command
      .command('bench')
      .description(`compare ${ORDER.join(', ')} in one boot, in turns`)
      .option('--rounds <n>', 'times each is measured', positive, 5)
      .option('--seconds <n>', 'of each measurement', positive, 3)
      .option('--quick', 'two rounds of a second')
      .option('--paths <names>', 'only these, with commas', pathNames, ORDER)
      .option('--clock <which>', 'host, or instructions: 4 ns each, on any host', clockName, 'host')
      .option('--json <file>', 'write the results as JSON')
      .action((o: BenchFlags) => bench(o, context));
    command
      .command('run')
      .description('boot real Xen under QEMU and run scenarios')
      .argument('<scenario...>', 'names, or all')
      .option('--json <file>', 'write the results as JSON')
      .option('--allow-skip', 'a skipped scenario is no failure')
      .action((names: string[], o: { json?: string; allowSkip?: boolean }) =>
        run(names, o, context),
      );
  },
};
