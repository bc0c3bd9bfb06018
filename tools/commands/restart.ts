// SPDX-License-Identifier: MIT
import { RemoteStack } from '../../lib/stack/remote.js';
import type { CommandModule } from '../command.js';

export const command: CommandModule = {
  define(command, context) {
    command
      .argument('<stack>')
      .argument('<name>', 'L0, L1 or a guest: its driver; H0 or H1: the hypervisor')
      .option('--json', 'print the new pid as JSON')
      .action(async (stack: string, name: string, options: { json?: boolean }) => {
        await using remote = await RemoteStack.connect(stack);
        await remote.restart(name, { signal: context.signal });
        const { pids, hypervisors } = await remote.status({ signal: context.signal });
        const pid = { ...pids, ...hypervisors }[name];
        if (options.json === true) context.print(JSON.stringify({ stack, name, pid }));
        else context.print(`${name} of ${stack} was started again, pid ${pid}`);
      });
  },
};
