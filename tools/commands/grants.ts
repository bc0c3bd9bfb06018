// SPDX-License-Identifier: MIT
import type { GrantInfo } from '../../lib/hypervisor/inspect.js';
import { listCommand } from '../layerrows.js';

/** By NF_PURPOSE_* of nf/layer.h. */
const PURPOSES: Readonly<Record<number, string>> = {
  1: 'tx-ring',
  2: 'rx-ring',
  3: 'control',
  4: 'tx-payload',
  5: 'rx-payload',
  8: 'blk-ring',
  9: 'blk-payload',
  10: 'blk-lists',
  11: 'blk-table',
  15: 'other',
};

interface Row extends GrantInfo {
  readonly stack: string;
  readonly layer: string;
  readonly from: string;
  readonly to: string;
  readonly use: string;
}

function numbers(grefs: GrantInfo['grefs']): string {
  const shown = grefs
    .slice(0, 4)
    .map(([first, count]) => (count === 1 ? `${first}` : `${first}-${first + count - 1}`));
  return shown.join(',') + (grefs.length > 4 ? ',…' : '');
}

function cells(row: Row): string[] {
  const notes = [row.donated ? 'of the outer layer' : '', row.quarantined ? 'quarantined' : ''];
  return [
    row.stack,
    row.layer,
    row.from,
    row.to,
    `${row.device}.${row.queue}`,
    row.use,
    row.access,
    String(row.pages),
    String(row.mapped),
    numbers(row.grefs),
    notes.filter(Boolean).join(', '),
  ];
}

export const command = listCommand({
  name: 'grants',
  summary: 'what domains of running stacks have granted each other',
  only: 'granted by or to DOMAIN or STACK/DOMAIN only',
  read: async (hypervisor, { stack, layer, nameOf, domid }) =>
    (await hypervisor.listGrants())
      .filter((g) => domid === undefined || g.granter === domid || g.grantee === domid)
      .map((g): Row => {
        const use = PURPOSES[g.purpose] ?? String(g.purpose);
        return { stack, layer, from: nameOf(g.granter), to: nameOf(g.grantee), use, ...g };
      }),
  heading: [
    ...['stack', 'on', 'from', 'to', 'device', 'for', 'access', 'pages', 'mapped'],
    ...['grants', ''],
  ],
  cells,
  none: 'nothing is granted',
});
