// SPDX-License-Identifier: MIT
// The ends of a shaped link: nf-line processes inside a stack's L0, and the stacks whose L0 stands
// on such a link.
import type { ChildProcess } from 'node:child_process';
import { join } from 'node:path';
import { NestfrontError } from '../../lib/errors.js';
import { eachLine } from '../../lib/stack/launch.js';
import { packageRoot } from '../../lib/stack/paths.js';
import { Stack } from '../../lib/stack/stack.js';
import type { StackDomain } from '../../lib/stack/domain.js';
import { processesOf } from './rig.js';
import type { Result } from './schema.js';

const LINK = 'line0';
const READY_MS = 10_000;

/** What an end of a link has done so far. */
export interface EndCount {
  ns: number;
  generated: number;
  sunk: number;
  lost: number;
  duplicated: number;
  reordered: number;
  corrupted: number;
  /** By the port: what the kernel's ring had no room for, or the link would not take. */
  portDrops: number;
  /** By the shaper. */
  shaperDrops: number;
}

/** A generator and sink without rings of ours, at one end of a link. */
export class LineEnd {
  readonly #child: ChildProcess;
  readonly #answers: ((line: string) => void)[] = [];
  readonly #errors: string[] = [];

  private constructor(child: ChildProcess) {
    this.#child = child;
    eachLine(child.stdout!, (line) => this.#answers.shift()?.(line));
    eachLine(child.stderr!, (line) => this.#errors.push(line));
  }

  static async start(domain: StackDomain, args: readonly string[]): Promise<LineEnd> {
    const program = join(packageRoot(), 'build', 'Release', 'nf-line');
    const end = new LineEnd(domain.spawn([program, ...args], { stdio: ['pipe', 'pipe', 'pipe'] }));
    const word = await end.#answer(`nf-line ${args[0]}`);
    if (word !== 'ready') throw new NestfrontError('NF_EIO', 'bench.line', `it said ${word}`);
    return end;
  }

  send(bytes: number): void {
    this.#child.stdin!.write(`send ${bytes}\n`);
  }

  idle(): void {
    this.#child.stdin!.write('idle\n');
  }

  async count(): Promise<EndCount> {
    this.#child.stdin!.write('count\n');
    const numbers = (await this.#answer('nf-line')).split(' ').map(Number);
    const [ns, generated, sunk, lost, duplicated, reordered, corrupted, portDrops, shaperDrops] =
      numbers as [number, number, number, number, number, number, number, number, number];
    const drops = Math.max(0, shaperDrops);
    return {
      ns,
      generated,
      sunk,
      lost,
      duplicated,
      reordered,
      corrupted,
      portDrops,
      shaperDrops: drops,
    };
  }

  /** The next line it writes. @throws NestfrontError it ended, or says nothing */
  #answer(what: string): Promise<string> {
    return new Promise((resolve, reject) => {
      const fail = (why: string): void => {
        const said = this.#errors.slice(-2).join(' | ');
        const code = /sch_tbf|Operation not permitted/.test(said) ? 'NF_EPERM' : 'NF_EIO';
        reject(new NestfrontError(code, 'bench.line', `${what} ${why}: ${said}`));
      };
      const timer = setTimeout(() => fail('does not answer'), READY_MS);
      const ended = (): void => fail('ended');
      this.#child.once('close', ended);
      this.#answers.push((line) => {
        clearTimeout(timer);
        this.#child.off('close', ended);
        resolve(line);
      });
    });
  }

  close(): Promise<void> {
    return new Promise((resolve) => {
      if (this.#child.exitCode !== null || this.#child.signalCode !== null) return resolve();
      this.#child.once('close', () => resolve());
      this.#child.stdin!.end();
    });
  }
}

/** One way from a sender to a receiver over a shaped link of its own. */
export interface LinePath {
  name: string;
  /** The far end of the link, in a namespace of its own. */
  far: LineEnd;
  /** The near end: L2's generator and sink, or the plain program. */
  start(bytes: number): void;
  stop(): void;
  count(): Promise<EndCount>;
  /** Frames that L0's port dropped. */
  portDrops(): number;
  park(on: boolean): void;
  identity: Partial<Result> & Pick<Result, 'depth' | 'cpus' | 'pids' | 'dataProcesses'>;
  close(): Promise<void>;
}

let serial = 0;

type LineKind = 'plain' | 'single' | 'copy' | 'translate' | 'direct';

/** A stack whose L0 stands on a link; `plain`: one that moves nothing, for its namespaces. */
export async function linePath(
  kind: LineKind,
  bitsPerSecond: number,
  signal: AbortSignal,
): Promise<LinePath> {
  serial += 1;
  let far: LineEnd | undefined;
  const ports = { front: { port: 'gen' }, back: { port: `afpacket:${LINK}` } };
  const idle = { front: { port: 'null' }, back: { port: 'null' } };
  const stack = await Stack.up(
    {
      name: `line-${process.pid}-${serial}`,
      notify: 'adaptive',
      isolation: 'on',
      devices: [
        kind === 'plain'
          ? { name: 'net0', path: 'single', ...idle }
          : { name: 'net0', path: kind, ...ports },
      ],
    },
    {
      signal,
      prepare: async (domain) => {
        far = await LineEnd.start(domain('L0'), ['far', LINK, String(bitsPerSecond)]);
      },
    },
  );
  try {
    if (far === undefined) throw new NestfrontError('NF_EIO', 'bench.line', 'no link was made');
    return kind === 'plain' ? await plain(stack, far) : nested(stack, far, kind);
  } catch (error) {
    await stack.close();
    throw error;
  }
}

async function plain(stack: Stack, far: LineEnd): Promise<LinePath> {
  const near = await LineEnd.start(stack.domain('L0'), ['near', LINK]);
  return {
    name: 'native',
    far,
    start: (bytes) => near.send(bytes),
    stop: () => near.idle(),
    count: () => near.count(),
    portDrops: () => 0,
    park: () => undefined,
    identity: { path: 'native', depth: 0, dataProcesses: 1, cpus: {}, pids: {} },
    close: async () => {
      await near.close();
      await far.close();
      await stack.close();
    },
  };
}

function nested(stack: Stack, far: LineEnd, kind: Exclude<LineKind, 'plain'>): LinePath {
  const device = stack.device('net0');
  const { front, back, devid } = device;
  return {
    name: kind,
    far,
    start: (frameBytes) => front.control.order(devid, { mode: 'send', frameBytes, batch: 64 }),
    stop: () => front.control.order(devid, { mode: 'idle' }),
    count: () => {
      const c = front.counters.total({ kind: 'netfront', devid });
      return Promise.resolve({
        ns: performance.now() * 1e6,
        generated: c.gen_packets,
        sunk: c.sink_packets,
        lost: c.sink_lost,
        duplicated: c.sink_duplicated,
        reordered: c.sink_reordered,
        corrupted: c.sink_corrupted,
        portDrops: 0,
        shaperDrops: 0,
      });
    },
    portDrops: () => {
      const c = back.counters.total({ kind: 'netback' });
      return c.tx_dropped_port + c.rx_dropped_port;
    },
    park: (on) => stack.domains.forEach((domain) => domain.control.park(on)),
    identity: {
      path: kind,
      depth: kind === 'single' ? 1 : 2,
      provider: 'nestfront',
      grants: 'static',
      notify: 'adaptive',
      queues: 1,
      isolated: stack.isolated,
      cpus: {},
      pids: Object.fromEntries(stack.domains.map((d) => [d.name, d.pid])),
      dataProcesses: processesOf(kind),
    },
    close: async () => {
      await far.close();
      await stack.close();
    },
  };
}
