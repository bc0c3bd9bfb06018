// SPDX-License-Identifier: MIT
import type { Command } from 'commander';
import { findStack } from '../../lib/stack/registry.js';
import type { StoreClient } from '../../lib/store/client.js';
import { NestfrontError } from '../../lib/errors.js';
import type { CommandContext, CommandModule } from '../command.js';
import { admin } from '../layerrows.js';

interface Options {
  readonly layer: string;
  readonly json?: boolean;
  readonly count?: string;
}

interface Node {
  readonly path: string;
  readonly value: string;
}

/** What a command does with the store of one layer; a line or a JSON value each. */
type Use = (store: StoreClient, tell: (line: string, data: object) => void) => Promise<void>;

async function withStore(
  stack: string,
  options: Options,
  context: CommandContext,
  use: Use,
): Promise<void> {
  const { layer } = options;
  if (layer !== 'H0' && layer !== 'H1')
    throw new RangeError(`--layer is ${layer}; use H0 or H1, of a nested stack`);
  const entry = findStack(stack);
  if (!entry.state?.processes.some(({ role }) => role === layer))
    throw new NestfrontError('NF_ENOENT', 'store', `stack "${stack}" has no layer ${layer}`);
  const { Hypervisor } = await import('../../lib/api/hypervisor.js');
  await using hypervisor = await Hypervisor.connect(admin(entry, layer));
  const print = (line: string, data: object): void =>
    context.print(options.json === true ? JSON.stringify(data) : line);
  await use(await hypervisor.store(), print); // before it closes
}

function absolute(path: string): string {
  if (path.startsWith('/') || path.startsWith('@')) return path;
  throw new RangeError(
    `the path is "${path}"; give it from the root, e.g. /local/domain/1/${path}`,
  );
}

/** A node and all below it; those that go meanwhile are left out. */
async function nodesOf(store: StoreClient, path: string, found: Node[]): Promise<void> {
  const value = await store.readIfThere(path);
  if (value === undefined) return;
  found.push({ path, value });
  const names = await store.directory(path).catch((error: unknown) => {
    if ((error as { code?: string }).code === 'NF_ENOENT') return [];
    throw error;
  });
  for (const name of names.sort())
    await nodesOf(store, `${path === '/' ? '' : path}/${name}`, found);
}

const list =
  (path: string, json: boolean): Use =>
  async (store, tell) => {
    const nodes: Node[] = [];
    await store.read(path); // an error when it is not there
    await nodesOf(store, path, nodes);
    if (json) return tell('', { nodes });
    for (const node of nodes) tell(`${node.path} = ${JSON.stringify(node.value)}`, node);
  };

const watch =
  (path: string, count: number, signal: AbortSignal): Use =>
  async (store, tell) => {
    let left = count;
    try {
      for await (const changed of store.watch(path, { signal })) {
        tell(changed, { path: changed });
        if (--left === 0) return;
      }
    } catch (error) {
      if (!signal.aborted) throw error;
    }
  };

function verb(parent: Command, name: string, description: string): Command {
  return parent
    .command(name)
    .description(description)
    .argument('<stack>')
    .option('--layer <layer>', 'H0, the outer store, or H1, the inner one', 'H0')
    .option('--json', 'print the answer as JSON');
}

function number(text: string | undefined): number {
  const value = Number(text ?? Infinity);
  if (value >= 1) return value;
  throw new RangeError(`--count is ${text}; use 1 or more`);
}

export const command: CommandModule = {
  define(command, context) {
    verb(command, 'ls', 'nodes with their values')
      .argument('[path]', 'a node and all below', '/')
      .action((stack: string, path: string, o: Options) =>
        withStore(stack, o, context, list(absolute(path), o.json === true)),
      );
    verb(command, 'read', "a node's value")
      .argument('<path>')
      .action((stack: string, path: string, o: Options) =>
        withStore(stack, o, context, async (store, tell) => {
          const value = await store.read(absolute(path));
          tell(value, { path, value });
        }),
      );
    verb(command, 'write', 'sets a value; makes what is missing above')
      .argument('<path>')
      .argument('<value>')
      .action((stack: string, path: string, value: string, o: Options) =>
        withStore(stack, o, context, async (store, tell) => {
          await store.write(absolute(path), value);
          tell(`${path} = ${JSON.stringify(value)}`, { path, value });
        }),
      );
    verb(command, 'rm', 'removes a node and all below; drivers take that for the end of a device')
      .argument('<path>')
      .action((stack: string, path: string, o: Options) =>
        withStore(stack, o, context, async (store, tell) => {
          await store.read(absolute(path)); // the protocol forgives what is not there
          await store.rm(path);
          tell(`${path} is gone`, { path, removed: true });
        }),
      );
    verb(command, 'watch', 'paths that change at or below a node, the first at once')
      .argument('<path>')
      .option('--count <n>', 'end after so many')
      .action((stack: string, path: string, o: Options) =>
        withStore(stack, o, context, watch(absolute(path), number(o.count), context.signal)),
      );
  },
};
