// SPDX-License-Identifier: MIT
// nestfront disk list.
import { join } from 'node:path';
import { Hypervisor } from '../lib/api/hypervisor.js';
import { stateName } from '../lib/api/layout.js';
import { listStacks } from '../lib/stack/registry.js';
import type { LinkRecord, StackEntry } from '../lib/stack/registry.js';
import type { StoreClient } from '../lib/store/client.js';
import { table } from './command.js';
import type { CommandContext } from './command.js';

interface Row {
  readonly stack: string;
  readonly link: LinkRecord;
  readonly frontState: string;
  readonly backState: string;
  readonly bytes: number | undefined;
  readonly error: string | undefined;
}

const frontOf = (l: LinkRecord): string => `/local/domain/${l.front.domid}/device/vbd/${l.devid}`;
const backOf = (l: LinkRecord): string =>
  `/local/domain/${l.back.domid}/backend/vbd/${l.front.domid}/${l.devid}`;

async function row(stack: string, link: LinkRecord, store: StoreClient): Promise<Row> {
  const state = async (path: string): Promise<string> => {
    const text = await store.readIfThere(`${path}/state`);
    return text === undefined ? 'gone' : stateName(Number(text));
  };
  const sectors = await store.readIfThere(`${backOf(link)}/sectors`);
  const error = await store.readIfThere(`${frontOf(link)}/error`);
  return {
    stack,
    link,
    frontState: await state(frontOf(link)),
    backState: await state(backOf(link)),
    bytes: sectors === undefined ? undefined : Number(sectors) * 512,
    error: error ?? (await store.readIfThere(`${backOf(link)}/error`)),
  };
}

async function rowsOf(entry: StackEntry): Promise<Row[]> {
  const rows: Row[] = [];
  for (const layer of ['H0', 'H1'] as const) {
    const links = (entry.state?.links ?? []).filter((l) => l.layer === layer && l.kind === 'disk');
    if (links.length === 0) continue;
    await using hypervisor = await Hypervisor.connect(join(entry.directory, layer, 'admin.sock'));
    const store = await hypervisor.store();
    for (const link of links) rows.push(await row(entry.name, link, store));
  }
  return rows;
}

/** Prints the disks of running stacks. */
export async function list(
  name: string | undefined,
  json: boolean,
  context: CommandContext,
): Promise<void> {
  const entries = listStacks().filter((e) => !e.stale && (name === undefined || e.name === name));
  const rows = (await Promise.all(entries.map(rowsOf))).flat();
  if (json) return context.print(JSON.stringify({ disks: rows }));
  if (rows.length === 0) return context.print('no disk is attached');
  const heading = ['stack', 'disk', 'path', 'on', 'front', 'state', 'back', 'state', 'MiB'];
  const cells = rows.map(({ stack, link, frontState, backState, bytes, error }) => [
    stack,
    link.device,
    link.path,
    link.layer,
    `${link.front.domain}/${link.devid}`,
    frontState,
    link.back.domain,
    backState,
    bytes === undefined ? '' : (bytes / (1 << 20)).toFixed(0),
    link.socket ?? '',
    error ?? '',
  ]);
  table([[...heading, 'socket', 'error'], ...cells]).forEach((line) => context.print(line));
}
