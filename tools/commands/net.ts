// SPDX-License-Identifier: MIT
import type { Command } from 'commander';
import type { GeneratorOrders } from '../../lib/api/control.js';
import type { DeviceChange } from '../../lib/stack/roster.js';
import type { DeviceConfig } from '../../lib/stack/schema.js';
import { RemoteStack } from '../../lib/stack/remote.js';
import type { CommandContext, CommandModule } from '../command.js';
import { list } from './netlist.js';

/** Flags as the user gave them; the stack checks the values, it owns the schema. */
interface DeviceFlags {
  readonly path?: string;
  readonly guest?: string;
  readonly front?: string;
  readonly back?: string;
  readonly queues?: string;
  readonly grants?: string;
  readonly mac?: string;
  readonly mtu?: string;
  readonly trustInner?: boolean;
  readonly json?: boolean;
}

interface SetFlags extends DeviceFlags {
  readonly end?: string;
  readonly mode?: string;
  readonly frame?: string;
  readonly batch?: string;
  readonly verify?: string;
  readonly limit?: string;
}

/** A number if it reads as one, else the text, which the stack then refuses by its key. */
function value(text: string): number | string {
  return /^\d+$/.test(text) ? Number(text) : text;
}

/** What a device is to be, of the flags that were given. */
function deviceOf(flags: DeviceFlags): Record<string, unknown> {
  const device: Record<string, unknown> = {};
  for (const key of ['path', 'guest', 'grants', 'mac', 'trustInner'] as const)
    if (flags[key] !== undefined) device[key] = flags[key];
  for (const key of ['queues', 'mtu'] as const)
    if (flags[key] !== undefined) device[key] = value(flags[key]);
  for (const end of ['front', 'back'] as const)
    if (flags[end] !== undefined) device[end] = { port: flags[end] };
  return device;
}

const ORDERS = {
  mode: 'mode',
  frame: 'frameBytes',
  batch: 'batch',
  verify: 'verifyEvery',
  limit: 'limit',
} as const;

function ordersOf(flags: SetFlags): Record<string, unknown> {
  const orders: Record<string, unknown> = {};
  for (const [flag, key] of Object.entries(ORDERS) as [keyof typeof ORDERS, string][]) {
    const text = flags[flag];
    if (text !== undefined) orders[key] = value(text);
  }
  return orders;
}

function deviceFlags(command: Command): Command {
  return command
    .option('--front <port>', "port at the guest's end: gen, null, tap:NAME")
    .option('--back <port>', "port at the provider's end")
    .option('--queues <n>', '1 to 8')
    .option('--grants <kind>', 'static or copy')
    .option('--mac <address>', "of the guest's end")
    .option('--mtu <bytes>', '68 to 65521')
    .option('--trust-inner', 'direct may run unconfined')
    .option('--json', 'print the device as JSON');
}

async function attach(
  stack: string,
  name: string,
  flags: DeviceFlags,
  context: CommandContext,
): Promise<void> {
  await using remote = await RemoteStack.connect(stack);
  const device = { path: 'translate', ...deviceOf(flags), name } as DeviceConfig;
  const info = await remote.attach(device, { signal: context.signal });
  if (flags.json === true) context.print(JSON.stringify(info));
  else
    context.print(
      `${info.name} (${info.path}) is attached to ${stack}/${info.guest}, ` +
        `devid ${info.devid}, ${info.mac}`,
    );
}

async function detach(
  stack: string,
  name: string,
  json: boolean,
  context: CommandContext,
): Promise<void> {
  await using remote = await RemoteStack.connect(stack);
  await remote.detach(name, { signal: context.signal });
  if (json) context.print(JSON.stringify({ stack, name, detached: true }));
  else context.print(`${name} is detached from ${stack}`);
}

async function set(
  stack: string,
  name: string,
  flags: SetFlags,
  context: CommandContext,
): Promise<void> {
  const change = deviceOf(flags);
  const orders = ordersOf(flags);
  const [changes, ordered] = [Object.keys(change).length > 0, Object.keys(orders).length > 0];
  if (!changes && !ordered)
    throw new TypeError('nothing to set; --help says what can be, e.g. --mtu 9000');
  const { signal } = context;
  await using remote = await RemoteStack.connect(stack);
  const device = changes ? await remote.set(name, change as DeviceChange, { signal }) : undefined;
  const end = (flags.end ?? 'front') as 'front' | 'back';
  const inForce = ordered
    ? await remote.order(name, end, orders as GeneratorOrders, { signal })
    : undefined;
  if (flags.json === true)
    return context.print(JSON.stringify({ stack, name, device, end, orders: inForce }));
  if (device !== undefined) context.print(`${name} is connected again as ${device.path}`);
  if (inForce !== undefined)
    context.print(`${name}, generator at the ${end}: ${JSON.stringify(inForce)}`);
}

export const command: CommandModule = {
  define(command, context) {
    command
      .command('list')
      .description('devices of running stacks, both ends and their states')
      .argument('[stack]', 'of this stack only')
      .option('--json', 'print the devices as JSON')
      .action((name: string | undefined, options: { json?: boolean }) =>
        list(name, options.json === true, context),
      );
    const attaching = command
      .command('attach')
      .description('attach one more device to a running stack')
      .argument('<stack>')
      .argument('<device>', 'its name, new in the stack')
      .option('--path <path>', 'single, copy, translate or direct', 'translate')
      .option('--guest <name>', 'its domain, started if there is none of that name');
    deviceFlags(attaching).action((stack: string, name: string, flags: DeviceFlags) =>
      attach(stack, name, flags, context),
    );
    command
      .command('detach')
      .description('detach one device of a running stack')
      .argument('<stack>')
      .argument('<device>')
      .option('--json', 'print the answer as JSON')
      .action((stack: string, name: string, options: { json?: boolean }) =>
        detach(stack, name, options.json === true, context),
      );
    const setting = command
      .command('set')
      .description('change a device (it reconnects), or give its generator orders (it does not)')
      .argument('<stack>')
      .argument('<device>')
      .option('--mode <mode>', 'of the generator: idle, send, echo or ping')
      .option('--frame <bytes>', 'of the generator: frame length without FCS')
      .option('--batch <n>', 'of the generator: frames at a time')
      .option('--verify <n>', 'of the sink: check every byte of one frame in so many')
      .option('--limit <n>', 'of the generator: stop after so many frames')
      .option('--end <end>', 'whose generator: front or back', 'front');
    deviceFlags(setting).action((stack: string, name: string, flags: SetFlags) =>
      set(stack, name, flags, context),
    );
  },
};
