// SPDX-License-Identifier: MIT
// The hypervisor process:
//   node main.js --name H0 --dir DIR [--admin-fd N] [--outer-fd N] [--keeper-fd N] [--listen]
// Prints `ready` on stdout once its sockets are there. Exits 0 on SIGTERM, SIGINT, `shutdown`, and,
// without --listen, when the toolstack hangs up.

import { mkdirSync, unlinkSync } from 'node:fs';
import { connect, createServer, type Server, type Socket } from 'node:net';
import { join } from 'node:path';
import { parseArgs } from 'node:util';
import { native, type NativeSeqListener } from '../native.cjs';
import { AdminConnection } from './admin.js';
import { Hypervisor } from './hypervisor.js';
import { Keeper } from './keeper.js';
import { stderrLog } from './log.js';
import { restore, type Restorer } from './restore.js';
import { KeptVault } from './vault.js';
import type { StoreRecord } from '../store/record.js';

interface Options {
  name: string;
  dir: string;
  adminFd: number | undefined;
  keeperFd: number | undefined;
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
      'keeper-fd': { type: 'string' },
      listen: { type: 'boolean', default: false },
    },
  });
  const { name, dir, listen } = values;
  if (name === undefined || dir === undefined) throw new UsageError('--name and --dir are needed');
  const adminFd = fdOption('admin-fd', values['admin-fd']);
  // the outer layer's socket is only held: while we live, so does the tenant's domain there
  const inner = fdOption('outer-fd', values['outer-fd']) !== undefined;
  const keeperFd = fdOption('keeper-fd', values['keeper-fd']);
  return { name, dir, adminFd, keeperFd, inner, listen };
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

/** Hears of the keeper's death also while there is nothing to tell it. */
function watchKeeper(vault: KeptVault, fd: number): void {
  const socket = new native.SeqSocket(native.dup(fd), {
    onMessage: (_data, fds) => fds.forEach((extra) => native.close(extra)),
    onClose: () => vault.lost('it hung up'),
  });
  socket.pause();
  socket.unref();
}

/** Listening sockets as a successor finds them at the keeper. */
interface ListenFact {
  admin: number;
  store: number;
}
const LISTEN_FACT = 'L';

class Main {
  readonly #options: Options;
  readonly #hv: Hypervisor;
  readonly #vault: KeptVault | undefined;
  readonly #restorer: Restorer | undefined;
  /** Descriptors of a predecessor's. */
  readonly #listening: Partial<ListenFact> = {};
  readonly #admins = new Set<AdminConnection>();
  readonly #paths: string[] = [];
  #store: Server | undefined;
  #listener: NativeSeqListener | undefined;

  constructor(options: Options) {
    this.#options = options;
    const { name, inner, keeperFd } = options;
    const log = stderrLog(name);
    const vault = keeperFd === undefined ? undefined : new KeptVault(new Keeper(keeperFd), log);
    this.#hv = new Hypervisor({ name, inner, log, ...(vault && { vault }) });
    this.#vault = vault;
    const remains = vault?.remains();
    this.#restorer = vault && remains && restore(this.#hv, vault, remains);
    if (!vault) return;
    const { admin = 0, store = 0 } = (remains?.facts.get(LISTEN_FACT) ?? {}) as Partial<ListenFact>;
    if (admin) this.#listening.admin = this.#restorer!.fdOf(admin);
    if (store) this.#listening.store = this.#restorer!.fdOf(store);
    this.#restorer?.dropUnused();
    vault.snapshot = (): Iterable<StoreRecord> => this.#hv.store.snapshot();
    vault.begin(); // before any message of theirs is read
    watchKeeper(vault, keeperFd!);
  }

  async start(): Promise<void> {
    const { dir, adminFd, listen } = this.#options;
    mkdirSync(dir, { recursive: true, mode: 0o700 });
    const storeFd = await this.#listen('store', join(dir, 'store.sock'), native.SOCK_STREAM);
    await this.#listenStore(storeFd);
    let listenFd = -1;
    if (listen) {
      const path = join(dir, 'admin.sock');
      listenFd = await this.#listen('admin', path, native.SOCK_SEQPACKET);
      this.#listenAdmin(listenFd);
    }
    const idOf = (fd: number): number => this.#vault?.idOf(fd) ?? 0;
    const fact: ListenFact = { admin: idOf(listenFd), store: idOf(storeFd) };
    this.#vault?.put(LISTEN_FACT, fact);
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

  /** A listening socket: a predecessor's, whose clients are waiting in it, or a new one. */
  async #listen(name: keyof ListenFact, path: string, type: number): Promise<number> {
    let fd = this.#listening[name];
    if (fd === undefined) {
      await claim(path);
      fd = native.unixListen(path, type, 0o600);
      this.#vault?.keep(fd);
    }
    this.#paths.push(path);
    return fd;
  }

  #listenAdmin(listenFd: number): void {
    this.#listener = new native.SeqListener(listenFd, (fd) => {
      if (trusted(fd)) return this.#addAdmin(fd, () => undefined);
      this.#hv.log('admin connection of another user refused');
      native.close(fd);
    });
  }

  async #listenStore(fd: number): Promise<void> {
    const server = createServer((socket) => this.#acceptStore(socket));
    await new Promise<void>((resolve, reject) => {
      server.once('error', reject);
      server.listen({ fd }, resolve);
    });
    this.#store = server;
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
