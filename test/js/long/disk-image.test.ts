// SPDX-License-Identifier: MIT
// A sparse image in and out through every path, its hash the same; a full and a cut file reach the
// guest as I/O errors. NF_TEST_IMAGE_GIB=8 makes the image that large.
import { spawn, spawnSync } from 'node:child_process';
import { randomFillSync } from 'node:crypto';
import { closeSync, mkdirSync, mkdtempSync, openSync, rmSync, truncateSync } from 'node:fs';
import { statSync, writeFileSync, writeSync } from 'node:fs';
import { join } from 'node:path';
import test, { type ExecutionContext } from 'ava';
import type { NestfrontError } from '../../../lib/errors.js';
import { isolationRefused } from '../../../lib/stack/mounts.js';
import { DISK_PATHS } from '../helpers/disks.js';
import * as e from '../helpers/stacks.js';

const MIB = 1 << 20;
const GIB = Number(process.env['NF_TEST_IMAGE_GIB'] ?? 0);
const BYTES = GIB > 0 ? GIB * 1024 * MIB : 64 * MIB;
const PIECES = 32;

const can = isolationRefused() === undefined;
const has = (program: string): boolean =>
  spawnSync('sh', ['-c', `command -v ${program}`]).status === 0;
const isolated = can ? test.serial : test.serial.skip;
const tools = can && has('qemu-img') && has('nbdcopy') ? test.serial : test.serial.skip;

function folder(t: ExecutionContext): string {
  const path = mkdtempSync('/var/tmp/nf-disk-image-');
  t.teardown(() => rmSync(path, { recursive: true, force: true }));
  return path;
}

/** What a program printed; a failure is the test's. */
async function run(t: ExecutionContext, argv: readonly string[]): Promise<string> {
  const child = spawn(argv[0]!, argv.slice(1), { stdio: ['ignore', 'pipe', 'pipe'] });
  let output = '';
  for (const stream of [child.stdout, child.stderr])
    stream.on('data', (chunk: Buffer) => (output += chunk.toString()));
  const code = await new Promise((resolve, reject) => {
    child.on('error', reject);
    child.on('close', resolve);
  });
  t.is(code, 0, `${argv.join(' ')}: ${output}`);
  return output;
}

/** Data at both ends and in places that meet no boundary, holes of every length between them. */
function makeImage(path: string): void {
  writeFileSync(path, '');
  truncateSync(path, BYTES);
  const fd = openSync(path, 'r+');
  const step = Math.floor(BYTES / PIECES / 512) * 512;
  for (let i = 0; i <= PIECES; i++) {
    const bytes = randomFillSync(Buffer.allocUnsafe(512 * (1 + ((i * 611) % 3071))));
    const at = i === PIECES ? BYTES - bytes.length : i * step + 512 * ((i * 7) % 23);
    writeSync(fd, bytes, 0, bytes.length, at);
  }
  closeSync(fd);
}

tools(`a sparse image of ${BYTES / MIB} MiB goes in and out through every path`, async (t) => {
  t.timeout(GIB > 0 ? 3_600_000 : 240_000);
  const dir = folder(t);
  const image = join(dir, 'image');
  const out = join(dir, 'out');
  const sha = async (path: string): Promise<string> =>
    (await run(t, ['sha256sum', path])).slice(0, 64);
  makeImage(image);
  const wanted = await sha(image);
  const paths = GIB > 0 ? (['translate'] as const) : DISK_PATHS;
  const disks = paths.map((path) => ({
    name: path,
    path,
    disk: `file:${join(dir, path)},create=${BYTES}`,
  }));
  const stack = await e.up(t, { disks });
  for (const path of paths) {
    const uri = `nbd+unix:///?socket=${stack.disk(path).socket!}`;
    const began = performance.now();
    await run(t, ['qemu-img', 'convert', '-n', '-f', 'raw', '-O', 'raw', image, uri]);
    const copied = performance.now();
    t.is(await sha(join(dir, path)), wanted, `${path}: in`);
    const read = performance.now();
    await run(t, ['nbdcopy', uri, out]);
    const ended = performance.now();
    t.is(statSync(out).size, BYTES);
    t.is(await sha(out), wanted, `${path}: out`);
    rmSync(out);
    const allocated = (statSync(join(dir, path)).blocks * 512) / MIB;
    const seconds = [copied - began, ended - read].map((ms) => (ms / 1000).toFixed(1));
    t.log(
      `${path}: in ${seconds[0]} s, out ${seconds[1]} s; ${allocated.toFixed(0)} MiB allocated`,
    );
    rmSync(join(dir, path));
  }
});

isolated('a file that is cut is an I/O error through every path, and heals', async (t) => {
  const dir = folder(t);
  const disks = DISK_PATHS.map((path) => {
    writeFileSync(join(dir, path), Buffer.alloc(4 * MIB, 1));
    return { name: path, path, disk: `file:${join(dir, path)}` };
  });
  const stack = await e.up(t, { disks });
  for (const { name, open } of stack.disks) {
    await using disk = await open();
    truncateSync(join(dir, name), MIB);
    const beyond = await t.throwsAsync(disk.read(2 * MIB, 65536), undefined, `${name}: the cut`);
    // the back looks every two seconds: after that, it is beyond the end of a smaller disk
    t.true(['NF_EIO', 'NF_EINVAL'].includes((beyond as NestfrontError).code), `${name}: ${beyond}`);
    t.is((await disk.read(0, 4096))[0], 1, `${name}: before it`);
    truncateSync(join(dir, name), 0);
    await t.throwsAsync(disk.read(0, 4096), { code: 'NF_EIO' }, `${name}: nothing is left`);
    truncateSync(join(dir, name), 4 * MIB);
    const there = (): Promise<boolean> =>
      disk.read(2 * MIB, 65536).then(
        (bytes) => bytes[0] === 0,
        () => false,
      );
    await e.eventually(t, there, `${name}: it is there again`, 20_000);
    await disk.write(0, Buffer.alloc(512, 2));
    t.is((await disk.read(0, 512))[511], 2, `${name}: and is written`);
  }
});

isolated('a full file system is an I/O error through every path, and heals', async (t) => {
  const dir = folder(t);
  const small = join(dir, 'small');
  mkdirSync(small);
  if (spawnSync('mount', ['-t', 'tmpfs', '-o', 'size=2m', 'nf-small', small]).status !== 0)
    return t.pass('no file system can be mounted here: not root');
  t.teardown(() => spawnSync('umount', ['-l', small]));
  for (const path of DISK_PATHS) {
    const disk = `file:${join(small, 'd')},create=8M`;
    const stack = await e.up(t, { disks: [{ name: 'd', path, disk }] });
    await using client = await stack.disk('d').open();
    await client.write(0, Buffer.alloc(MIB, 3));
    await t.throwsAsync(client.write(4 * MIB, Buffer.alloc(2 * MIB, 4)), {
      code: 'NF_EIO',
    });
    t.true(
      (await client.read(0, MIB)).every((byte) => byte === 3),
      `${path}: what fitted`,
    );
    await client.discard(4 * MIB, 2 * MIB);
    await client.write(4 * MIB, Buffer.alloc(65536, 5), { fua: true });
    t.is((await client.read(4 * MIB, 512))[0], 5, `${path}: there is room again`);
    await client.close();
    await stack.close();
    rmSync(join(small, 'd'));
  }
});
