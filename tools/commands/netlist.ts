// SPDX-License-Identifier: MIT
import { table } from '../command.js';
import type { CommandContext } from '../command.js';
import { frontOf, linkCells, linkRows } from '../linkrows.js';

/** `net list`: both ends of every device and their states. */
export async function list(
  name: string | undefined,
  json: boolean,
  context: CommandContext,
): Promise<void> {
  const rows = await linkRows('net', name, async (link, store) => ({
    mac: (await store.readIfThere(`${frontOf('net', link)}/mac`)) ?? '',
  }));
  if (json) return context.print(JSON.stringify({ devices: rows }));
  if (rows.length === 0) return context.print('no network device is attached');
  const cells = rows.map((row) => [...linkCells(row), row.mac, row.error ?? '']);
  const heading = ['stack', 'device', 'path', 'on', 'front', 'state', 'back', 'state'];
  table([[...heading, 'mac', 'error'], ...cells]).forEach((line) => context.print(line));
}
