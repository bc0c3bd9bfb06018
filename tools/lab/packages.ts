// SPDX-License-Identifier: MIT
/**
 * The lab's Debian packages: fetched with apt from a source list of the lab's own (bookworm),
 * unpacked and never installed, so that no boot loader or service of the host changes. Cached by
 * version.
 */
import { createHash } from 'node:crypto';
import { existsSync, mkdirSync, readdirSync, renameSync, rmSync, writeFileSync } from 'node:fs';
import { homedir } from 'node:os';
import { join } from 'node:path';

import { NestfrontError } from '../../lib/errors.js';
import { run } from './process.js';
import { indexHashes, record } from './provenance.js';

const KEYRING = '/usr/share/keyrings/debian-archive-keyring.gpg';
const MIRROR = process.env['NESTFRONT_LAB_MIRROR'] ?? 'http://deb.debian.org';

/** What boots: hypervisor, toolstack, the libraries it links, one kernel, a static busybox. */
const PACKAGES = [
  'xen-hypervisor-4.17-amd64',
  'xen-utils-4.17',
  'xen-utils-common',
  'xenstore-utils',
  'libxencall1',
  'libxendevicemodel1',
  'libxenevtchn1',
  'libxenforeignmemory1',
  'libxengnttab1',
  'libxenhypfs1',
  'libxenmisc4.17',
  'libxenstore4',
  'libxentoolcore1',
  'libxentoollog1',
  'busybox-static',
  'iperf3',
  'libiperf0',
  'libsctp1',
  'ethtool',
  'libmnl0',
  'iproute2',
  'libbpf1',
  'libelf1',
  'libcap2',
  'libxtables12',
  'libyajl2',
  'libnl-3-200',
  'libnl-route-3-200',
  'libfdt1',
  'libc6',
  'libgcc-s1',
  'zlib1g',
  'libzstd1',
  'liblzma5',
  'libbz2-1.0',
  'liblzo2-2',
  'libuuid1',
  'libssl3',
  'libtinfo6',
  'libcap-ng0',
  'libselinux1',
  'libpcre2-8-0',
  'libdb5.3',
  'libbsd0',
  'e2fsprogs',
  'libext2fs2',
  'libcom-err2',
  'libss2',
  'libblkid1',
  'nbd-client',
  'libnl-genl-3-200',
  'libgnutls30',
  'libp11-kit0',
  'libidn2-0',
  'libunistring2',
  'libtasn1-6',
  'libnettle8',
  'libhogweed6',
  'libgmp10',
  'libffi8',
  'libmd0',
  'libstdc++6',
] as const;

export function cacheRoot(): string {
  const base = process.env['XDG_CACHE_HOME'] ?? join(homedir(), '.cache');
  return join(base, 'nestfront', 'lab');
}

/** apt options that keep every file of apt's under dir. */
function aptOptions(dir: string): string[] {
  const o = (key: string, value: string): string[] => ['-o', `${key}=${value}`];
  return [
    ...o('Dir::Etc::sourcelist', join(dir, 'bookworm.list')),
    ...o('Dir::Etc::sourceparts', '/dev/null'),
    ...o('Dir::Etc::preferences', '/dev/null'),
    ...o('Dir::Etc::preferencesparts', '/dev/null'),
    ...o('Dir::State', join(dir, 'state')),
    ...o('Dir::State::status', join(dir, 'state', 'status')),
    ...o('Dir::Cache', join(dir, 'cache')),
    ...o('APT::Architecture', 'amd64'),
    ...o('APT::Default-Release', ''), // a host's own choice must not hide bookworm
    // as root apt would become _apt, who may not write here, nor reach a home of mode 700
    ...o('APT::Sandbox::User', 'root'),
    ...o('Acquire::Languages', 'none'),
    ...o('Acquire::IndexTargets::deb::Contents-deb::DefaultEnabled', 'false'),
    ...o('Acquire::Retries', '3'),
  ];
}

function prepareApt(dir: string): void {
  for (const d of ['state/lists/partial', 'cache/archives/partial'])
    mkdirSync(join(dir, d), { recursive: true });
  writeFileSync(join(dir, 'state', 'status'), '');
  const lines = ['bookworm main', 'bookworm-updates main'].map(
    (suite) => `deb [arch=amd64 signed-by=${KEYRING}] ${MIRROR}/debian ${suite}`,
  );
  lines.push(
    `deb [arch=amd64 signed-by=${KEYRING}] ${MIRROR}/debian-security bookworm-security main`,
  );
  writeFileSync(join(dir, 'bookworm.list'), `${lines.join('\n')}\n`);
}

export interface LabPackages {
  /** Where they are unpacked, laid out as a root file system. */
  readonly root: string;
  /** Hash of every package's version: the key of everything built from them. */
  readonly key: string;
  /** Kernel release, as in /lib/modules. */
  readonly kernel: string;
}

function need(): void {
  if (!existsSync('/usr/bin/apt-get') || !existsSync('/usr/bin/dpkg-deb'))
    throw new NestfrontError(
      'NF_EPERM',
      'lab.packages',
      'the lab fetches Debian packages and needs apt-get and dpkg-deb: run it on Debian or Ubuntu',
    );
  if (!existsSync(KEYRING))
    throw new NestfrontError(
      'NF_EPERM',
      'lab.packages',
      `the lab checks signatures with ${KEYRING}: apt-get install debian-archive-keyring`,
    );
}

/** Downloads what is not cached yet, unpacks, and says where. Seconds when cached. */
export async function fetchPackages(log: (line: string) => void): Promise<LabPackages> {
  need();
  const base = cacheRoot();
  const apt = join(base, 'apt');
  prepareApt(apt);
  const options = aptOptions(apt);
  await updateLists(options, join(apt, 'state', 'lists'), log);
  const depends = await run('apt-cache', [...options, 'depends', 'linux-image-amd64'], {
    seconds: 60,
  });
  const image = /Depends: (linux-image-6[\w.+-]*-amd64)/.exec(depends.stdout)?.[1];
  if (!image)
    throw new NestfrontError('NF_ENOENT', 'lab.packages', 'linux-image-amd64 names no kernel');
  const names = [...PACKAGES, image];
  const uris = await run('apt-get', [...options, '-qq', '--print-uris', 'download', ...names], {
    seconds: 60,
  });
  const files = uris.stdout
    .trim()
    .split('\n')
    .map((line) => line.split(' ')[1] ?? '')
    .sort();
  const key = createHash('sha256')
    .update(`2\n${files.join('\n')}`)
    .digest('hex')
    .slice(0, 16);
  const root = join(base, `packages-${key}`);
  const kernel = image.replace(/^linux-image-/, '');
  if (!existsSync(root)) await unpack(options, names, root, indexHashes(uris.stdout), log);
  return { root, key, kernel };
}

/** Old lists do when the mirror does not answer; none at all do not. */
async function updateLists(
  options: string[],
  lists: string,
  log: (line: string) => void,
): Promise<void> {
  log(`reading package lists of ${MIRROR}`);
  // --error-on=any: apt calls an unreachable mirror a warning
  const args = [...options, '-qq', '--error-on=any', 'update'];
  const { code, stderr } = await run('apt-get', args, { seconds: 300, tolerate: true });
  if (code === 0) return;
  const said = stderr.trim().split('\n').slice(-4).join('\n');
  if (!readdirSync(lists).some((name) => name.endsWith('InRelease')))
    throw new NestfrontError(
      'NF_EIO',
      'lab.packages',
      `the lab needs a Debian mirror with bookworm and could not read ${MIRROR} ` +
        `(NESTFRONT_LAB_MIRROR names another; apt's proxy settings are the host's):\n${said}`,
    );
  log(`the mirror does not answer, going on with the lists of the last time: ${said}`);
}

async function unpack(
  options: string[],
  names: string[],
  root: string,
  index: ReadonlyMap<string, string>,
  log: (line: string) => void,
): Promise<void> {
  const debs = `${root}.debs`;
  const fresh = `${root}.new`;
  for (const d of [debs, fresh]) {
    rmSync(d, { recursive: true, force: true });
    mkdirSync(d, { recursive: true });
  }
  log(`downloading ${names.length} packages`);
  await run('apt-get', [...options, '-qq', 'download', ...names], { seconds: 900, cwd: debs });
  for (const deb of readdirSync(debs))
    await run('dpkg-deb', ['-x', join(debs, deb), fresh], { seconds: 120 });
  await record(debs, fresh, index);
  rmSync(debs, { recursive: true });
  renameSync(fresh, root);
}
