// SPDX-License-Identifier: MIT
// The hypervisor process:
//   node main.js --name H0 --dir DIR [--admin-fd N] [--outer-fd N] [--listen]
// Prints `ready` on stdout once its sockets are there. Exits 0 on SIGTERM, SIGINT, `shutdown`, and,
// without --listen, when the toolstack hangs up.

import { chmodSync, mkdirSync, unlinkSync } from 'node:fs';
import { connect, createServer, type Server, type Socket } from 'node:net';
import { join } from 'node:path';
import { parseArgs } from 'node:util';
import { native, type NativeSeqListener } from '../native.cjs';
import { AdminConnection } from './admin.js';
import { Hypervisor } from './hypervisor.js';
import { stderrLog } from './log.js';

interface Options {
  name: string;
  dir: string;
  adminFd: number | undefined;
  inner: boolean;
  listen: boolean;
}

class UsageError extends Error {}

function fdOption(name: string, text: string | undefined): number | undefined {
  if (text === undefined) return undefined;
  if (!/^\d{1,6}$/.test(text)) throw new UsageError(`--${name} must be a descriptor's number`);
  return Number(text);
}

function parse(): Options {
  const { values } = parseArgs({
    options: {
      name: { type: 'string' },
      dir: { type: 'string' },
      'admin-fd': { type: 'string' },
      'outer-fd': { type: 'string' },
      listen: { type: 'boolean', default: false },
    },
  });
  const { name, dir, listen } = values;
  if (name === undefined || dir === undefined) throw new UsageError('--name and --dir are needed');
  const adminFd = fdOption('admin-fd', values['admin-fd']);
  // the outer layer's socket is only held: while we live, so does the tenant's domain there
  const inner = fdOption('outer-fd', values['outer-fd']) !== undefined;
  return { name, dir, adminFd, inner, listen };
}

/** Whether a socket in the file system answers; a dead one's file is removed. */
async function claim(path: string): Promise<void> {
  if (Buffer.byteLength(path) > 107)
    throw new Error(`${path} is too long for a socket (107 bytes)`);
  const answered = await new Promise<boolean>((resolve, reject) => {
    const probe = connect(path, () => {
      probe.destroy();
      resolve(true);
    });
    probe.on('error', ({ code }: NodeJS.ErrnoException) => {
      if (code === 'ENOENT') return resolve(false);
      // EPROTOTYPE: a live SOCK_SEQPACKET
      if (code !== 'ECONNREFUSED') return reject(new Error(`${path} is in use (${code})`));
      unlinkSync(path);
      resolve(false);
    });
  });
  if (answered) throw new Error(`${path} is in use by another hypervisor`);
}

/** Only our own user and root may drive us. */
function trusted(fd: number): boolean {
  const { uid } = native.peerCredentials(fd);
  return uid === 0 || uid === process.getuid?.();
}

class Main {
  readonly #options: Options;
  readonly #hv: Hypervisor;
  readonly #admins = new Set<AdminConnection>();
  readonly #paths: string[] = [];
  #store: Server | undefined;
  #listener: NativeSeqListener | undefined;

  constructor(options: Options) {
    this.#options = options;
    const { name, inner } = options;
    this.#hv = new Hypervisor({ name, inner, log: stderrLog(name) });
  }

  async start(): Promise<void> {
    const { dir, adminFd, listen } = this.#options;
    mkdirSync(dir, { recursive: true, mode: 0o700 });
    await this.#listenStore(join(dir, 'store.sock'));
    if (listen) await this.#listenAdmin(join(dir, 'admin.sock'));
    if (adminFd !== undefined) {
      this.#addAdmin(adminFd, () => {
        if (!listen) this.stop('the toolstack hung up');
      });
    }
    for (const signal of ['SIGTERM', 'SIGINT'] as const)
      process.on(signal, () => this.stop(signal));
    process.on('exit', () => this.#unlink());
    process.stdout.write('ready\n');
  }

  stop(why: string): void {
    this.#hv.log(`stops: ${why}`);
    this.#store?.close();
    this.#listener?.close();
    this.#hv.close();
    process.exit(0);
  }

  #addAdmin(fd: number, onClose: () => void): void {
    const admin = new AdminConnection(
      this.#hv,
      fd,
      () => {
        this.#admins.delete(admin);
        onClose();
      },
      () => this.stop('asked to'),
    );
    this.#admins.add(admin);
  }

  async #listenAdmin(path: string): Promise<void> {
    await claim(path);
    this.#listener = new native.SeqListener(path, 0o600, (fd) => {
      if (trusted(fd)) return this.#addAdmin(fd, () => undefined);
      this.#hv.log('admin connection of another user refused');
      native.close(fd);
    });
    this.#paths.push(path);
  }

  async #listenStore(path: string): Promise<void> {
    await claim(path);
    const server = createServer((socket) => this.#acceptStore(socket));
    await new Promise<void>((resolve, reject) => {
      server.once('error', reject);
      server.listen(path, resolve);
    });
    this.#store = server;
    this.#paths.push(path);
    chmodSync(path, 0o600);
  }

  #acceptStore(socket: Socket): void {
    // Node has no name for it; every version from 20 on has the field
    const { fd } = (socket as unknown as { _handle: { fd: number } })._handle;
    if (trusted(fd)) return this.#hv.store.attach(socket, 0, true);
    this.#hv.log('store connection of another user refused');
    socket.destroy();
  }

  #unlink(): void {
    for (const path of this.#paths) {
      try {
        unlinkSync(path);
      } catch {
        // the toolstack may have removed the directory already
      }
    }
  }
}

try {
  await new Main(parse()).start();
} catch (error) {
  process.stderr.write(`hypervisor: ${(error as Error).message}\n`);
  const { code } = error as NodeJS.ErrnoException;
  const usage = error instanceof UsageError || code?.startsWith('ERR_PARSE_ARGS');
  process.exit(usage ? 2 : 1);
}
