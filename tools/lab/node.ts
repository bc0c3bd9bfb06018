// SPDX-License-Identifier: MIT
/** Node and this package as one more image, for the scenarios that run TypeScript inside Xen. */
import { chmodSync, copyFileSync, cpSync, mkdirSync, readdirSync } from 'node:fs';
import { basename, dirname, join } from 'node:path';

import { packageRoot } from '../../lib/stack/paths.js';
import { pack } from './image.js';
import type { LabPackages } from './packages.js';
import { libraries } from './tree.js';

/** Where the package is in the image. */
const HOME = 'opt/nestfront';
/** What its compiled code imports at run time. */
const MODULES = ['bindings', 'file-uri-to-path', 'zod'];

/**
 * Packs this very Node and the package as it is built here. Node and the addon run with the
 * packages' libraries, so a host whose C library is newer than bookworm's builds an addon that
 * does not load there.
 * @returns the cpio
 */
export async function packNode(packages: LabPackages, dir: string): Promise<string> {
  const tree = join(dir, 'node');
  const from = packageRoot();
  const to = join(tree, HOME);
  mkdirSync(join(tree, 'usr/bin'), { recursive: true });
  mkdirSync(join(tree, 'lib'), { recursive: true });
  copyFileSync(process.execPath, join(tree, 'usr/bin/node'));
  chmodSync(join(tree, 'usr/bin/node'), 0o755);
  const release = join(from, 'build/Release');
  const addon = readdirSync(release).filter((name) => name.endsWith('.node'));
  for (const file of [process.execPath, ...addon.map((name) => join(release, name))])
    for (const library of await libraries(packages.root, file))
      copyFileSync(library, join(tree, 'lib', basename(library)));
  for (const name of [...addon, 'nestfrontd', 'nf-launch', 'nf-netperf']) {
    mkdirSync(join(to, 'build/Release'), { recursive: true });
    copyFileSync(join(release, name), join(to, 'build/Release', name));
  }
  for (const part of ['dist/lib', 'dist/tools', ...MODULES.map((m) => `node_modules/${m}`)]) {
    mkdirSync(dirname(join(to, part)), { recursive: true });
    cpSync(join(from, part), join(to, part), {
      recursive: true,
      filter: (file) => !/\.(map|d\.[cm]?ts)$/.test(file),
    });
  }
  copyFileSync(join(from, 'package.json'), join(to, 'package.json'));
  const file = join(dir, 'node.cpio');
  pack(tree, file);
  return file;
}
