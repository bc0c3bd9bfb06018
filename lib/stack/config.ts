// SPDX-License-Identifier: MIT
import { readFileSync } from 'node:fs';
import { z } from 'zod';
import { NestfrontError, toNestfrontError } from '../errors.js';
import { stackSchema } from './schema.js';
import type { CheckedDevice, CheckedDisk, CheckedStackConfig } from './schema.js';

type Issue = z.core.$ZodIssue;

/** Names a guest cannot have: they are the stack's own domains and hypervisors. */
const RESERVED = new Set(['L0', 'L1', 'H0', 'H1']);

/** `devices[0].front.port`, as one would write it in JavaScript. */
function where(path: readonly PropertyKey[]): string {
  const text = path
    .map((part) => (typeof part === 'number' ? `[${part}]` : `.${String(part)}`))
    .join('')
    .replace(/^\./, '');
  return text === '' ? 'the configuration' : text;
}

function valueAt(input: unknown, path: readonly PropertyKey[]): unknown {
  let value = input;
  for (const part of path) {
    if (typeof value !== 'object' || value === null) return undefined;
    value = (value as Record<PropertyKey, unknown>)[part];
  }
  return value;
}

function show(value: unknown): string {
  if (value === undefined) return 'nothing';
  const text = JSON.stringify(value) ?? String(value);
  return text.length > 60 ? `${text.slice(0, 57)}...` : text;
}

/** Keys the schema knows at a path, for the hint of an unknown one. */
function knownKeys(path: readonly PropertyKey[]): string[] {
  let node = z.toJSONSchema(stackSchema, { io: 'input' }) as Record<string, unknown> | undefined;
  for (const part of path) {
    const next = typeof part === 'number' ? node?.['items'] : node?.['properties'];
    node = (typeof part === 'number' ? next : (next as Record<string, unknown>)?.[String(part)]) as
      | Record<string, unknown>
      | undefined;
  }
  return Object.keys((node?.['properties'] as object | undefined) ?? {});
}

function unknownKeys(key: string, keys: readonly string[], known: readonly string[]): string {
  const named = keys.map((name) => JSON.stringify(name)).join(', ');
  return `${key} has no key ${named}; it takes ${known.join(', ')}`;
}

function entries(issue: { readonly origin: string }): string {
  return issue.origin === 'array' ? ' entries' : '';
}

/** One sentence: the key, the value, the fix. */
function sentence(issue: Issue, input: unknown): string {
  const key = where(issue.path);
  const value = show(valueAt(input, issue.path));
  switch (issue.code) {
    case 'unrecognized_keys':
      return unknownKeys(key, issue.keys, knownKeys(issue.path));
    case 'invalid_type':
      return value === 'nothing'
        ? `${key} is missing; give it a value of type ${issue.expected}`
        : `${key} is ${value}; it must be of type ${issue.expected}`;
    case 'invalid_value':
      return `${key} is ${value}; use one of ${issue.values.map(String).join(', ')}`;
    case 'too_small':
      return `${key} is ${value}; use at least ${issue.minimum}${entries(issue)}`;
    case 'too_big':
      return `${key} is ${value}; use at most ${issue.maximum}${entries(issue)}`;
    default:
      return `${key} is ${value}: ${issue.message}`;
  }
}

function refuse(sentences: readonly string[]): never {
  throw new NestfrontError('NF_ECONFIG', 'config', sentences.join('\n  '));
}

/** The guest domain of a device, by its default when none is named. */
export function guestOf(device: Pick<CheckedDevice | CheckedDisk, 'guest' | 'path'>): string {
  return device.guest ?? (device.path === 'single' ? 'guest' : 'L2');
}

function* deviceProblems(device: CheckedDevice, key: string): Generator<string> {
  if (RESERVED.has(guestOf(device)))
    yield `${key}.guest is "${guestOf(device)}", a domain of the stack itself; use another name`;
  if (device.path === 'direct' && device.grants === 'copy' && !device.trustInner)
    yield `${key}.path is "direct" and its grants "copy": an inner guest could name any page of ` +
      'L1; use grants "static", or trustInner true to run unconfined';
  if (device.path === 'mux' && device.queues !== 1)
    yield `${key}.queues is ${device.queues}; a device of path "mux" has 1`;
  for (const only of ['outer', 'rate', 'ip'] as const)
    if (device[only] !== undefined && device.path !== 'mux')
      yield `${key}.${only} means something for path "mux" only: leave it out`;
  if (device.trustInner && device.path !== 'direct')
    yield `${key}.trustInner is true; it means something for path "direct" only: leave it out`;
}

/** The outer device a muxed one shares. */
export function outerOf(device: Pick<CheckedDevice, 'outer'>): string {
  return device.outer ?? 'mux';
}

/** Devices on one outer device are one device there. */
function* sharedProblems(config: CheckedStackConfig): Generator<string> {
  const first = new Map<string, { readonly index: number; readonly device: CheckedDevice }>();
  for (const [index, device] of config.devices.entries()) {
    if (device.path !== 'mux') continue;
    const shared = first.get(outerOf(device));
    if (shared === undefined) {
      first.set(outerOf(device), { index, device });
      continue;
    }
    for (const [what, own, other] of [
      ['back.port', device.back.port, shared.device.back.port],
      ['mtu', device.mtu, shared.device.mtu],
      ['grants', device.grants, shared.device.grants],
    ])
      if (own !== other)
        yield `devices[${index}].${what} is ${JSON.stringify(own)}, but devices[${shared.index}] ` +
          `on the same outer device "${outerOf(device)}" has ${JSON.stringify(other)}; ` +
          'give both the same, or another outer';
  }
}

function* diskProblems(disk: CheckedDisk, key: string): Generator<string> {
  if (RESERVED.has(guestOf(disk)))
    yield `${key}.guest is "${guestOf(disk)}", a domain of the stack itself; use another name`;
  if (disk.path === 'direct' && disk.grants !== 'static' && !disk.trustInner)
    yield `${key}.path is "direct" and its grants "${disk.grants}": an inner guest could name ` +
      'any page of L1; use grants "static", or trustInner true to run unconfined';
  if (disk.trustInner && disk.path !== 'direct')
    yield `${key}.trustInner is true; it means something for path "direct" only: leave it out`;
}

/** Names used twice and guests on two layers, of devices and disks together. */
function* placeProblems(config: CheckedStackConfig): Generator<string> {
  const names = new Set<string>();
  const layers = new Map<string, string>();
  const keyed = (['devices', 'disks'] as const).flatMap((list) =>
    config[list].map((item, index) => ({ item, key: `${list}[${index}]` })),
  );
  for (const { item, key } of keyed) {
    if (names.has(item.name))
      yield `${key}.name is "${item.name}", which an earlier device has; names are unique`;
    names.add(item.name);
    const layer = item.path === 'single' ? 'the outer layer' : 'the inner layer';
    const guest = guestOf(item);
    if ((layers.get(guest) ?? layer) !== layer)
      yield `${key}.guest is "${guest}", which is on ${layers.get(guest)} already; ` +
        `use another guest for ${layer}`;
    layers.set(guest, layer);
  }
  if (keyed.length === 0) yield 'devices and disks are empty; give at least one device or disk';
}

/** Files and sockets that two disks would share. */
function* storageProblems(disks: readonly CheckedDisk[]): Generator<string> {
  const files = new Set<string>();
  for (const [index, { disk, user }] of disks.entries())
    for (const [key, spec] of [
      ['disk', disk],
      ['user', user],
    ] as const) {
      const path = /^(?:file|block|nbd):([^,]+)/.exec(spec)?.[1];
      if (path === undefined) continue;
      if (files.has(path))
        yield `disks[${index}].${key} is "${spec}", whose path another has; use one for each`;
      files.add(path);
    }
}

/** What no single key can tell: names used twice, guests on two layers, TAPs that collide. */
function* crossProblems(config: CheckedStackConfig): Generator<string> {
  const taps = new Set<string>();
  const outers = new Set<string>();
  yield* placeProblems(config);
  yield* sharedProblems(config);
  yield* storageProblems(config.disks);
  for (const [index, disk] of config.disks.entries()) yield* diskProblems(disk, `disks[${index}]`);
  for (const [index, device] of config.devices.entries()) {
    const key = `devices[${index}]`;
    const guest = guestOf(device);
    yield* deviceProblems(device, key);
    const shared = !config.network || config.isolation === 'off';
    for (const [end, domain] of [
      ['front', guest],
      ['back', 'L0'],
    ] as const) {
      const tap = /^tap:([^,]+)/.exec(device[end].port)?.[1];
      if (tap === undefined) continue;
      if (end === 'back' && device.path === 'mux') {
        if (outers.has(outerOf(device))) continue;
        outers.add(outerOf(device));
      }
      const place = shared ? tap : `${domain}/${tap}`;
      if (taps.has(place))
        yield `${key}.${end}.port is "tap:${tap}", which is used already; rename it`;
      taps.add(place);
    }
  }
}

/**
 * Checks a configuration and fills its defaults in.
 * @throws NestfrontError `NF_ECONFIG`; a line a problem: the key, the value, the fix
 */
export function checkConfig(input: unknown): CheckedStackConfig {
  const result = stackSchema.safeParse(input);
  if (!result.success) refuse(result.error.issues.map((issue) => sentence(issue, input)));
  const problems = [...crossProblems(result.data)];
  if (problems.length > 0) refuse(problems);
  return result.data;
}

/**
 * Reads and checks a configuration file (JSON).
 * @throws NestfrontError `NF_ENOENT`, `NF_EACCES` … the file can't be read; `NF_ECONFIG`
 */
export function readConfig(file: string): CheckedStackConfig {
  let text: string;
  try {
    text = readFileSync(file, 'utf8');
  } catch (error) {
    throw toNestfrontError(error, 'config.read');
  }
  let input: unknown;
  try {
    input = JSON.parse(text);
  } catch (error) {
    const reason = error instanceof Error ? error.message : String(error);
    throw new NestfrontError('NF_ECONFIG', 'config.read', `${file} is not JSON: ${reason}`, {
      cause: error,
    });
  }
  return checkConfig(input);
}

/** The configuration's JSON schema (draft 2020-12), for editors and for other languages. */
export function configSchema(): Record<string, unknown> {
  return z.toJSONSchema(stackSchema, { io: 'input' }) as Record<string, unknown>;
}
