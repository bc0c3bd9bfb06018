// SPDX-License-Identifier: MIT
/** What the packages contribute to an image: programs with their libraries, kernel modules. */
import { copyFileSync, cpSync, existsSync, mkdirSync, symlinkSync } from 'node:fs';
import { basename, dirname, join } from 'node:path';

import { NestfrontError } from '../../lib/errors.js';
import type { LabPackages } from './packages.js';
import { run } from './process.js';

const XEN_BIN = 'usr/lib/xen-4.17/bin';
const LIBRARY_DIRS = [
  'lib/x86_64-linux-gnu',
  'usr/lib/x86_64-linux-gnu',
  'usr/lib/xen-4.17/lib/x86_64-linux-gnu',
];
const SHARED = ['xen-evtchn', 'xen-gntdev', 'xen-gntalloc', 'xenfs', 'tun'];
const CONTENTS = {
  dom0: {
    modules: [
      ...SHARED,
      'xen-privcmd',
      'xen-netback',
      'xen-blkback',
      'loop',
      'bridge',
      'virtio_pci',
      '9p',
      '9pnet_virtio',
    ],
    programs: [
      'xl',
      'xenstored',
      'xenconsoled',
      'xenconsole',
      'xen-init-dom0',
      'libxl-save-helper',
    ].map((name) => `${XEN_BIN}/${name}`),
  },
  domu: {
    modules: [...SHARED, 'xen-netfront', 'xen-blkfront', 'ext4', 'nbd'],
    programs: ['sbin/mke2fs', 'sbin/nbd-client'],
  },
} as const;
const COMMON_PROGRAMS = [
  'usr/bin/xenstore',
  'usr/bin/iperf3',
  'sbin/ethtool',
  'usr/bin/ip',
  'bin/ip',
  'sbin/e2fsck',
];
const XENSTORE_LINKS = ['read', 'write', 'ls', 'list', 'rm', 'watch', 'exists'];

export type ImageKind = keyof typeof CONTENTS;

/** The libraries a program of the packages needs, found by the packages' own loader. */
export async function libraries(root: string, program: string): Promise<string[]> {
  const path = LIBRARY_DIRS.map((d) => join(root, d)).join(':');
  const loader = join(root, 'lib/x86_64-linux-gnu/ld-linux-x86-64.so.2');
  const listed = await run(loader, ['--library-path', path, '--list', program], { seconds: 20 });
  const missing = /^\s*(\S+) => not found/m.exec(listed.stdout)?.[1];
  if (missing)
    throw new NestfrontError(
      'NF_ENOENT',
      'lab.image',
      `${basename(program)} needs ${missing}, of no package listed`,
    );
  return [...listed.stdout.matchAll(/=> (\/\S+)/g)]
    .map((m) => m[1] ?? '')
    .filter((l) => !l.includes('ld-linux'));
}

async function addProgram(packages: LabPackages, tree: string, program: string): Promise<void> {
  const from = join(packages.root, program);
  if (!existsSync(from)) return; // ip is in /bin or in /usr/bin
  const to = join(tree, program);
  mkdirSync(dirname(to), { recursive: true });
  copyFileSync(from, to);
  for (const library of await libraries(packages.root, from))
    copyFileSync(library, join(tree, 'lib', basename(library)));
}

/** Files of an image's modules and of all they depend on, paths below the packages' root. */
export async function moduleFiles(packages: LabPackages, kind: ImageKind): Promise<string[]> {
  const { root, kernel } = packages;
  if (!existsSync(join(root, 'lib/modules', kernel, 'modules.dep')))
    await run('depmod', ['-b', root, kernel], { seconds: 120 });
  const files = new Set<string>();
  for (const module of CONTENTS[kind].modules) {
    const shown = await run('modprobe', ['-d', root, '-S', kernel, '--show-depends', module], {
      seconds: 20,
    });
    for (const m of shown.stdout.matchAll(/^insmod (\S+)/gm))
      files.add((m[1] ?? '').slice(root.length + 1));
  }
  return [...files].sort();
}

async function addModules(packages: LabPackages, tree: string, kind: ImageKind): Promise<void> {
  const { root, kernel } = packages;
  for (const file of await moduleFiles(packages, kind)) {
    const to = join(tree, file);
    mkdirSync(dirname(to), { recursive: true });
    copyFileSync(join(root, file), to);
  }
  for (const name of ['modules.builtin', 'modules.order', 'modules.builtin.modinfo'])
    copyFileSync(join(root, 'lib/modules', kernel, name), join(tree, 'lib/modules', kernel, name));
  await run('depmod', ['-b', tree, kernel], { seconds: 60 });
}

/** Fills tree with everything that does not change between runs. */
export async function buildTree(
  packages: LabPackages,
  kind: ImageKind,
  tree: string,
): Promise<void> {
  const { root } = packages;
  for (const d of [
    'bin',
    'sbin',
    'dev',
    'proc',
    'sys',
    'run',
    'tmp',
    'mnt',
    'lib64',
    'usr/bin',
    'usr/sbin',
    'etc/xen',
    'var/log/xen/console',
    'var/lib/xen',
    'var/lib/xenstored',
    'root',
  ])
    mkdirSync(join(tree, d), { recursive: true });
  mkdirSync(join(tree, 'lib'), { recursive: true });
  copyFileSync(
    join(root, 'lib/x86_64-linux-gnu/ld-linux-x86-64.so.2'),
    join(tree, 'lib64/ld-linux-x86-64.so.2'),
  );
  // loaded by name when a thread ends, so that no loader lists it
  copyFileSync(join(root, 'lib/x86_64-linux-gnu/libgcc_s.so.1'), join(tree, 'lib/libgcc_s.so.1'));
  copyFileSync(join(root, 'bin/busybox'), join(tree, 'bin/busybox'));
  symlinkSync('busybox', join(tree, 'bin/sh'));
  for (const program of [...COMMON_PROGRAMS, ...CONTENTS[kind].programs])
    await addProgram(packages, tree, program);
  for (const verb of XENSTORE_LINKS)
    symlinkSync('xenstore', join(tree, `usr/bin/xenstore-${verb}`));
  for (const program of CONTENTS[kind].programs)
    symlinkSync(`/${program}`, join(tree, 'usr/sbin', basename(program)));
  if (kind === 'dom0')
    cpSync(join(root, 'usr/lib/xen-4.17/boot'), join(tree, 'usr/lib/xen-4.17/boot'), {
      recursive: true,
    });
  await addModules(packages, tree, kind);
}

/** What an image is made of: part of the key of a cached one. */
export const recipe: string = JSON.stringify([CONTENTS, COMMON_PROGRAMS]);
