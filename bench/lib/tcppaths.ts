// SPDX-License-Identifier: MIT
// The paths TCP goes through: kernels' network stacks at both ends, a TAP with offloads on each; a
// veth pair and a plain two-TAP splice beside them.
import { accessSync, constants } from 'node:fs';
import { join } from 'node:path';
import { NestfrontError } from '../../lib/errors.js';
import { NetperfServer, type Runner } from '../../lib/netperf/netperf.js';
import { packageRoot } from '../../lib/stack/paths.js';
import { Stack } from '../../lib/stack/stack.js';
import { PlainPair } from './plain.js';
import { processesOf, type VariantSpec } from './rig.js';
import type { Result, Skipped } from './schema.js';

const PEER = '10.78.0.2';
const OWN = '10.78.0.1';

/** One way from a client (L2's end) to a server (the outside's end). */
export interface TcpPath {
  name: string;
  client: Runner;
  server: Runner;
  /** Address of the server as the client sees it. */
  host: string;
  netperf: NetperfServer;
  /** Processes that carry the frames, whose CPU time counts. */
  pids: Record<string, number>;
  /** What a result says of it besides figures. */
  identity: Pick<Result, 'depth' | 'dataProcesses' | 'cpus'> & Partial<Result>;
  /** Frames the TAPs did not take, so far. */
  tapDrops: () => number;
  close(): Promise<void>;
}

async function plain(kind: 'veth' | 'splice'): Promise<TcpPath> {
  const pair = await PlainPair.start(kind, [OWN, PEER]);
  const netperf = await NetperfServer.start(pair.second);
  return {
    name: kind === 'veth' ? 'native' : 'splice',
    client: pair.first,
    server: pair.second,
    host: PEER,
    netperf,
    pids: kind === 'splice' ? { splice: pair.pid } : {},
    identity: {
      path: kind === 'veth' ? 'native' : 'splice',
      depth: 0,
      cpus: {},
      dataProcesses: kind === 'veth' ? 0 : 1,
    },
    tapDrops: () => 0,
    close: async () => {
      await netperf.close();
      await pair.close();
    },
  };
}

async function address(runner: Runner, ip: string): Promise<void> {
  const program = join(packageRoot(), 'build', 'Release', 'nf-netns');
  const { code, stderr } = await runner.exec([program, 'address', 'nf0', ip], {
    timeoutMs: 10_000,
  });
  if (code !== 0)
    throw new NestfrontError('NF_EPERM', 'bench.tcp', `${runner.name}: ${stderr.trim()}`);
}

let serial = 0;

async function stacked(spec: VariantSpec, signal?: AbortSignal): Promise<TcpPath> {
  serial += 1;
  const stack = await Stack.up(
    {
      name: `tcp-${process.pid}-${serial}`,
      notify: 'adaptive',
      isolation: 'on',
      devices: [
        {
          name: 'net0',
          path: spec.path,
          grants: spec.grants ?? 'static',
          front: { port: 'tap:nf0' },
          back: { port: 'tap:nf0' },
        },
      ],
    },
    signal ? { signal } : {},
  );
  try {
    return await connected(stack, spec);
  } catch (error) {
    await stack.close();
    throw error;
  }
}

async function connected(stack: Stack, spec: VariantSpec): Promise<TcpPath> {
  const { front, back } = stack.device('net0');
  await Promise.all([address(front, OWN), address(back, PEER)]);
  const netperf = await NetperfServer.start(back);
  const block = back.counters.blocks({ kind: 'netback' })[0];
  const counted = block?.grants;
  return {
    name: spec.name,
    client: front,
    server: back,
    host: PEER,
    netperf,
    pids: Object.fromEntries(stack.domains.map((d) => [d.name, d.pid])),
    identity: {
      path: spec.path,
      depth: spec.path === 'single' ? 1 : 2,
      provider: 'nestfront',
      grants: counted === 'copy' || counted === 'map' ? counted : 'static',
      notify: 'adaptive',
      queues: 1,
      isolated: stack.isolated,
      cpus: {},
      dataProcesses: processesOf(spec.path),
    },
    tapDrops: () => stack.domains.reduce((n, d) => n + d.counters.total().tap_drops, 0),
    close: async () => {
      await netperf.close();
      await stack.close();
    },
  };
}

const isRoot = process.getuid?.() === 0;
const DOCKER = 'docker run --cap-add SYS_ADMIN --cap-add NET_ADMIN --device /dev/net/tun';
const NAMESPACES = isRoot
  ? `${DOCKER} --security-opt seccomp=unconfined`
  : 'sudo npm start; or sudo sysctl -w kernel.unprivileged_userns_clone=1 ' +
    'kernel.apparmor_restrict_unprivileged_userns=0';

/** Why TAPs cannot be opened here, or undefined. */
function tunRefused(): Skipped | undefined {
  try {
    accessSync('/dev/net/tun', constants.R_OK | constants.W_OK);
    return undefined;
  } catch (error) {
    const missing = (error as NodeJS.ErrnoException).code === 'ENOENT';
    const remedy = isRoot
      ? `modprobe tun; or ${DOCKER}`
      : `sudo npm start; or sudo ${missing ? 'modprobe tun' : 'chmod 666 /dev/net/tun'}`;
    const reason = missing ? 'there is no /dev/net/tun' : 'no access to /dev/net/tun';
    return { bench: 'tcp', reason, remedy };
  }
}

/** What to do about it: a refusal of the kernel's has a known way out, the rest is for doctor. */
const remedyOf = (error: unknown): string =>
  error instanceof NestfrontError && ['NF_EPERM', 'NF_EACCES'].includes(error.code)
    ? NAMESPACES
    : 'npx nestfront doctor says what is missing';

/** Brings up every path that this machine allows; what it refuses is told once a path. */
export async function tcpPaths(
  specs: readonly VariantSpec[],
  plains: readonly ('veth' | 'splice')[],
  signal?: AbortSignal,
): Promise<{ paths: TcpPath[]; skipped: Skipped[] }> {
  const refused = tunRefused();
  const usable = plains.filter((k) => k === 'veth' || !refused);
  const starts: [string, Promise<TcpPath>][] = [
    ...usable.map((k): [string, Promise<TcpPath>] => [k === 'veth' ? 'native' : k, plain(k)]),
    ...(refused ? [] : specs).map((s): [string, Promise<TcpPath>] => [s.name, stacked(s, signal)]),
  ];
  const paths: TcpPath[] = [];
  const skipped: Skipped[] = [];
  if (refused && usable.length < plains.length) skipped.push({ ...refused, path: 'splice' });
  if (refused) skipped.push(...specs.map((s) => ({ ...refused, path: s.name })));
  const settled = await Promise.allSettled(starts.map(([, p]) => p));
  for (const [i, s] of settled.entries()) {
    if (s.status === 'fulfilled') {
      paths.push(s.value);
      continue;
    }
    const reason = s.reason instanceof Error ? s.reason.message : String(s.reason);
    skipped.push({ bench: 'tcp', path: starts[i]?.[0] ?? '', reason, remedy: remedyOf(s.reason) });
  }
  return { paths, skipped };
}
