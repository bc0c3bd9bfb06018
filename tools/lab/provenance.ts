// SPDX-License-Identifier: MIT
/**
 * Whose bytes boot: the provider's Xen, kernel and modules are Debian's. The chain: apt checks the
 * signed index, the index names each package's sha256, a package names its files' md5, and those
 * files are hashed here before every run and, the modules, by dom0 itself.
 */
import { createHash } from 'node:crypto';
import { existsSync, mkdtempSync, readFileSync, readdirSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';

import { NestfrontError } from '../../lib/errors.js';
import { run } from './process.js';

/** In the folder of unpacked packages. */
const FILE = 'debian.json';

interface Recorded {
  /** sha256 of each package as the signed index has it, by file name. */
  readonly packages: Record<string, string>;
  /** md5 of the provider's files, as their packages say, by path. */
  readonly md5: Record<string, string>;
}

/** The provider of a run. */
export interface Provider {
  /** sha256 of Xen's and the kernel's packages, by file name, equal to the signed index's. */
  readonly packages: Record<string, string>;
  /** sha256 of Debian's files. */
  readonly xen: string;
  readonly kernel: string;
  /** sha256 of each module that dom0 may load, by path below /lib/modules. */
  readonly modules: Record<string, string>;
}

const hash = (kind: 'md5' | 'sha256', file: string): string =>
  createHash(kind).update(readFileSync(file)).digest('hex');

const wrong = (text: string): NestfrontError =>
  new NestfrontError('NF_EIO', 'lab.provenance', `${text}: the provider must be Debian's`);

/** @param printed what `apt-get --print-uris download` said */
export function indexHashes(printed: string): Map<string, string> {
  const lines = printed.matchAll(/^'\S+' (\S+) \d+ SHA256:([0-9a-f]{64})$/gm);
  return new Map([...lines].map((m) => [m[1] ?? '', m[2] ?? '']));
}

/**
 * Checks downloaded packages against the index and records whose files the provider's are.
 * @throws NestfrontError `NF_EIO`: a package is not the index's
 */
export async function record(
  debs: string,
  root: string,
  index: ReadonlyMap<string, string>,
): Promise<void> {
  const packages: Record<string, string> = {};
  const md5: Record<string, string> = {};
  for (const name of readdirSync(debs).sort()) {
    const file = join(debs, name);
    const sha256 = hash('sha256', file);
    // apt writes a colon of a version as %3a in a file's name, the index's list does so, too
    if (index.get(name) !== sha256) throw wrong(`${name} is not the package of the signed index`);
    if (!/^(xen-hypervisor|linux-image)-/.test(name)) continue;
    packages[name] = sha256;
    const control = mkdtempSync(join(tmpdir(), 'nestfront-lab-control-'));
    try {
      await run('dpkg-deb', ['-e', file, control], { seconds: 120 });
      const sums = readFileSync(join(control, 'md5sums'), 'utf8');
      for (const m of sums.matchAll(/^([0-9a-f]{32}) {2}((?:boot|lib\/modules)\/.*)$/gm))
        md5[m[2] ?? ''] = m[1] ?? '';
    } finally {
      rmSync(control, { recursive: true, force: true });
    }
  }
  writeFileSync(join(root, FILE), JSON.stringify({ packages, md5 } satisfies Recorded));
}

/**
 * Hashes what is about to boot.
 * @param modules paths below root
 * @throws NestfrontError `NF_EIO`: a file is not its package's
 */
export function provider(root: string, kernel: string, modules: readonly string[]): Provider {
  if (!existsSync(join(root, FILE)))
    throw wrong(`${root} has no record of its packages; remove that folder, it is made again`);
  const recorded = JSON.parse(readFileSync(join(root, FILE), 'utf8')) as Recorded;
  const checked = (path: string): string => {
    const file = join(root, path);
    if (!existsSync(file) || hash('md5', file) !== recorded.md5[path])
      throw wrong(`${file} differs from its package; remove ${root}, it is made again`);
    return hash('sha256', file);
  };
  return {
    packages: recorded.packages,
    xen: checked('boot/xen-4.17-amd64.gz'),
    kernel: checked(`boot/vmlinuz-${kernel}`),
    modules: Object.fromEntries(
      modules.map((path) => [path.replace(/^lib\/modules\//, ''), checked(path)] as const),
    ),
  };
}

/** What dom0 found in its own file system against Debian's; empty when all is well. */
export function moduleFaults(p: Provider, seen: ReadonlyMap<string, string>): string[] {
  if (seen.size === 0) return ['dom0 did not say which modules it has'];
  return [...seen]
    .filter(([path, sha256]) => p.modules[path] !== sha256)
    .map(([path]) => `dom0 has a module that is not Debian's: ${path}`);
}

/** One hash over all modules, for a line of results. */
export function modulesHash(p: Provider): string {
  const lines = Object.entries(p.modules)
    .sort(([a], [b]) => (a < b ? -1 : 1))
    .map(([path, sha256]) => `${sha256}  ${path}\n`);
  return createHash('sha256').update(lines.join('')).digest('hex');
}
