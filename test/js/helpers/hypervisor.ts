// SPDX-License-Identifier: MIT
import { spawn, type ChildProcess } from 'node:child_process';
import { once } from 'node:events';
import { mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import type { ExecutionContext } from 'ava';
import { HypervisorClient } from '../../../lib/hypervisor/client.js';
import { HV_MAGIC, HV_VERSION, LAYOUT } from '../../../lib/hypervisor/protocol.js';
import { native } from '../../../lib/native.cjs';
import type { ArenaKey, NativeLayer, NativeSeqSocket } from '../../../lib/native.cjs';

const MAIN = fileURLToPath(new URL('../../../lib/hypervisor/main.js', import.meta.url));

/** A hypervisor process of a test's own, gone when the test ends. */
export interface TestHypervisor {
  client: HypervisorClient;
  process: ChildProcess;
  dir: string;
  /** What it wrote to stderr. */
  log: string[];
}

/** Starts one and waits until it answers. */
export async function startHypervisor(
  t: ExecutionContext,
  flags: string[] = [],
): Promise<TestHypervisor> {
  const dir = mkdtempSync(join(tmpdir(), 'nf-hv-'));
  const [ours, theirs] = native.seqpacketPair();
  const child = spawn(
    process.execPath,
    [MAIN, '--name', 'HT', '--dir', dir, '--admin-fd', '3', ...flags],
    { stdio: ['ignore', 'ignore', 'pipe', theirs] },
  );
  native.close(theirs);
  const log: string[] = [];
  child.stderr?.setEncoding('utf8').on('data', (text: string) => log.push(text));
  const client = new HypervisorClient(ours);
  t.teardown(async () => {
    await client.close();
    if (child.exitCode === null && child.signalCode === null) {
      child.kill('SIGTERM');
      await once(child, 'exit');
    }
    rmSync(dir, { recursive: true, force: true });
  });
  await client.hello();
  return { client, process: child, dir, log };
}

/** A domain through the C client. Closed when the test ends. */
export async function openDomain(
  t: ExecutionContext,
  hv: TestHypervisor,
  name: string,
  options: { domid?: number; privileged?: boolean } = {},
): Promise<NativeLayer> {
  const { domid } = await hv.client.createDomain({ name, ...options });
  const layer = await native.openLayer(await hv.client.connectDomain(domid));
  t.teardown(() => layer.close());
  return layer;
}

/** An arena of device 0 for a domain; a tx ring unless told. */
export const arenaKey = (peer: number, readonly = false, purpose = 1): ArenaKey => ({
  peer,
  device: 0,
  queue: 0,
  purpose,
  readonly,
});

/** A hypervisor and two of its domains, 0 and another. */
export interface Pair {
  hv: TestHypervisor;
  front: NativeLayer;
  back: NativeLayer;
}

export async function pair(t: ExecutionContext, flags: string[] = []): Promise<Pair> {
  const hv = await startHypervisor(t, flags);
  const back = await openDomain(t, hv, 'back', { domid: 0 });
  const front = await openDomain(t, hv, 'front');
  return { hv, front, back };
}

export interface RawReply {
  status: number;
  body: Buffer;
  fds: number[];
}

/** A domain that speaks hvmsg.h itself and may say anything. Closed when the test ends. */
export class RawDomain {
  readonly domid: number;
  readonly socket: NativeSeqSocket;
  /** True once the hypervisor hung up. */
  closed = false;
  readonly #replies: RawReply[] = [];
  readonly #fds: number[] = [];
  #wake: (() => void) | undefined;
  #seq = 1;

  constructor(t: ExecutionContext, fd: number, domid: number) {
    this.domid = domid;
    this.socket = new native.SeqSocket(fd, {
      onMessage: (body, fds) => {
        this.#fds.push(...fds);
        this.#replies.push({ status: body.readInt32LE(LAYOUT.nf_hv_header.status), body, fds });
        this.#wake?.();
      },
      onClose: () => {
        this.closed = true;
        this.#wake?.();
      },
    });
    t.teardown(() => {
      this.socket.close();
      for (const own of this.#fds) native.close(own);
    });
  }

  /** Creates the domain, connects and says hello. */
  static async open(t: ExecutionContext, hv: TestHypervisor, name: string): Promise<RawDomain> {
    const { domid } = await hv.client.createDomain({ name });
    const raw = new RawDomain(t, await hv.client.connectDomain(domid), domid);
    const hello = raw.message(1, LAYOUT.nf_hv_hello.size);
    hello.writeUInt32LE(HV_VERSION, LAYOUT.nf_hv_hello.version);
    const reply = await raw.call(hello);
    t.is(reply.status, 0);
    return raw;
  }

  /** A request of a type with a good header and zeros behind it. */
  message(type: number, bytes: number): Buffer {
    const h = LAYOUT.nf_hv_header;
    const out = Buffer.alloc(bytes);
    out.writeUInt32LE(HV_MAGIC, h.magic);
    out.writeUInt16LE(type, h.type);
    out.writeUInt32LE(this.#seq++, h.seq);
    return out;
  }

  /** Sends and waits for one reply; rejects when the hypervisor hangs up instead. */
  async call(message: Buffer, fds: number[] = []): Promise<RawReply> {
    if (!this.socket.send(message, fds)) throw new Error('the socket is full');
    const reply = await this.next();
    if (!reply) throw new Error('the hypervisor hung up');
    return reply;
  }

  /** The next reply; undefined when it hung up. */
  async next(): Promise<RawReply | undefined> {
    while (this.#replies.length === 0 && !this.closed) {
      await new Promise<void>((resolve) => (this.#wake = resolve));
    }
    return this.#replies.shift();
  }

  /** The descriptor in a reply that must have one. */
  static fdOf(reply: RawReply): number {
    const [fd] = reply.fds;
    if (fd === undefined) throw new Error('no descriptor in the reply');
    return fd;
  }
}

/** Waits until `check` holds, at most `ms`. */
export async function eventually(
  check: () => boolean | Promise<boolean>,
  ms = 5000,
): Promise<void> {
  for (const end = performance.now() + ms; ; ) {
    if (await check()) return;
    if (performance.now() > end) throw new Error(`not so within ${ms} ms`);
    await new Promise((resolve) => setTimeout(resolve, 10));
  }
}
