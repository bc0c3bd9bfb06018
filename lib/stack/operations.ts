// SPDX-License-Identifier: MIT
import type { GeneratorOrders } from '../api/control.js';
import type { StackDevice } from './devices.js';
import type { LineArgs, LineOperation } from './lineserver.js';
import type { StackMetadata } from './options.js';
import type { DeviceChange } from './roster.js';
import type { DeviceConfig } from './schema.js';
import type { Stack } from './stack.js';

/** A device of a running stack, as data. */
export interface DeviceInfo {
  readonly name: string;
  readonly path: string;
  readonly devid: number;
  readonly mac: string;
  readonly guest: string;
}

/** A running stack, as data. */
export interface StackStatus extends StackMetadata {
  readonly name: string;
  readonly domains: readonly { readonly name: string; readonly running: boolean }[];
  readonly devices: readonly DeviceInfo[];
}

export function deviceInfo({ name, path, devid, mac, front }: StackDevice): DeviceInfo {
  return { name, path, devid, mac, guest: front.name };
}

function text(args: LineArgs, key: string): string {
  const value = args[key];
  if (typeof value === 'string') return value;
  throw new TypeError(`"${key}" is ${JSON.stringify(value) ?? 'missing'}; give a string`);
}

function object(args: LineArgs, key: string): object {
  const value = args[key];
  if (typeof value === 'object' && value !== null && !Array.isArray(value)) return value;
  throw new TypeError(`"${key}" is ${JSON.stringify(value) ?? 'missing'}; give an object`);
}

/** Milliseconds an operation may take, when the request says so. */
function limit(args: LineArgs): { timeoutMs?: number } {
  const value = args['timeoutMs'];
  if (value === undefined) return {};
  if (typeof value === 'number' && value >= 1 && value <= 600_000) return { timeoutMs: value };
  throw new TypeError(`"timeoutMs" is ${JSON.stringify(value)}; use 1 to 600000`);
}

/** What a stack's control socket offers. Orders of generators are checked where they are given. */
export function operationsOf(
  stack: Stack,
  logs: () => readonly string[],
): Readonly<Record<string, LineOperation>> {
  return {
    status: (): StackStatus => ({
      name: stack.name,
      ...stack.metadata(),
      domains: stack.domains.map(({ name, running }) => ({ name, running })),
      devices: stack.devices.map(deviceInfo),
    }),
    config: () => stack.config,
    logs,
    attach: async (args, signal) =>
      deviceInfo(
        await stack.attach(object(args, 'device') as DeviceConfig, { signal, ...limit(args) }),
      ),
    detach: (args, signal) => stack.detach(text(args, 'name'), { signal, ...limit(args) }),
    set: async (args, signal) =>
      deviceInfo(
        await stack.set(text(args, 'name'), object(args, 'change') as DeviceChange, {
          signal,
          ...limit(args),
        }),
      ),
    restart: (args) => stack.restart(text(args, 'name')),
    order: (args) => {
      const device = stack.device(text(args, 'name'));
      const end = text(args, 'end');
      if (end !== 'front' && end !== 'back')
        throw new TypeError(`"end" is "${end}"; use front or back`);
      device[end].control.order(device.devid, object(args, 'orders') as GeneratorOrders);
      return device[end].control.orders(device.devid);
    },
  };
}
