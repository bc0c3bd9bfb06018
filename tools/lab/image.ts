// SPDX-License-Identifier: MIT
/**
 * Root file systems of the lab as initramfs images: busybox, the toolstack, kernel modules, our own
 * static executables and the scripts of guest/. The packages' part is cached by their versions;
 * ours is a second cpio, appended for every run: a rebuilt driver never meets a stale image.
 */
import { spawnSync } from 'node:child_process';
import { createHash } from 'node:crypto';
import {
  chmodSync,
  closeSync,
  copyFileSync,
  existsSync,
  mkdirSync,
  mkdtempSync,
  openSync,
  readdirSync,
  readFileSync,
  renameSync,
  rmSync,
  writeFileSync,
} from 'node:fs';
import { tmpdir } from 'node:os';
import { basename, join } from 'node:path';
import { gunzipSync } from 'node:zlib';

import { NestfrontError } from '../../lib/errors.js';
import { packageRoot } from '../../lib/stack/paths.js';
import { cacheRoot } from './packages.js';
import type { LabPackages } from './packages.js';
import { provider } from './provenance.js';
import type { Provider } from './provenance.js';
import { buildTree, moduleFiles, recipe } from './tree.js';

/** Packs a tree as newc cpio, the format initramfs wants. */
export function pack(tree: string, file: string): void {
  const out = openSync(`${file}.new`, 'w');
  const find = spawnSync('find', ['.', '-print0'], { cwd: tree, maxBuffer: 1 << 26 });
  const cpio = spawnSync('cpio', ['-o0', '-H', 'newc', '--quiet', '-R', '0:0'], {
    cwd: tree,
    input: find.stdout,
    stdio: ['pipe', out, 'pipe'],
  });
  closeSync(out);
  if (cpio.error || cpio.status !== 0)
    throw new NestfrontError(
      'NF_EIO',
      'lab.image',
      `cpio failed: ${cpio.error?.message ?? String(cpio.stderr)}`,
    );
  renameSync(`${file}.new`, file);
}

/** The uncompressed kernel: unpacking it inside an emulated guest costs half a minute each time. */
function uncompressed(vmlinuz: string): Buffer {
  const image = readFileSync(vmlinuz);
  // Documentation/arch/x86/boot.rst: setup_sects, payload_offset, payload_length
  const setup = ((image[0x1f1] || 4) + 1) * 512;
  const start = setup + image.readUInt32LE(0x248);
  const payload = image.subarray(start, start + image.readUInt32LE(0x24c));
  const xz = spawnSync('xz', ['-dc', '--single-stream'], { input: payload, maxBuffer: 1 << 28 });
  if (xz.error || !xz.stdout?.length)
    throw new NestfrontError(
      'NF_EIO',
      'lab.image',
      `the kernel's payload does not unpack: ${xz.error?.message ?? String(xz.stderr)}`,
    );
  return xz.stdout;
}

/** What boots is what was unpacked just now: an older file that differs is replaced. */
function keep(file: string, bytes: Buffer): void {
  if (existsSync(file) && readFileSync(file).equals(bytes)) return;
  writeFileSync(`${file}.new`, bytes);
  renameSync(`${file}.new`, file);
}

export interface LabImages {
  readonly xen: string;
  readonly kernel: string;
  readonly dom0: string;
  readonly domu: string;
  /** Whose bytes these are. */
  readonly provider: Provider;
}

/** Builds what is not cached: Xen, kernel, and the two package images. */
export async function buildImages(
  packages: LabPackages,
  log: (line: string) => void,
): Promise<LabImages> {
  // the recipe is part of the key: a changed list of modules must not meet an old image
  const made = createHash('sha256').update(recipe).digest('hex').slice(0, 8);
  const dir = join(cacheRoot(), `images-${packages.key}-${made}`);
  mkdirSync(dir, { recursive: true });
  const images = {
    xen: join(dir, 'xen'),
    kernel: join(dir, 'vmlinux'),
    dom0: join(dir, 'dom0.cpio'),
    domu: join(dir, 'domu.cpio'),
  };
  const gz = join(packages.root, 'boot/xen-4.17-amd64.gz');
  const vmlinuz = join(packages.root, 'boot', `vmlinuz-${packages.kernel}`);
  const from = provider(packages.root, packages.kernel, await moduleFiles(packages, 'dom0'));
  keep(images.xen, gunzipSync(readFileSync(gz)));
  keep(images.kernel, uncompressed(vmlinuz));
  for (const kind of ['domu', 'dom0'] as const) {
    if (existsSync(images[kind])) continue;
    log(`building the ${kind} image`);
    const tree = mkdtempSync(join(tmpdir(), 'nestfront-lab-'));
    try {
      await buildTree(packages, kind, tree);
      pack(tree, images[kind]);
    } finally {
      rmSync(tree, { recursive: true, force: true });
    }
  }
  return { ...images, provider: from };
}

/** Our own part, appended to both images: executables, guest scripts. Returns the cpio. */
export function packOwn(dir: string): string {
  const tree = join(dir, 'own');
  const release = join(packageRoot(), 'build', 'Release');
  const scripts = join(packageRoot(), 'tools', 'lab', 'guest');
  mkdirSync(join(tree, 'usr/bin'), { recursive: true });
  for (const name of ['nestfrontd', 'nf-netperf', 'nf-diskcheck', 'nf-launch']) {
    const to = join(tree, 'usr/bin', name);
    copyFileSync(join(release, name), to);
    chmodSync(to, 0o755);
  }
  mkdirSync(join(tree, 'lab'), { recursive: true });
  for (const name of readdirSync(scripts))
    copyFileSync(join(scripts, name), join(tree, 'lab', name));
  mkdirSync(join(tree, 'etc/xen/scripts'), { recursive: true });
  const hotplug = join(packageRoot(), 'drivers/daemon/scripts/block-nestfront');
  for (const from of [join(scripts, 'vif-lab'), join(scripts, 'block'), hotplug]) {
    const to = join(tree, 'etc/xen/scripts', basename(from));
    copyFileSync(from, to);
    chmodSync(to, 0o755);
  }
  writeFileSync(join(tree, 'etc/xen/xl.conf'), 'autoballoon="off"\nvif.default.bridge="xenbr0"\n');
  writeFileSync(join(tree, 'init'), '#!/bin/busybox sh\nexec /bin/busybox sh /lab/init.sh\n');
  chmodSync(join(tree, 'init'), 0o755);
  const file = join(dir, 'own.cpio');
  pack(tree, file);
  return file;
}
