// SPDX-License-Identifier: MIT
// Reading from the hypervisors of running stacks, by stack and layer.
import { join } from 'node:path';
import type { Hypervisor } from '../lib/api/hypervisor.js';
import { findStack, listStacks } from '../lib/stack/registry.js';
import type { StackEntry } from '../lib/stack/registry.js';
import { findDomain } from './commands/exec.js';
import { table } from './command.js';
import type { CommandContext, CommandModule } from './command.js';

export type LayerName = 'H0' | 'H1';

/** One layer of a running stack. */
interface Place {
  readonly stack: string;
  readonly layer: LayerName;
  /** Only what this domain has to do with. */
  readonly domid?: number;
  /** A domain's name by its domid there. */
  readonly nameOf: (domid: number) => string;
}

export function admin(entry: StackEntry, layer: LayerName): string {
  return join(entry.directory, layer, 'admin.sock');
}

function nameOf({ state }: StackEntry, layer: LayerName): Place['nameOf'] {
  return (domid) => {
    const own = state?.domains.find((d) => d.layer === layer && d.domid === domid);
    // L1 is 0 on the layer it makes
    return own?.name ?? (layer === 'H1' && domid === 0 ? 'L1' : String(domid));
  };
}

function placesOf(entry: StackEntry): Place[] {
  const roles = (entry.state?.processes ?? []).map(({ role }) => role);
  return (['H0', 'H1'] as const)
    .filter((layer) => roles.includes(layer))
    .map((layer) => ({ stack: entry.name, layer, nameOf: nameOf(entry, layer) }));
}

/** All layers of all running stacks, or those a domain is on: L1 is on both. */
function places(domain: string | undefined): Place[] {
  if (domain === undefined) return listStacks().flatMap((e) => (e.stale ? [] : placesOf(e)));
  const { state, domain: found } = findDomain(domain);
  return placesOf(findStack(state.name))
    .filter(({ layer }) => layer === found.layer || found.name === 'L1')
    .map((place) => ({
      ...place,
      domid: place.layer === found.layer ? found.domid : found.inside,
    }));
}

/** Reads from each of these layers. */
async function fromEach<T>(
  list: readonly Place[],
  read: (hypervisor: Hypervisor, place: Place) => Promise<T[]>,
): Promise<T[]> {
  const { Hypervisor: Connected } = await import('../lib/api/hypervisor.js');
  const rows: T[] = [];
  for (const place of list) {
    await using hypervisor = await Connected.connect(admin(findStack(place.stack), place.layer));
    rows.push(...(await read(hypervisor, place)));
  }
  return rows;
}

/** A `list [domain] [--json]` of what hypervisors have, a row each. */
export interface Listing<T> {
  /** Of the JSON's one field. */
  readonly name: string;
  readonly summary: string;
  /** What it means to name a domain. */
  readonly only: string;
  readonly read: (hypervisor: Hypervisor, place: Place) => Promise<T[]>;
  readonly heading: readonly string[];
  readonly cells: (row: T) => string[];
  /** Said where there is no row. */
  readonly none: string;
}

async function list<T>(
  listing: Listing<T>,
  domain: string | undefined,
  json: boolean,
  context: CommandContext,
): Promise<void> {
  const rows = await fromEach(places(domain), listing.read);
  if (json) return context.print(JSON.stringify({ [listing.name]: rows }));
  if (rows.length === 0) return context.print(listing.none);
  const lines = table([listing.heading, ...rows.map(listing.cells)]);
  lines.forEach((line) => context.print(line));
}

/** The command with this as its only subcommand. */
export function listCommand<T>(listing: Listing<T>): CommandModule {
  return {
    define(command, context) {
      command
        .command('list')
        .description(listing.summary)
        .argument('[domain]', listing.only)
        .option('--json', `print the ${listing.name} as JSON`)
        .action((domain: string | undefined, options: { json?: boolean }) =>
          list(listing, domain, options.json === true, context),
        );
    },
  };
}
