// SPDX-License-Identifier: MIT
/** Everything a machine needs before it boots: tools, packages, images, its folder. */
import {
  copyFileSync,
  existsSync,
  linkSync,
  mkdirSync,
  mkdtempSync,
  readFileSync,
  readdirSync,
  rmSync,
  rmdirSync,
  statSync,
  writeFileSync,
} from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';

import { NestfrontError } from '../../lib/errors.js';
import { processStart } from '../../lib/stack/processes.js';
import type { Group } from './groups/group.js';
import { buildImages, packOwn } from './image.js';
import type { LabImages } from './image.js';
import { packNode } from './node.js';
import { fetchPackages } from './packages.js';
import type { LabPackages } from './packages.js';
import { run } from './process.js';
import type { Machine } from './qemu.js';

const TOOLS: readonly (readonly [program: string, debian: string])[] = [
  ['qemu-system-x86_64', 'qemu-system-x86 seabios'],
  ['cpio', 'cpio'],
  ['modprobe', 'kmod'],
  ['depmod', 'kmod'],
  ['xz', 'xz-utils'],
  ['setpriv', 'util-linux'],
];

async function needTools(): Promise<void> {
  const missing = new Set<string>();
  for (const [program, debian] of TOOLS) {
    const found = await run('sh', ['-c', `PATH=$PATH:/usr/sbin:/sbin command -v ${program}`], {
      seconds: 5,
      tolerate: true,
    });
    if (found.code !== 0) missing.add(debian);
  }
  if (missing.size > 0)
    throw new NestfrontError(
      'NF_EPERM',
      'lab',
      'missing on this machine: sudo apt-get install --no-install-recommends ' +
        [...missing].join(' '),
    );
}

function link(from: string, to: string): void {
  try {
    linkSync(from, to);
  } catch {
    copyFileSync(from, to); // another file system
  }
}

/** An initramfs may be several archives in a row. */
function concatenate(to: string, parts: readonly string[]): void {
  writeFileSync(to, Buffer.concat(parts.map((part) => readFileSync(part))));
}

/** What all machines of a run share. */
export interface Context {
  readonly images: LabImages;
  readonly own: string;
  /** Node's image, where one of the groups wants it. */
  readonly node: string | undefined;
  readonly dir: string;
  readonly packages: LabPackages;
  readonly log: (line: string) => void;
  readonly signal?: AbortSignal | undefined;
}

const RUNS = 'nestfront-lab-run-';

/** Takes away a machine's images; its console stays, results name it. */
export function clearMachine(dir: string): void {
  for (const name of readdirSync(dir))
    if (name !== 'console.log') rmSync(join(dir, name), { recursive: true });
}

/** The same for a whole run, with what its machines shared. */
export function clearRun(dir: string): void {
  for (const entry of readdirSync(dir, { withFileTypes: true })) {
    const path = join(dir, entry.name);
    if (entry.isDirectory() && existsSync(join(path, 'console.log'))) clearMachine(path);
    else rmSync(path, { recursive: true });
  }
  if (readdirSync(dir).length === 0) rmdirSync(dir);
}

/** A run that was killed leaves hundreds of megabytes behind. */
function clearDeadRuns(): void {
  for (const name of readdirSync(tmpdir())) {
    const pid = new RegExp(`^${RUNS}(\\d+)-`).exec(name)?.[1];
    const dir = join(tmpdir(), name);
    const isDead = pid !== undefined && processStart(Number(pid)) === undefined;
    // of others there is nothing we could or should remove
    if (isDead && statSync(dir).uid === process.getuid?.()) clearRun(dir);
  }
}

/** Fetches and builds what is not cached, and packs what is ours. */
export async function makeContext(
  groups: readonly Group[],
  log: (line: string) => void,
  signal?: AbortSignal,
): Promise<Context> {
  await needTools();
  clearDeadRuns();
  const packages = await fetchPackages(log);
  const images = await buildImages(packages, log);
  const dir = mkdtempSync(join(tmpdir(), `${RUNS}${process.pid}-`));
  const wantsNode = groups.some((group) => group.node !== undefined);
  const node = wantsNode ? await packNode(packages, dir) : undefined;
  return { images, own: packOwn(dir), node, dir, packages, log, signal };
}

/** Makes a machine's folder: its images, and the share that dom0 sees. */
export function prepare(
  b: Group,
  c: Context,
  more: Pick<Machine, 'only' | 'options'> = {},
): { machine: Machine; dir: string } {
  const dir = join(c.dir, b.job);
  const share = join(dir, 'share');
  mkdirSync(share, { recursive: true });
  link(c.images.kernel, join(share, 'vmlinux'));
  const node = b.node !== undefined && c.node !== undefined ? [c.node] : [];
  concatenate(join(share, 'domu.cpio'), [c.images.domu, c.own]);
  if (node.length > 0) concatenate(join(share, 'l1.cpio'), [c.images.domu, c.own, ...node]);
  const initrd = join(dir, 'dom0.cpio');
  concatenate(initrd, [c.images.dom0, c.own, ...(b.node === 'all' ? node : [])]);
  const machine = {
    images: c.images,
    initrd,
    share,
    job: b.job,
    ...more,
    consoleFile: join(dir, 'console.log'),
    memory: b.memory,
    dom0Memory: b.dom0Memory,
    clock: b.clock ?? 'host',
    seconds: b.seconds,
    idleSeconds: 420,
  };
  return { machine, dir };
}
