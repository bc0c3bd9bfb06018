// SPDX-License-Identifier: MIT
// Debian's xenstored without Xen: test/model/xenstored/fakexen.c is preloaded into it.
import { spawn, spawnSync, type ChildProcess } from 'node:child_process';
import { once } from 'node:events';
import { existsSync, mkdtempSync, openSync, readdirSync, rmSync } from 'node:fs';
import { closeSync, unlinkSync, writeFileSync, writeSync } from 'node:fs';
import { connect } from 'node:net';
import { homedir, tmpdir } from 'node:os';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { strings, XS } from '../../../lib/store/wire.js';
import { RingTalker, SocketTalker, type Talker } from './talker.js';

/** From dist/test/model/xenstored. */
const SHIM = fileURLToPath(new URL('../../../../test/model/xenstored/fakexen.c', import.meta.url));
const INSIDE = 'usr/lib/xen-4.17/bin';

/** Where the package or an unpacked one has it; NESTFRONT_XENSTORED names it otherwise. */
function findBinary(): string | undefined {
  const cache = process.env['XDG_CACHE_HOME'] ?? join(homedir(), '.cache');
  const roots = ['/', join(cache, 'nestfront-ci', 'xen-utils')];
  const lab = join(cache, 'nestfront', 'lab');
  if (existsSync(lab)) {
    for (const name of readdirSync(lab)) {
      if (name.startsWith('packages-')) roots.push(join(lab, name));
    }
  }
  const places = roots.map((root) => join(root, INSIDE, 'xenstored'));
  return [process.env['NESTFRONT_XENSTORED'] ?? '', ...places].find((p) => p && existsSync(p));
}

/** Why there is no reference here, or what to start. */
export function reference(): { binary: string; shim: string; remove(): void } | { reason: string } {
  const binary = findBinary();
  if (!binary) return { reason: 'needs the xenstored of xen-utils-4.17 (.ci/run fetches it)' };
  const dir = mkdtempSync(join(tmpdir(), 'nf-shim-'));
  const shim = join(dir, 'fakexen.so');
  const remove = (): void => rmSync(dir, { recursive: true, force: true });
  const cc = spawnSync('cc', ['-shared', '-fPIC', '-O1', '-o', shim, SHIM, '-ldl']);
  if (cc.status === 0) {
    const run = spawnSync(binary, ['--help']); // its libraries may be missing
    if (run.status === 0) return { binary, shim, remove };
  }
  remove();
  return { reason: `${binary} does not run here, or no cc and libxen-dev: ${String(cc.stderr)}` };
}

/** A xenstored with domains that exist only for it. */
export class Reference {
  readonly #dir: string;
  readonly #child: ChildProcess;
  readonly #events: number;
  readonly #talkers: Talker[] = [];

  private constructor(dir: string, child: ChildProcess, events: number) {
    this.#dir = dir;
    this.#child = child;
    this.#events = events;
  }

  static async start({ binary, shim }: { binary: string; shim: string }): Promise<Reference> {
    const dir = mkdtempSync(join(tmpdir(), 'nf-xs-'));
    writeFileSync(join(dir, 'ring-0'), Buffer.alloc(4096));
    writeFileSync(join(dir, 'port'), '7');
    spawnSync('mkfifo', [join(dir, 'events')]);
    const env = {
      ...process.env,
      LD_PRELOAD: shim,
      NF_FAKEXEN: dir,
      XENSTORED_RUNDIR: dir,
      XENSTORED_ROOTDIR: dir,
      XENSTORED_PATH: join(dir, 'socket'),
    };
    const args = ['--no-fork', '--pid-file', join(dir, 'pid')];
    const child = spawn(binary, args, { env, stdio: 'ignore' });
    const events = openSync(join(dir, 'events'), 'r+'); // read and write: never blocks
    const made = new Reference(dir, child, events);
    for (let i = 0; !(await answers(made.path)); i++) {
      if (i > 1000 || child.exitCode !== null) throw new Error('xenstored did not start');
      await new Promise((resolve) => setTimeout(resolve, 10));
    }
    return made;
  }

  /** XENSTORED_PATH for its clients. */
  get path(): string {
    return join(this.#dir, 'socket');
  }

  async root(): Promise<Talker> {
    const socket = connect(this.path);
    await once(socket, 'connect');
    return this.#keep(new SocketTalker(socket));
  }

  /** Makes the domain and introduces it. */
  async domain(root: Talker, domid: number): Promise<Talker> {
    const page = join(this.#dir, `ring-${domid}`);
    writeFileSync(page, Buffer.alloc(4096));
    await root.request(XS.INTRODUCE, strings(String(domid), '1', '1'));
    return this.#keep(new RingTalker(page, () => this.#kick(100 + domid)));
  }

  /** The domain is no more; the server hears of it. */
  destroy(domid: number): void {
    unlinkSync(join(this.#dir, `ring-${domid}`));
    this.#kick(1);
  }

  async close(): Promise<void> {
    for (const talker of this.#talkers) talker.close();
    if (this.#child.exitCode === null && this.#child.signalCode === null) {
      this.#child.kill('SIGKILL');
      await once(this.#child, 'exit');
    }
    closeSync(this.#events);
    rmSync(this.#dir, { recursive: true, force: true });
  }

  #keep(talker: Talker): Talker {
    this.#talkers.push(talker);
    return talker;
  }

  #kick(port: number): void {
    const word = Buffer.alloc(4);
    word.writeUInt32LE(port, 0);
    writeSync(this.#events, word);
  }
}

function answers(path: string): Promise<boolean> {
  return new Promise((resolve) => {
    const socket = connect(path);
    socket.on('error', () => resolve(false));
    socket.on('connect', () => (socket.destroy(), resolve(true)));
  });
}
