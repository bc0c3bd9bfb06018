// SPDX-License-Identifier: MIT
import { existsSync } from 'node:fs';
import { signal, waitGone } from '../../lib/stack/processes.js';
import { findStack, listStacks, sweep } from '../../lib/stack/registry.js';
import type { CommandModule } from '../command.js';

const WAIT_MS = 30_000;

/** Asks a stack's toolstack to take it down and waits; one that does not is killed and swept. */
async function down(name: string, note: (line: string) => void): Promise<string[]> {
  const entry = findStack(name);
  const owner = entry.state!.owner;
  signal(owner, 'SIGTERM');
  if (await waitGone([owner], WAIT_MS)) {
    if (!existsSync(entry.directory)) return [];
  } else {
    note(`the toolstack of "${name}" (pid ${owner.pid}) does not answer; it is killed`);
    signal(owner, 'SIGKILL');
    await waitGone([owner], WAIT_MS);
  }
  const left = listStacks().find((candidate) => candidate.name === name);
  return left === undefined ? [] : sweep(left);
}

export const command: CommandModule = {
  define(command, context) {
    command
      .argument('<name>', 'of a running stack')
      .option('--json', 'print the answer as JSON')
      .action(async (name: string, options: { json?: boolean }) => {
        const swept = await down(name, context.note);
        if (options.json === true) context.print(JSON.stringify({ name, down: true, swept }));
        else context.print(`stack ${name} is down`);
      });
  },
};
