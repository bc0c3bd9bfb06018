// SPDX-License-Identifier: MIT
// nestfront disk list.
import { table } from './command.js';
import type { CommandContext } from './command.js';
import { backOf, linkCells, linkRows } from './linkrows.js';

/** Prints the disks of running stacks. */
export async function list(
  name: string | undefined,
  json: boolean,
  context: CommandContext,
): Promise<void> {
  const rows = await linkRows('disk', name, async (link, store) => {
    const sectors = await store.readIfThere(`${backOf('disk', link)}/sectors`);
    return { bytes: sectors === undefined ? undefined : Number(sectors) * 512 };
  });
  if (json) return context.print(JSON.stringify({ disks: rows }));
  if (rows.length === 0) return context.print('no disk is attached');
  const heading = ['stack', 'disk', 'path', 'on', 'front', 'state', 'back', 'state', 'MiB'];
  const cells = rows.map((row) => [
    ...linkCells(row),
    row.bytes === undefined ? '' : (row.bytes / (1 << 20)).toFixed(0),
    row.link.socket ?? '',
    row.error ?? '',
  ]);
  table([[...heading, 'socket', 'error'], ...cells]).forEach((line) => context.print(line));
}
