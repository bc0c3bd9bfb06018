// SPDX-License-Identifier: MIT
// The parts of a report, each of which may fail without taking the others along.
import { readFileSync } from 'node:fs';
import { totalmem } from 'node:os';
import { join } from 'node:path';
import { setTimeout as sleep } from 'node:timers/promises';
import { environment } from '../../bench/lib/environment.js';
import { Hypervisor } from '../../lib/api/hypervisor.js';
import { planStack } from '../../lib/stack/plan.js';
import { listStacks } from '../../lib/stack/registry.js';
import type { StackEntry } from '../../lib/stack/registry.js';
import { RemoteStack } from '../../lib/stack/remote.js';
import { examine } from '../commands/doctor.js';
import { tree } from '../commands/ls.js';
import { shoot } from '../top/rows.js';
import { watch } from '../top/sources.js';
import { storeLines } from './store.js';

/** One part: its lines as they are, not redacted yet. */
export interface Section {
  readonly title: string;
  readonly lines: readonly string[];
}

const LOG_LINES = 200;
/** A stack or hypervisor that hangs must not hold the report about it up. */
const PATIENCE_MS = 10_000;

const json = (value: unknown): string[] => JSON.stringify(value, null, 1).split('\n');

async function section(
  title: string,
  lines: () => readonly string[] | Promise<readonly string[]>,
): Promise<Section> {
  const stop = new AbortController();
  try {
    const late = sleep(PATIENCE_MS, undefined, { signal: stop.signal }).then(() => {
      throw new Error(`no answer in ${PATIENCE_MS / 1000} s`);
    });
    late.catch(() => undefined); // heard below, unless the other was first
    return { title, lines: await Promise.race([Promise.resolve().then(lines), late]) };
  } catch (error) {
    return { title, lines: [`could not be had: ${(error as Error).message}`] };
  } finally {
    stop.abort();
  }
}

function osName(): string {
  const text = readFileSync('/etc/os-release', 'utf8');
  return /^PRETTY_NAME="?([^"\n]*)/m.exec(text)?.[1] ?? 'unknown';
}

function versions(): string[] {
  const e = environment([]);
  const header = process.report.getReport() as { header?: { glibcVersionRuntime?: string } };
  const rows: [string, string | number][] = [
    ['nestfront', `${e.version} (${e.revision})`],
    ['node', `${e.node}, ABI ${process.versions.modules}, libuv ${process.versions.uv}`],
    ['system', osName()],
    ['libc', header.header?.glibcVersionRuntime ?? 'unknown'],
    ['kernel', e.kernel],
    ['cpu', `${e.cpu}, ${e.cores} usable`],
    ['memory', `${Math.round(totalmem() / 2 ** 20)} MiB`],
    ['load', e.loadAverage.join(' ')],
    ['user', e.user],
    ['uptime of the system', `${readFileSync('/proc/uptime', 'utf8').split('.')[0]} s`],
  ];
  return rows.map(([name, value]) => `${name}: ${value}`);
}

function doctor(): string[] {
  return examine().map((c) => `${c.status.padEnd(4)} ${c.name}: ${c.found}`);
}

async function counters(name: string): Promise<string[]> {
  const { readings } = shoot(await watch(name).pages());
  return [...readings.values()].flatMap(({ page, block, values, latency }) => {
    const { kind, devid, queue, mode, grants, state, peer, generation, error } = block;
    const moved = Object.entries(values).filter(([, value]) => value !== 0);
    const timed = latency.count > 0 ? [`  latency ${JSON.stringify(latency.summary())}`] : [];
    return [
      `${page.layer} ${page.domain} ${kind} ${devid} queue ${queue}: ${mode}, grants ${grants}, ` +
        `${state}, peer ${peer}, generation ${generation}, error ${error}`,
      ...moved.map(([counter, value]) => `  ${counter} ${value}`),
      ...timed,
    ];
  });
}

async function layer(entry: StackEntry, name: string): Promise<string[]> {
  await using hypervisor = await Hypervisor.connect(join(entry.directory, name, 'admin.sock'));
  const { fds, ...stats } = await hypervisor.stats();
  const domains = await hypervisor.listDomains();
  const store = await storeLines(await hypervisor.store());
  return [
    `hypervisor: ${JSON.stringify({ ...stats, fds })}`,
    ...domains.map((domain) => `domain: ${JSON.stringify(domain)}`),
    'store:',
    ...store.map((line) => `  ${line}`),
  ];
}

async function logs(name: string): Promise<string[]> {
  await using stack = await RemoteStack.connect(name);
  const lines = await stack.logs({ timeoutMs: PATIENCE_MS });
  const left = lines.length - LOG_LINES;
  return [...(left > 0 ? [`(${left} older lines left out)`] : []), ...lines.slice(-LOG_LINES)];
}

async function ofStack(entry: StackEntry): Promise<Section[]> {
  const { name, state } = entry;
  if (state === undefined || entry.stale) return [];
  const layers = ['H0', ...(state.processes.some((p) => p.role === 'H1') ? ['H1'] : [])];
  return Promise.all([
    section(`stack ${name}: configuration`, () => json(state.config)),
    section(`stack ${name}: plan`, () => json(planStack(state.config))),
    section(`stack ${name}: counters`, () => counters(name)),
    ...layers.map((one) => section(`stack ${name}: ${one}`, () => layer(entry, one))),
    section(`stack ${name}: last log lines`, () => logs(name)),
  ]);
}

/** Counters of nestfrontd's run directories; none is no fault. */
async function daemons(): Promise<string[]> {
  try {
    return await counters('/run/nestfront');
  } catch (error) {
    return [(error as Error).message];
  }
}

/** Everything there is to say about this machine and what runs on it. */
export async function sections(): Promise<Section[]> {
  const entries = listStacks();
  const trees = entries.length === 0 ? ['no stack is running'] : entries.flatMap(tree);
  return [
    await section('versions and machine', versions),
    await section('doctor', doctor),
    await section('ls --tree', () => trees),
    ...(await Promise.all(entries.map(ofStack))).flat(),
    await section('nestfrontd below /run/nestfront', daemons),
  ];
}
