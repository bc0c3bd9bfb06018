// SPDX-License-Identifier: MIT
import { writeFileSync } from 'node:fs';

import { environment, finished } from '../../bench/lib/environment.js';
import { SCENARIOS } from '../lab/scenarios.js';
import { labShell, runLab } from '../lab/run.js';
import { EXIT, table } from '../command.js';
import type { CommandModule } from '../command.js';

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
            ...SCENARIOS.map((s) => [s.name, s.front, s.back, s.summary]),
          ]).forEach((line) => context.print(line));
      });
    command
      .command('shell')
      .description("one machine, dom0's prompt on this terminal; Ctrl-A X ends it")
      .action(() => labShell((l) => context.note(l), context.signal));
    command
      .command('run')
      .description('boot real Xen under QEMU and run scenarios')
      .argument('<scenario...>', 'names, or all')
      .option('--json <file>', 'write the results as JSON')
      .option('--allow-skip', 'a skipped scenario is no failure')
      .action(async (names: string[], options: { json?: string; allowSkip?: boolean }) => {
        const started = environment(['lab', 'run', ...names]);
        const result = await runLab(names, (l) => context.note(l), context.signal);
        for (const s of result.scenarios)
          context.print(
            `${s.status.padEnd(5)} ${s.name.padEnd(20)} ` +
              `${s.seconds.toFixed(0).padStart(4)} s  ${s.reason ?? ''}`,
          );
        result.faults.forEach((f) => context.print(`fault ${f}`));
        if (options.json !== undefined)
          writeFileSync(
            options.json,
            JSON.stringify(
              { schemaVersion: 1, environment: finished(started), ...result },
              null,
              2,
            ),
          );
        if (context.signal.aborted) return;
        const bad = result.scenarios.some(
          (s) => s.status === 'fail' || (s.status === 'skip' && options.allowSkip !== true),
        );
        if (bad || result.faults.length > 0) context.exitCode = EXIT.failed;
      });
  },
};
