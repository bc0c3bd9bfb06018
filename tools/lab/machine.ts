// SPDX-License-Identifier: MIT
/** Everything a machine needs before it boots: tools, packages, images, its folder. */
import {
  copyFileSync,
  linkSync,
  mkdirSync,
  mkdtempSync,
  readFileSync,
  writeFileSync,
} from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';

import { NestfrontError } from '../../lib/errors.js';
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
  readonly dir: string;
  readonly packages: LabPackages;
  readonly log: (line: string) => void;
  readonly signal?: AbortSignal | undefined;
}

/** Fetches and builds what is not cached. */
export async function makeContext(
  log: (line: string) => void,
  signal?: AbortSignal,
): Promise<Context> {
  await needTools();
  const packages = await fetchPackages(log);
  const images = await buildImages(packages, log);
  const dir = mkdtempSync(join(tmpdir(), 'nestfront-lab-run-'));
  return { images, own: packOwn(dir), dir, packages, log, signal };
}

/** Makes a machine's folder: its images, and the share that dom0 sees. */
export async function prepare(
  b: Group,
  c: Context,
  only?: readonly string[],
): Promise<{ machine: Machine; dir: string }> {
  const dir = join(c.dir, b.job);
  const share = join(dir, 'share');
  mkdirSync(share, { recursive: true });
  link(c.images.kernel, join(share, 'vmlinux'));
  const node = b.node === true ? [await packNode(c.packages, dir)] : [];
  concatenate(join(share, 'domu.cpio'), [c.images.domu, c.own]);
  if (b.node === true) concatenate(join(share, 'l1.cpio'), [c.images.domu, c.own, ...node]);
  const initrd = join(dir, 'dom0.cpio');
  concatenate(initrd, [c.images.dom0, c.own, ...node]);
  const machine = {
    images: c.images,
    initrd,
    share,
    job: b.job,
    ...(only === undefined ? {} : { only }),
    consoleFile: join(dir, 'console.log'),
    memory: b.memory,
    dom0Memory: b.dom0Memory,
    seconds: b.seconds,
    idleSeconds: 240,
  };
  return { machine, dir };
}
