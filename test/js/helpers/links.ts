// SPDX-License-Identifier: MIT
// One TCP connection through a device's TAPs, its bytes hashed at both ends, and how long it stood
// still.
import type { ChildProcess } from 'node:child_process';
import { once } from 'node:events';
import { NetperfServer } from '../../../lib/netperf/netperf.js';
import { executable } from '../../../lib/stack/paths.js';
import type { DevicePath, StackConfig, StackDevice, StackDomain } from '../../../lib/index.js';

/** Devices of which each has a TAP at both ends, `v0` and on, in its guest and in L0. */
export function tapDevices(paths: readonly DevicePath[]): StackConfig['devices'] {
  return paths.map((path, i) => ({
    name: path,
    path,
    front: { port: `tap:v${i}` },
    back: { port: `tap:v${i}` },
  }));
}

async function must(domain: StackDomain, argv: readonly string[]): Promise<void> {
  const { code, stderr } = await domain.exec(argv);
  if (code !== 0) throw new Error(`${argv.join(' ')} in ${domain.name}: ${stderr}`);
}

/** Gives both ends of a device addresses of a network of its own: .2 in the guest, .1 in L0. */
export async function addresses(device: StackDevice): Promise<string> {
  const net = `10.77.${device.devid}`;
  for (const [domain, host] of [
    [device.front, 2],
    [device.back, 1],
  ] as const) {
    const link = `v${device.devid}`;
    await must(domain, ['ip', 'addr', 'add', `${net}.${host}/24`, 'dev', link]);
    await must(domain, ['ip', 'link', 'set', link, 'up']);
  }
  return `${net}.1`;
}

/** What the client of a hashed stream ended with. */
export interface StreamEnd {
  readonly code: number | null;
  readonly stdout: string;
  readonly stderr: string;
}

/** A hashed TCP stream from the guest to L0 that runs for some seconds. */
export class HashedStream implements AsyncDisposable {
  readonly #server: NetperfServer;
  readonly #client: ChildProcess;
  /** When the client has ended; code 0: every byte arrived as sent, over one connection. */
  readonly ended: Promise<StreamEnd>;

  private constructor(server: NetperfServer, client: ChildProcess) {
    this.#server = server;
    this.#client = client;
    const said = { stdout: '', stderr: '' };
    for (const name of ['stdout', 'stderr'] as const)
      client[name]?.setEncoding('utf8').on('data', (text: string) => (said[name] += text));
    this.ended = once(client, 'close').then(([code]) => ({ code: code as number | null, ...said }));
  }

  static async start(device: StackDevice, host: string, seconds: number): Promise<HashedStream> {
    const server = await NetperfServer.start(device.back, 600);
    const argv = [executable('nf-netperf'), 'client', '--json', '--seed', '7', '--host', host];
    argv.push('--port', String(server.port), '--test', 'TCP_STREAM', '--seconds', String(seconds));
    return new HashedStream(server, device.front.spawn(argv));
  }

  async [Symbol.asyncDispose](): Promise<void> {
    this.#client.kill('SIGKILL');
    await this.ended;
    await this.#server.close();
  }
}
