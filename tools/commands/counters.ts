// SPDX-License-Identifier: MIT
import { readFileSync, statSync } from 'node:fs';
import { isAbsolute, join } from 'node:path';
import { setTimeout as sleep } from 'node:timers/promises';
import type { Counters, CounterValues } from '../../lib/api/counters.js';
import { NestfrontError } from '../../lib/errors.js';
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

type Source = () => Snapshot[];

async function follow(source: Source, seconds: number, context: CommandContext): Promise<void> {
  let before = source();
  let since = performance.now();
  while (!context.signal.aborted) {
    await sleep(seconds * 1000, undefined, { signal: context.signal }).catch(() => undefined);
    const after = source();
    const now = performance.now();
    rates(before, after, (now - since) / 1000).forEach((line) => context.print(line));
    [before, since] = [after, now];
  }
}

/** What a nestfrontd keeps in its run directory, as on real Xen; read anew each time. */
async function readPage(path: string): Promise<Source> {
  const { Counters: Page } = await import('../../lib/api/counters.js');
  const isFolder = statSync(path, { throwIfNoEntry: false })?.isDirectory() === true;
  const file = isFolder ? join(path, 'counters') : path;
  return () => {
    try {
      const bytes = readFileSync(file);
      const memory = new SharedArrayBuffer(bytes.length);
      new Uint8Array(memory).set(bytes);
      return snapshot(new Page(memory));
    } catch (cause) {
      if (cause instanceof NestfrontError) throw cause;
      const code = (cause as NodeJS.ErrnoException).code === 'EACCES' ? 'NF_EACCES' : 'NF_ENOENT';
      const message = `${file} cannot be read: does a nestfrontd of that name run?`;
      throw new NestfrontError(code, 'counters', message, { cause });
    }
  };
}

async function print(
  subject: Record<string, string>,
  source: Source,
  options: Options,
  context: CommandContext,
): Promise<void> {
  if (options.interval !== undefined) return follow(source, options.interval, context);
  const shots = source();
  if (options.json === true) context.print(JSON.stringify({ ...subject, blocks: shots }));
  else shots.flatMap((s) => text(s, options.all === true)).forEach((line) => context.print(line));
}

async function show(name: string, options: Options, context: CommandContext): Promise<void> {
  if (isAbsolute(name)) return print({ file: name }, await readPage(name), options, context);
  const { state, domain } = findDomain(name);
  const layer = domain.name === 'L1' ? 'H1' : domain.layer;
  const socket = join(findStack(state.name).directory, layer, 'admin.sock');
  const { Hypervisor } = await import('../../lib/api/hypervisor.js');
  await using hypervisor = await Hypervisor.connect(socket);
  const counters = await hypervisor.domain(domain.name, domain.inside).counters();
  await print({ domain: domain.name }, () => snapshot(counters), options, context);
}

function seconds(value: string): number {
  const number = Number(value);
  if (number >= 0.1 && number <= 3600) return number;
  throw new RangeError(`--interval is ${value}; use 0.1 to 3600 seconds`);
}

export const command: CommandModule = {
  define(command, context) {
    command
      .argument(
        '<domain>',
        'DOMAIN or STACK/DOMAIN; or the run directory of a nestfrontd: /run/nestfront/NAME',
      )
      .option('--all', 'also counters at zero')
      .option('--interval <seconds>', 'print rates again and again', seconds)
      .option('--json', 'print header and counters of each block as JSON')
      .action((name: string, options: Options) => show(name, options, context));
  },
};
