// SPDX-License-Identifier: MIT
import { readConfig } from '../../lib/stack/config.js';
import { planStack } from '../../lib/stack/plan.js';
import type { StackPlan } from '../../lib/stack/plan.js';
import { table } from '../command.js';
import type { CommandModule } from '../command.js';

function lines(plan: StackPlan): string[] {
  const { resources } = plan;
  const domains = plan.domains.map((d) => [
    d.name,
    d.layer,
    String(d.domid),
    d.role,
    d.cpu === undefined ? 'any' : String(d.cpu),
    d.tun ? '/dev/net/tun' : '',
  ]);
  const devices = plan.devices.map((d) => [
    d.name,
    d.path,
    `${d.guest}:${d.config.front.port}`,
    `L0:${d.config.back.port}`,
    String(d.config.queues),
    d.config.grants,
    d.mac,
  ]);
  const megabytes = ((resources.pages * 4096) / 2 ** 20).toFixed(1);
  return [
    `stack ${plan.name}, ${plan.nested ? 'nested' : 'one layer'}`,
    '',
    ...table([['domain', 'on', 'domid', 'role', 'cpu', 'needs'], ...domains]),
    '',
    ...table([['device', 'path', 'front', 'back', 'queues', 'grants', 'mac'], ...devices]),
    '',
    `processes    ${resources.processes}, hypervisors among them: ${resources.hypervisors}`,
    `pages        ${resources.pages} (${megabytes} MiB)`,
    `grants       ${resources.grefs.H0} on H0, ${resources.grefs.H1} on H1`,
    `descriptors  ${resources.descriptors}`,
    `cpus         ${resources.cpus.length === 0 ? 'any' : resources.cpus.join(', ')}`,
  ];
}

export const command: CommandModule = {
  define(command, context) {
    command
      .argument('<stack.json>', 'configuration')
      .option('--json', 'print the plan as JSON')
      .action((file: string, options: { json?: boolean }) => {
        const plan = planStack(readConfig(file));
        if (options.json === true) context.print(JSON.stringify(plan));
        else lines(plan).forEach((line) => context.print(line));
      });
  },
};
