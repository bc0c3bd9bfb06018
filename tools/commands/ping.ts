// SPDX-License-Identifier: MIT
import { isIPv4 } from 'node:net';
import { NestfrontError } from '../../lib/errors.js';
import { packageRoot } from '../../lib/stack/paths.js';
import { listStacks } from '../../lib/stack/registry.js';
import type { StackState } from '../../lib/stack/registry.js';
import type { LatencyAnswer } from '../ping/protocol.js';
import { loadRawSocket } from '../ping/rawsocket.js';
import { addressesOf, Prober, runProbes, sourceFor } from '../ping/run.js';
import type { End, ProbeResult } from '../ping/run.js';
import { time } from '../top/view.js';
import { EXIT, table } from '../command.js';
import type { CommandContext, CommandModule } from '../command.js';

interface Options {
  readonly json?: boolean;
  readonly count: number;
  readonly interval: number;
  readonly size: number;
  readonly timeout: number;
  readonly probes: boolean;
}

interface Target {
  readonly state: StackState;
  readonly device: StackState['config']['devices'][number];
  readonly near: End;
  readonly far: End;
}

/** Says in a line what is missing, before anything is looked for. */
function needRawSocket(): void {
  try {
    loadRawSocket(packageRoot());
  } catch (cause) {
    throw new NestfrontError(
      'NF_ENOSYS',
      'ping',
      'npm raw-socket is not built here: with g++, make and python3 there, npm install ' +
        'raw-socket@1.8.1 (in a clone: npm run build); why it failed: build/raw-socket.log',
      { cause },
    );
  }
}

function endOf(state: StackState, name: string): End {
  const domain = state.domains.find((candidate) => candidate.name === name);
  return { domain: name, pid: state.isolated ? domain?.pids.at(-1) : undefined };
}

/** `DEVICE`, or `STACK/DEVICE` when several running stacks have one of that name. */
function findDevice(text: string): Target {
  const [stack, name] = text.includes('/') ? text.split('/', 2) : [undefined, text];
  const running = listStacks().filter((e) => !e.stale && e.state?.phase === 'running');
  const all = running.flatMap(({ state }) => state!.config.devices.map((d) => ({ state, d })));
  const found = all.filter(
    ({ state, d }) => d.name === name && (stack === undefined || state!.name === stack),
  );
  if (found.length !== 1) {
    const names = (found.length > 1 ? found : all).map(
      ({ state, d }) => `${state!.name}/${d.name}`,
    );
    const list = names.length === 0 ? 'no stack has a network device' : names.join(', ');
    const what = found.length > 1 ? 'several devices' : 'no network device';
    throw new NestfrontError('NF_ENOENT', 'ping', `${what} "${text}"; there are: ${list}`);
  }
  const { state, d: device } = found[0]!;
  const links = state!.links.filter((l) => l.device === device.name && l.kind !== 'disk');
  const guest = links.find((l) => l.layer === 'H1') ?? links[0]!;
  const near = endOf(state!, guest.front.domain);
  return { state: state!, device, near, far: endOf(state!, 'L0') };
}

function tapOf({ device }: Target, end: 'front' | 'back'): string {
  const iface = /^tap:([^,]+)/.exec(device[end].port)?.[1];
  if (iface !== undefined) return iface;
  throw new NestfrontError(
    'NF_EINVAL',
    'ping',
    `the ${end} of ${device.name} is ${device[end].port}, which has no IP; ping takes tap:NAME`,
  );
}

/** The far end's address: as given, or the one its TAP has. */
function addressOf(target: Target, given: string | undefined): string {
  const { state, near, far } = target;
  const [nearTap, farTap] = [tapOf(target, 'front'), tapOf(target, 'back')];
  if (given !== undefined) {
    if (isIPv4(given)) return given;
    throw new RangeError(`${given} is no IPv4 address`);
  }
  const [address] = addressesOf(far, farTap);
  if (address !== undefined) return address;
  const give = (end: End, host: number, tap: string): string =>
    `nestfront exec ${state.name}/${end.domain} -- sh -c ` +
    `'ip addr add 10.9.0.${host}/24 dev ${tap}; ip link set ${tap} up'`;
  throw new NestfrontError(
    'NF_ENOENT',
    'ping',
    `${farTap} of ${far.domain} has no address; give both ends one:\n` +
      `  ${give(far, 1, farTap)}\n  ${give(near, 2, nearTap)}`,
  );
}

/** Exact percentiles of what was measured. */
export function percentiles(values: readonly number[]): Record<string, number> {
  const sorted = [...values].sort((a, b) => a - b);
  const at = (q: number): number => sorted[Math.max(0, Math.ceil(q * sorted.length) - 1)]!;
  return { min: at(0), p50: at(0.5), p90: at(0.9), p99: at(0.99), p999: at(0.999), max: at(1) };
}

interface Result {
  readonly stack: string;
  readonly device: string;
  readonly path: string;
  readonly from: string;
  readonly to: string;
  readonly bytes: number;
  readonly sent: number;
  readonly received: number;
  readonly lost: number;
  readonly duplicated: number;
  readonly corrupted: number;
  readonly late: number;
  readonly latencyNs?: Record<string, number>;
  readonly probes: readonly ProbeResult[];
}

function text(r: Result): string[] {
  const counts =
    `${r.sent} sent, ${r.received} received, ${r.lost} lost, ${r.duplicated} duplicated, ` +
    `${r.corrupted} corrupted`;
  const latency = Object.entries(r.latencyNs ?? {}).map(([name, ns]) => `${name} ${time(ns)}`);
  const rows = r.probes.map((probe) => [
    probe.ok ? 'ok' : 'FAILED',
    probe.probe,
    probe.seen,
    probe.why ?? (probe.droppedBy === undefined ? '' : `by ${probe.droppedBy}`),
  ]);
  return [
    `${r.stack}/${r.device} (${r.path}): ${r.from} -> ${r.to}, ${r.bytes} bytes`,
    counts,
    ...(latency.length > 0 ? [`round trip ${latency.join('  ')}`] : []),
    ...table(rows),
  ];
}

async function ping(
  name: string,
  given: string | undefined,
  o: Options,
  context: CommandContext,
): Promise<void> {
  needRawSocket();
  const target = findDevice(name);
  const to = addressOf(target, given);
  const from = sourceFor(target.near, to);
  await using prober = new Prober(target.near, to, from);
  const onAbort = (): void => prober.kill();
  context.signal.addEventListener('abort', onAbort, { once: true });
  const timeoutMs = o.timeout * 1000;
  const order = { op: 'latency', intervalMs: o.interval, bytes: o.size, timeoutMs } as const;
  const first = (await prober.ask({ ...order, count: 1 })) as LatencyAnswer; // asks for the MAC
  const isThere = first.rttNs.length > 0;
  if (!isThere)
    throw new NestfrontError('NF_ETIMEDOUT', 'ping', `${to} did not answer in ${o.timeout} s`);
  const timed = (await prober.ask({ ...order, count: o.count })) as LatencyAnswer;
  const probes = o.probes ? await runProbes(prober, target.far, timeoutMs) : [];
  const { rttNs, sent, duplicates, corrupted, late } = timed;
  const result: Result = {
    stack: target.state.name,
    device: target.device.name,
    path: target.device.path,
    ...{ from, to, bytes: o.size, sent, received: rttNs.length },
    lost: sent - rttNs.length - corrupted,
    duplicated: duplicates,
    corrupted,
    late,
    ...(rttNs.length > 0 ? { latencyNs: percentiles(rttNs) } : {}),
    probes,
  };
  if (o.json === true) context.print(JSON.stringify({ schemaVersion: 1, ...result }));
  else text(result).forEach((line) => context.print(line));
  const isGood = result.lost === 0 && corrupted === 0 && probes.every((probe) => probe.ok);
  if (!isGood) context.exitCode = EXIT.failed;
}

function number(flag: string, low: number, high: number): (value: string) => number {
  return (value) => {
    const parsed = Number(value);
    if (parsed >= low && parsed <= high && value.trim() !== '') return parsed;
    throw new RangeError(`--${flag} is ${value}; use ${low} to ${high}`);
  };
}

export const command: CommandModule = {
  define(command, context) {
    command
      .argument('<device>', 'DEVICE or STACK/DEVICE, with a TAP at both ends')
      .argument('[address]', "IPv4 address of the far end; that of L0's TAP when left out")
      .option('--count <n>', 'echo requests', number('count', 1, 1_000_000), 1000)
      .option('--interval <ms>', 'between two of them', number('interval', 0, 60_000), 0)
      .option('--size <bytes>', 'of payload', number('size', 4, 65_000), 56)
      .option('--timeout <seconds>', 'until a reply is lost', number('timeout', 0.1, 60), 5)
      .option('--no-probes', 'latency only')
      .option('--json', 'print the result as JSON')
      .action((name: string, address: string | undefined, options: Options) =>
        ping(name, address, options, context),
      );
  },
};
