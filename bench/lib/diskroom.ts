// SPDX-License-Identifier: MIT
// Where the disks under test lie, how large they may be, and what an earlier run left there.
import {
  accessSync,
  closeSync,
  constants,
  fsyncSync,
  mkdtempSync,
  openSync,
  readdirSync,
  rmSync,
  statfsSync,
  writeSync,
} from 'node:fs';
import { join } from 'node:path';
import { NestfrontError } from '../../lib/errors.js';
import { packageRoot } from '../../lib/stack/paths.js';
import { processStart } from '../../lib/stack/processes.js';

const MIB = 1 << 20;
const MIB_MIN = 16;
const PROBE_MIB = 16;
const NAME = /^nf-bench-(\d+)-/;

/** The package's own file system, or where that is read-only /var/tmp: neither is memory. */
export function defaultDirectory(): string {
  const own = join(packageRoot(), 'build');
  try {
    accessSync(own, constants.W_OK);
    return own;
  } catch {
    return '/var/tmp';
  }
}

/** A directory for one run. Those of runs that were killed go first. */
export function makeRoom(parent: string): string {
  for (const name of readdirSync(parent)) {
    const pid = NAME.exec(name)?.[1];
    if (pid !== undefined && processStart(Number(pid)) === undefined)
      rmSync(join(parent, name), { recursive: true, force: true });
  }
  return mkdtempSync(join(parent, `nf-bench-${process.pid}-`));
}

/** MiB a second that reach the disk in the directory. */
function writeRate(directory: string): number {
  const path = join(directory, 'probe');
  const fd = openSync(path, 'wx');
  try {
    const block = Buffer.alloc(MIB, 1);
    const start = performance.now();
    for (let i = 0; i < PROBE_MIB; i++) writeSync(fd, block);
    fsyncSync(fd);
    return (PROBE_MIB * 1000) / Math.max(1, performance.now() - start);
  } finally {
    closeSync(fd);
    rmSync(path, { force: true });
  }
}

/**
 * Size of each of so many files: as wanted, at most half of what is free, and no more than is
 * written in the time there is.
 * @throws NestfrontError `NF_ENOSPC` when not even small ones fit
 */
export function roomFor(directory: string, wantedMib: number, files: number, ms: number): number {
  const { bavail, bsize } = statfsSync(directory);
  const free = Math.floor((bavail * bsize) / 2 / files / MIB);
  if (free < MIB_MIN)
    throw new NestfrontError(
      'NF_ENOSPC',
      'bench.blk',
      `${directory} has room for ${files} files of ${free} MiB in half of what is free, ` +
        `${MIB_MIN} MiB each are needed`,
    );
  const timely = Math.floor((writeRate(directory) * ms) / 1000 / files);
  return Math.max(MIB_MIN, Math.min(wantedMib, free, timely));
}
