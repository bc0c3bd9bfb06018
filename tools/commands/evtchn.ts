// SPDX-License-Identifier: MIT
import { table } from '../command.js';
import type { CommandContext, CommandModule } from '../command.js';
import { fromEach, places } from '../layerrows.js';

async function list(
  domain: string | undefined,
  json: boolean,
  context: CommandContext,
): Promise<void> {
  const rows = await fromEach(places(domain), async (hypervisor, { stack, layer, nameOf, domid }) =>
    (await hypervisor.listPorts())
      .filter((p) => domid === undefined || p.domid === domid || p.peer === domid)
      .map((p) => ({ stack, layer, domain: nameOf(p.domid), to: nameOf(p.peer), ...p })),
  );
  if (json) return context.print(JSON.stringify({ channels: rows }));
  if (rows.length === 0) return context.print('there is no event channel');
  const cells = rows.map((r) => [r.stack, r.layer, r.domain, String(r.port), r.to, r.state]);
  const heading = ['stack', 'on', 'domain', 'port', 'to', 'state'];
  table([heading, ...cells]).forEach((line) => context.print(line));
}

export const command: CommandModule = {
  define(command, context) {
    command
      .command('list')
      .description('ports of domains of running stacks')
      .argument('[domain]', 'of or to DOMAIN or STACK/DOMAIN only')
      .option('--json', 'print the ports as JSON')
      .action((domain: string | undefined, options: { json?: boolean }) =>
        list(domain, options.json === true, context),
      );
  },
};
