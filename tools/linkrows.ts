// SPDX-License-Identifier: MIT
// What `net list` and `disk list` have in common: the links of running stacks, with both ends'
// states as the store of their layer has them.
import { join } from 'node:path';
import { stateName } from '../lib/api/layout.js';
import { listStacks } from '../lib/stack/registry.js';
import type { LinkRecord, StackEntry } from '../lib/stack/registry.js';
import type { StoreClient } from '../lib/store/client.js';

/** One link of a stack. */
export interface LinkRow {
  readonly stack: string;
  readonly link: LinkRecord;
  readonly frontState: string;
  readonly backState: string;
  /** Of the front, else of the back. */
  readonly error: string | undefined;
}

const TYPES = { net: 'vif', disk: 'vbd' } as const;
type Kind = keyof typeof TYPES;

export const frontOf = (kind: Kind, l: LinkRecord): string =>
  `/local/domain/${l.front.domid}/device/${TYPES[kind]}/${l.devid}`;
export const backOf = (kind: Kind, l: LinkRecord): string =>
  `/local/domain/${l.back.domid}/backend/${TYPES[kind]}/${l.front.domid}/${l.devid}`;

async function rowOf(
  kind: Kind,
  stack: string,
  link: LinkRecord,
  store: StoreClient,
): Promise<LinkRow> {
  const [front, back] = [frontOf(kind, link), backOf(kind, link)];
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
    error: error ?? (await store.readIfThere(`${back}/error`)),
  };
}

/** The rows of one stack; `more` reads what only this kind of device has. */
async function rowsOf<T>(
  kind: Kind,
  entry: StackEntry,
  more: (link: LinkRecord, store: StoreClient) => Promise<T>,
): Promise<(LinkRow & T)[]> {
  const { Hypervisor } = await import('../lib/api/hypervisor.js');
  const rows: (LinkRow & T)[] = [];
  for (const layer of ['H0', 'H1'] as const) {
    const links = (entry.state?.links ?? []).filter(
      (l) => l.layer === layer && (l.kind ?? 'net') === kind,
    );
    if (links.length === 0) continue;
    await using hypervisor = await Hypervisor.connect(join(entry.directory, layer, 'admin.sock'));
    const store = await hypervisor.store();
    for (const link of links)
      rows.push({ ...(await rowOf(kind, entry.name, link, store)), ...(await more(link, store)) });
  }
  return rows;
}

/** The links of that kind of the running stacks, or of the one of that name. */
export async function linkRows<T>(
  kind: Kind,
  name: string | undefined,
  more: (link: LinkRecord, store: StoreClient) => Promise<T>,
): Promise<(LinkRow & T)[]> {
  const entries = listStacks().filter((e) => !e.stale && (name === undefined || e.name === name));
  return (await Promise.all(entries.map((entry) => rowsOf(kind, entry, more)))).flat();
}

/** The cells both lists begin with. */
export const linkCells = ({ stack, link, frontState, backState }: LinkRow): string[] => [
  stack,
  link.device,
  link.path,
  link.layer,
  `${link.front.domain}/${link.devid}`,
  frontState,
  link.back.domain,
  backState,
];
