// SPDX-License-Identifier: MIT
import { listCommand } from '../layerrows.js';

export const command = listCommand({
  name: 'channels',
  summary: 'ports of domains of running stacks',
  only: 'of or to DOMAIN or STACK/DOMAIN only',
  read: async (hypervisor, { stack, layer, nameOf, domid }) =>
    (await hypervisor.listPorts())
      .filter((p) => domid === undefined || p.domid === domid || p.peer === domid)
      .map((p) => ({ stack, layer, domain: nameOf(p.domid), to: nameOf(p.peer), ...p })),
  heading: ['stack', 'on', 'domain', 'port', 'to', 'state'],
  cells: (r) => [r.stack, r.layer, r.domain, String(r.port), r.to, r.state],
  none: 'there is no event channel',
});
