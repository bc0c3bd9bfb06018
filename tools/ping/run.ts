// SPDX-License-Identifier: MIT
// `nestfront ping`: a prober in the guest's domain, and what the far end's counters say of it.
import { spawn, spawnSync } from 'node:child_process';
import type { ChildProcess } from 'node:child_process';
import { once } from 'node:events';
import { createInterface } from 'node:readline';
import { join } from 'node:path';
import { setTimeout as sleep } from 'node:timers/promises';
import { NestfrontError } from '../../lib/errors.js';
import { joinArgs } from '../../lib/stack/domain.js';
import { executable, packageRoot } from '../../lib/stack/paths.js';
import type { LatencyAnswer, Order, ProbeAnswer } from './protocol.js';
import { PROBES } from './probes.js';
import type { Probe, Witness } from './probes.js';

/** The namespaces of one end; `pid` undefined where stacks are not isolated. */
export interface End {
  readonly domain: string;
  readonly pid: number | undefined;
}

/** How one probe went. */
export interface ProbeResult {
  readonly probe: string;
  readonly what: string;
  readonly expected: string;
  readonly seen: string;
  readonly ok: boolean;
  /** Who dropped it, as its own counters say; absent where nothing is to be dropped. */
  readonly droppedBy?: string;
  readonly why?: string;
}

function inside(end: End, argv: readonly string[]): string {
  const child = spawnSync(executable('nf-launch'), joinArgs(end.pid, argv), {
    encoding: 'utf8',
    timeout: 20_000,
  });
  if (child.status === 0) return child.stdout;
  const said = child.error?.message ?? child.stderr.trim();
  throw new NestfrontError('NF_EIO', 'ping', `${argv.join(' ')} in ${end.domain}: ${said}`);
}

interface Address {
  readonly ifname: string;
  readonly addr_info: readonly { readonly local: string; readonly family: string }[];
}

/** IPv4 addresses of an interface in a domain. */
export function addressesOf(end: End, iface: string): string[] {
  const all = JSON.parse(inside(end, ['ip', '-j', '-4', 'addr', 'show'])) as Address[];
  const found = all.find((link) => link.ifname === iface)?.addr_info ?? [];
  return found.filter((a) => a.family === 'inet').map((a) => a.local);
}

/** The address that `end` sends to `address` from. @throws NestfrontError no route */
export function sourceFor(end: End, address: string): string {
  const [route] = JSON.parse(inside(end, ['ip', '-j', 'route', 'get', address])) as {
    prefsrc?: string;
  }[];
  if (route?.prefsrc !== undefined) return route.prefsrc;
  throw new NestfrontError('NF_ENOENT', 'ping', `${end.domain} has no route to ${address}`);
}

/** One number of /proc/net/snmp of a network namespace. */
function counter(end: End, { group, key }: Witness): number {
  const lines = inside(end, ['cat', '/proc/net/snmp']).split('\n');
  const [heads, values] = lines.filter((line) => line.startsWith(`${group}:`));
  const at = heads?.split(' ').indexOf(key) ?? -1;
  const value = Number(values?.split(' ')[at]);
  if (at > 0 && Number.isFinite(value)) return value;
  throw new NestfrontError('NF_ENOSYS', 'ping', `/proc/net/snmp has no ${group} ${key}`);
}

/** The process in the guest's domain that sends and hears. */
export class Prober implements AsyncDisposable {
  readonly #child: ChildProcess;
  readonly #lines: AsyncIterator<string>;
  readonly #closed: Promise<unknown>;
  #said = '';

  constructor(end: End, address: string, source: string) {
    const file = join(packageRoot(), 'dist', 'tools', 'ping', 'prober.js');
    const argv = [process.execPath, file, address, source, packageRoot()];
    this.#child = spawn(executable('nf-launch'), joinArgs(end.pid, argv));
    this.#closed = once(this.#child, 'close').catch(
      (error: unknown) => (this.#said += String(error)),
    );
    this.#child.stderr!.setEncoding('utf8').on('data', (text: string) => (this.#said += text));
    this.#child.stdin!.on('error', () => undefined); // its end is told by its output
    this.#lines = createInterface({ input: this.#child.stdout! })[Symbol.asyncIterator]();
  }

  /** @throws NestfrontError what stopped the prober */
  async ask(order: Order): Promise<LatencyAnswer | ProbeAnswer> {
    this.#child.stdin!.write(`${JSON.stringify(order)}\n`);
    const next = (await this.#lines.next()) as IteratorResult<string, undefined>;
    const answer = JSON.parse(next.value ?? '{}') as { error?: string };
    if (next.done !== true && answer.error === undefined)
      return answer as unknown as LatencyAnswer | ProbeAnswer;
    if (next.done === true) await this.#closed;
    const reason = answer.error ?? (this.#said.trim().split('\n').at(-1) || 'it ended');
    const isPermission = /not permitted|EPERM/.test(reason);
    const remedy = isPermission ? '; raw sockets take root, or an isolated stack' : '';
    const code = isPermission ? 'NF_EPERM' : 'NF_EIO';
    throw new NestfrontError(code, 'ping', `the prober stopped: ${reason}${remedy}`);
  }

  /** Ends it at once; idempotent. */
  kill(): void {
    this.#child.kill('SIGTERM');
  }

  async [Symbol.asyncDispose](): Promise<void> {
    this.#child.stdin!.end();
    this.kill();
    await this.#closed;
  }
}

const WITNESS_MS = 5000;

/** Waits until the far end has counted one more; false: never. */
async function counted(end: End, witness: Witness, before: number): Promise<boolean> {
  const deadline = performance.now() + WITNESS_MS;
  while (counter(end, witness) <= before) {
    if (performance.now() > deadline) return false;
    await sleep(20);
  }
  return true;
}

function fault(probe: Probe, a: ProbeAnswer, wasCounted: boolean): string | undefined {
  if (!a.isFenced) return 'the path stopped carrying anything';
  if (a.seen !== probe.expect && probe.expect === 'none')
    return `it was answered (${a.seen}): mended on the path, or the far end takes such`;
  if (a.seen !== probe.expect) return 'it was lost on the path';
  if (!a.isIntact) return 'the reply brought other bytes';
  if (probe.option !== undefined && a.options[0] !== probe.option)
    return 'the reply came without the option';
  const { group, key } = probe.witness ?? {};
  return wasCounted ? undefined : `the far end did not count it (${group} ${key}): lost on the way`;
}

/** Runs one probe and says whether what must happen did. */
async function probeOnce(
  prober: Prober,
  far: End,
  probe: Probe,
  timeoutMs: number,
): Promise<ProbeResult> {
  const before = probe.witness === undefined ? 0 : counter(far, probe.witness);
  const answer = await prober.ask({ op: 'probe', name: probe.name, timeoutMs });
  const wasCounted = probe.witness === undefined || (await counted(far, probe.witness, before));
  const seen = (answer as ProbeAnswer).seen;
  const why = fault(probe, answer as ProbeAnswer, wasCounted);
  return {
    probe: probe.name,
    what: probe.what,
    expected: probe.expect === 'none' ? 'dropped' : probe.expect,
    seen: seen === 'none' ? (wasCounted ? 'dropped' : 'lost') : seen,
    ok: why === undefined,
    ...(probe.droppedBy === undefined ? {} : { droppedBy: probe.droppedBy }),
    ...(why === undefined ? {} : { why }),
  };
}

/** All probes, one after the other, each heard before the next is sent. */
export async function runProbes(
  prober: Prober,
  far: End,
  timeoutMs: number,
): Promise<ProbeResult[]> {
  const results: ProbeResult[] = [];
  for (const probe of PROBES) results.push(await probeOnce(prober, far, probe, timeoutMs));
  return results;
}
