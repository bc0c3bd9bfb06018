// SPDX-License-Identifier: MIT
import { gc } from '../../lib/stack/registry.js';
import type { CommandModule } from '../command.js';

export const command: CommandModule = {
  define(command, context) {
    command
      .option('--json', 'print what was removed as JSON')
      .action(async (options: { json?: boolean }) => {
        const removed = await gc();
        if (options.json === true) context.print(JSON.stringify({ removed }));
        else if (removed.length === 0) context.print('nothing was left behind');
        else removed.forEach((line) => context.print(`removed ${line}`));
      });
  },
};
