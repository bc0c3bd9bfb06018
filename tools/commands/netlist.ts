// SPDX-License-Identifier: MIT
import { join } from 'node:path';
import type { Hypervisor } from '../../lib/api/hypervisor.js';
import { stateName } from '../../lib/api/layout.js';
import { listStacks } from '../../lib/stack/registry.js';
import type { LinkRecord, StackEntry } from '../../lib/stack/registry.js';
import { table } from '../command.js';
import type { CommandContext } from '../command.js';

interface Row {
  readonly stack: string;
  readonly link: LinkRecord;
  readonly frontState: string;
  readonly backState: string;
  readonly mac: string;
  readonly error: string | undefined;
}

async function row(stack: string, link: LinkRecord, hypervisor: Hypervisor): Promise<Row> {
  const store = await hypervisor.store();
  const front = `/local/domain/${link.front.domid}/device/vif/${link.devid}`;
  const back = `/local/domain/${link.back.domid}/backend/vif/${link.front.domid}/${link.devid}`;
  const state = async (path: string): Promise<string> => {
    const text = await store.readIfThere(`${path}/state`);
    return text === undefined ? 'gone' : stateName(Number(text));
  };
  const error = await store.readIfThere(`${front}/error`);
  return {
    stack,
    link,
    frontState: await state(front),
    backState: await state(back),
    mac: (await store.readIfThere(`${front}/mac`)) ?? '',
    error: error ?? (await store.readIfThere(`${back}/error`)),
  };
}

async function rowsOf(entry: StackEntry): Promise<Row[]> {
  const { Hypervisor: Connected } = await import('../../lib/api/hypervisor.js');
  const rows: Row[] = [];
  for (const layer of ['H0', 'H1'] as const) {
    const links = (entry.state?.links ?? []).filter((link) => link.layer === layer);
    if (links.length === 0) continue;
    await using hypervisor = await Connected.connect(join(entry.directory, layer, 'admin.sock'));
    for (const link of links) rows.push(await row(entry.name, link, hypervisor));
  }
  return rows;
}

/** `net list`: both ends of every device and their states. */
export async function list(
  name: string | undefined,
  json: boolean,
  context: CommandContext,
): Promise<void> {
  const entries = listStacks().filter((e) => !e.stale && (name === undefined || e.name === name));
  const rows = (await Promise.all(entries.map(rowsOf))).flat();
  if (json) return context.print(JSON.stringify({ devices: rows }));
  if (rows.length === 0) return context.print('no network device is attached');
  const cells = rows.map(({ stack, link, frontState, backState, mac, error }) => [
    stack,
    link.device,
    link.path,
    link.layer,
    `${link.front.domain}/${link.devid}`,
    frontState,
    link.back.domain,
    backState,
    mac,
    error ?? '',
  ]);
  const heading = [
    'stack',
    'device',
    'path',
    'on',
    'front',
    'state',
    'back',
    'state',
    'mac',
    'error',
  ];
  table([heading, ...cells]).forEach((line) => context.print(line));
}
