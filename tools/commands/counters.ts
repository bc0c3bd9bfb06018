// SPDX-License-Identifier: MIT
import { join } from 'node:path';
import { setTimeout as sleep } from 'node:timers/promises';
import type { Counters, CounterValues } from '../../lib/api/counters.js';
import { findStack } from '../../lib/stack/registry.js';
import { findDomain } from './exec.js';
import type { CommandContext, CommandModule } from '../command.js';

interface Options {
  readonly json?: boolean;
  readonly interval?: number;
  readonly all?: boolean;
}

interface Snapshot {
  readonly block: ReturnType<Counters['blocks']>[number];
  readonly values: CounterValues;
}

function snapshot(counters: Counters): Snapshot[] {
  return counters
    .blocks()
    .filter((block) => block.kind !== 'latency')
    .map((block) => ({ block, values: counters.read(block.index) }));
}

function text({ block, values }: Snapshot, all: boolean): string[] {
  const relay = block.mode === 'none' ? '' : ` ${block.mode}`;
  const confined = block.confined === undefined ? '' : block.confined ? ' confined' : ' unconfined';
  const head =
    `${block.kind} ${block.devid} queue ${block.queue}${relay}${confined}, ` +
    `grants ${block.grants}, ${block.state}, peer ${block.peer}`;
  const lines = Object.entries(values)
    .filter(([, value]) => all || value !== 0)
    .map(([name, value]) => `  ${name.padEnd(24)} ${value}`);
  return [head, ...lines];
}

/** Rates a second of every counter that moved. */
function rates(before: readonly Snapshot[], after: readonly Snapshot[], seconds: number): string[] {
  const lines: string[] = [];
  for (const { block, values } of after) {
    const old = before.find((candidate) => candidate.block.index === block.index)?.values;
    if (old === undefined) continue;
    const moved = Object.entries(values)
      .map(([name, value]) => [name, value - old[name as keyof CounterValues]] as const)
      .filter(([, change]) => change !== 0)
      .map(([name, change]) => `${name} ${Math.round(change / seconds)}/s`);
    lines.push(`${block.kind} ${block.devid}.${block.queue}: ${moved.join(', ') || 'idle'}`);
  }
  return lines;
}

async function follow(counters: Counters, seconds: number, context: CommandContext): Promise<void> {
  let before = snapshot(counters);
  let since = performance.now();
  while (!context.signal.aborted) {
    await sleep(seconds * 1000, undefined, { signal: context.signal }).catch(() => undefined);
    const after = snapshot(counters);
    const now = performance.now();
    rates(before, after, (now - since) / 1000).forEach((line) => context.print(line));
    [before, since] = [after, now];
  }
}

async function show(name: string, options: Options, context: CommandContext): Promise<void> {
  const { state, domain } = findDomain(name);
  const layer = domain.name === 'L1' ? 'H1' : domain.layer;
  const socket = join(findStack(state.name).directory, layer, 'admin.sock');
  const { Hypervisor } = await import('../../lib/api/hypervisor.js');
  await using hypervisor = await Hypervisor.connect(socket);
  const counters = await hypervisor.domain(domain.name, domain.inside).counters();
  if (options.interval !== undefined) return follow(counters, options.interval, context);
  const shots = snapshot(counters);
  if (options.json === true) context.print(JSON.stringify({ domain: domain.name, blocks: shots }));
  else shots.flatMap((s) => text(s, options.all === true)).forEach((line) => context.print(line));
}

function seconds(value: string): number {
  const number = Number(value);
  if (number >= 0.1 && number <= 3600) return number;
  throw new RangeError(`--interval is ${value}; use 0.1 to 3600 seconds`);
}

export const command: CommandModule = {
  define(command, context) {
    command
      .argument('<domain>', 'DOMAIN or STACK/DOMAIN')
      .option('--all', 'also counters at zero')
      .option('--interval <seconds>', 'print rates again and again', seconds)
      .option('--json', 'print header and counters of each block as JSON')
      .action((name: string, options: Options) => show(name, options, context));
  },
};
