// SPDX-License-Identifier: MIT
import { listStacks } from '../../lib/stack/registry.js';
import type { LinkRecord, StackEntry, StackState } from '../../lib/stack/registry.js';
import { table } from '../command.js';
import type { CommandModule } from '../command.js';

function phaseOf(entry: StackEntry): string {
  return entry.stale ? 'dead (nestfront gc removes it)' : (entry.state?.phase ?? 'damaged');
}

function flat(entries: readonly StackEntry[]): string[] {
  const rows = entries.map((entry) => [
    entry.name,
    phaseOf(entry),
    String(entry.state?.owner.pid ?? ''),
    (entry.state?.domains ?? []).map((domain) => domain.name).join(' '),
    (entry.state?.config.devices ?? []).map((d) => `${d.name}:${d.path}`).join(' '),
  ]);
  return table([['stack', 'state', 'pid', 'domains', 'devices'], ...rows]);
}

function linkText(link: LinkRecord): string {
  return `${link.device} (${link.path}): ${link.front.domain} -> ${link.back.domain}`;
}

/** Hypervisors, their domains and the links between those, as they are nested. */
export function tree(entry: StackEntry): string[] {
  const lines = [`${entry.name}  ${phaseOf(entry)}`];
  const state: StackState | undefined = entry.state;
  if (state === undefined) return lines;
  for (const layer of ['H0', 'H1'] as const) {
    const process = state.processes.find((p) => p.role === layer);
    if (process === undefined) continue;
    const indent = layer === 'H0' ? '  ' : '      ';
    lines.push(`${indent}${layer}  pid ${process.pid}${layer === 'H1' ? ', inside L1' : ''}`);
    for (const domain of state.domains.filter((d) => d.layer === layer))
      lines.push(`${indent}  ${domain.name}  domid ${domain.domid}, pid ${domain.pids.join(', ')}`);
    for (const link of state.links.filter((l) => l.layer === layer))
      lines.push(`${indent}  ~ ${linkText(link)}`);
  }
  return lines;
}

export const command: CommandModule = {
  define(command, context) {
    command
      .option('--tree', 'show hypervisors, domains and links as they are nested')
      .option('--json', 'print the registry as JSON')
      .action((options: { json?: boolean; tree?: boolean }) => {
        const entries = listStacks();
        if (options.json === true)
          context.print(JSON.stringify({ stacks: entries.map((e) => ({ ...e, ...e.state })) }));
        else if (entries.length === 0) context.print('no stack is running');
        else {
          const lines = options.tree === true ? entries.flatMap(tree) : flat(entries);
          lines.forEach((line) => context.print(line));
        }
      });
  },
};
