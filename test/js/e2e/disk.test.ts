// SPDX-License-Identifier: MIT
// Disks of real stacks: bytes through fronts and backs in processes of their own, tools that speak
// NBD, a file system made inside.
import { spawn, spawnSync } from 'node:child_process';
import { createHash, randomBytes } from 'node:crypto';
import { once } from 'node:events';
import { existsSync, mkdirSync, mkdtempSync, readFileSync, rmSync } from 'node:fs';
import { truncateSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import test from 'ava';
import type { ExecutionContext } from 'ava';
import { isolationRefused } from '../../../lib/stack/mounts.js';
import { DISK_PATHS } from '../helpers/disks.js';
import * as e from '../helpers/stacks.js';

const MIB = 1 << 20;
const isolated = isolationRefused() === undefined ? test.serial : test.serial.skip;

function folder(t: ExecutionContext): string {
  const path = mkdtempSync('/var/tmp/nf-disk-e2e-');
  t.teardown(() => rmSync(path, { recursive: true, force: true }));
  return path;
}

/** A test of a program that may not be there: named, and skipped with the reason. */
function needs(program: string): typeof isolated {
  const found = spawnSync('sh', ['-c', `command -v ${program}`]).status === 0;
  return found ? isolated : test.serial.skip;
}

/** Runs a program to its end without standing in the event loop's way. */
function run(argv: readonly string[]): Promise<{ code: number | null; output: string }> {
  const child = spawn(argv[0]!, argv.slice(1), { stdio: ['ignore', 'pipe', 'pipe'] });
  let output = '';
  for (const stream of [child.stdout, child.stderr])
    stream.on('data', (chunk: Buffer) => (output += chunk.toString()));
  return new Promise((resolve, reject) => {
    child.on('error', reject);
    child.on('close', (code) => resolve({ code, output }));
  });
}

const uri = (socket: string): string => `nbd+unix:///?socket=${socket}`;
const sha = (bytes: Buffer): string => createHash('sha256').update(bytes).digest('hex');

isolated('what is written through every path is in the file, and comes back', async (t) => {
  const dir = folder(t);
  const disks = DISK_PATHS.map((path) => ({
    name: path,
    path,
    disk: `file:${join(dir, path)},create=64M`,
  }));
  const stack = await e.up(t, { disks });
  for (const { name, open } of stack.disks) {
    await using disk = await open();
    t.is(disk.bytes, 64 * MIB, `${name}: its size`);
    t.false(disk.readonly);
    const blocks = Array.from({ length: 24 }, (_, i) => ({
      at: (i * 2 * MIB + i * 512) % (60 * MIB),
      bytes: randomBytes(512 * (1 + ((i * 37) % 1500))),
    }));
    await Promise.all(blocks.map(({ at, bytes }) => disk.write(at, bytes)));
    await disk.flush();
    const file = readFileSync(join(dir, name));
    for (const { at, bytes } of blocks) {
      t.is(sha(file.subarray(at, at + bytes.length)), sha(bytes), `${name}: at ${at} in the file`);
      t.is(sha(await disk.read(at, bytes.length)), sha(bytes), `${name}: at ${at} read back`);
    }
    await disk.zero(2 * MIB, MIB);
    await disk.discard(4 * MIB + 4096, MIB);
    t.true(
      (await disk.read(2 * MIB, MIB)).every((byte) => byte === 0),
      `${name}: zeros`,
    );
    await t.throwsAsync(disk.read(64 * MIB, 512), { instanceOf: RangeError });
    await t.throwsAsync(disk.read(1, 512), { instanceOf: RangeError });
  }
});

isolated('a read-only disk, one in memory, and one that is cut behind its back', async (t) => {
  const dir = folder(t);
  const cut = join(dir, 'cut');
  writeFileSync(cut, randomBytes(8 * MIB));
  const stack = await e.up(t, {
    disks: [
      { name: 'ro', path: 'single', disk: 'mem:8M', readonly: true },
      { name: 'mem', path: 'single', disk: 'mem:8M', queues: 2, ringPages: 4 },
      { name: 'cut', path: 'single', disk: `file:${cut}` },
    ],
  });
  await using ro = await stack.disk('ro').open();
  t.true(ro.readonly);
  await t.throwsAsync(ro.write(0, Buffer.alloc(512)), { code: 'NF_EPERM' });
  await using mem = await stack.disk('mem').open();
  await mem.write(4096, Buffer.alloc(8192, 7), { fua: true });
  t.true((await mem.read(4096, 8192)).equals(Buffer.alloc(8192, 7)));
  await using disk = await stack.disk('cut').open();
  truncateSync(cut, 4 * MIB);
  await t.throwsAsync(disk.read(6 * MIB, 4096), { code: 'NF_EIO' }, 'beyond the cut');
  t.is((await disk.read(0, 4096)).length, 4096, 'before it the disk lives');
});

needs('qemu-img')('qemu-img, qemu-io and nbdcopy use it as any server', async (t) => {
  const dir = folder(t);
  const image = join(dir, 'image');
  const stack = await e.up(t, {
    disks: [{ name: 'd', path: 'single', disk: `file:${join(dir, 'd')},create=32M` }],
  });
  const socket = stack.disk('d').socket!;
  writeFileSync(image, randomBytes(5 * MIB));
  truncateSync(image, 32 * MIB);
  const copied = await run([
    'qemu-img',
    'convert',
    '-n',
    '-f',
    'raw',
    '-O',
    'raw',
    image,
    uri(socket),
  ]);
  t.is(copied.code, 0, copied.output);
  const compared = await run(['qemu-img', 'compare', '-f', 'raw', '-F', 'raw', image, uri(socket)]);
  t.regex(compared.output, /identical/);
  const io = ['-c', 'write -P 0x5a 1000 70000', '-c', 'read -P 0x5a 1000 70000'];
  const odd = await run([
    'qemu-io',
    '-f',
    'raw',
    ...io,
    '-c',
    'discard 1M 1M',
    '-c',
    'flush',
    uri(socket),
  ]);
  t.is(odd.code, 0, odd.output);
  t.notRegex(odd.output, /fail|mismatch/i);
  if (spawnSync('sh', ['-c', 'command -v nbdcopy nbdinfo']).status !== 0) return;
  t.regex((await run(['nbdinfo', uri(socket)])).output, /structured/, 'replies as agreed');
  const out = await run(['nbdcopy', uri(socket), join(dir, 'out')]);
  t.is(out.code, 0, out.output);
  t.is(sha(readFileSync(join(dir, 'out'))), sha(readFileSync(join(dir, 'd'))));
});

needs('nbdfuse')('mkfs.ext4 on a nested disk, and e2fsck finds it clean', async (t) => {
  const dir = folder(t);
  const mounted = join(dir, 'mnt');
  const stack = await e.up(t, {
    disks: [{ name: 'd', path: DISK_PATHS.at(-1)!, disk: `file:${join(dir, 'd')},create=64M` }],
  });
  mkdirSync(mounted);
  const fuse = spawn('nbdfuse', [`${mounted}/disk`, uri(stack.disk('d').socket!)], {
    stdio: ['ignore', 'ignore', 'pipe'],
  });
  let said = '';
  fuse.stderr.on('data', (chunk: Buffer) => (said += chunk.toString()));
  const ended = once(fuse, 'exit');
  try {
    await e.eventually(t, () => fuse.exitCode !== null || existsSync(`${mounted}/disk`), 'fuse');
    if (fuse.exitCode !== null) return t.pass(`nbdfuse cannot mount here: ${said}`);
    const made = await run(['mkfs.ext4', '-q', '-F', '-d', 'docs', `${mounted}/disk`]);
    t.is(made.code, 0, made.output);
    const inside = await run(['e2fsck', '-fn', `${mounted}/disk`]);
    t.is(inside.code, 0, inside.output);
  } finally {
    await run(['umount', mounted]);
    fuse.kill('SIGTERM');
    await ended;
  }
  const checked = await run(['e2fsck', '-fn', join(dir, 'd')]);
  t.is(checked.code, 0, checked.output);
});

needs('fio')('fio writes and verifies through it', async (t) => {
  const dir = folder(t);
  const stack = await e.up(t, {
    disks: [{ name: 'd', path: 'single', disk: `file:${join(dir, 'd')},create=64M` }],
  });
  const options = ['--rw=randrw', '--bsrange=512-256k', '--blockalign=512', '--iodepth=16'];
  const verify = [
    '--verify=crc32c',
    '--verify_fatal=1',
    '--number_ios=1500',
    '--size=64M',
    '--verify_state_save=0',
  ];
  const result = await run([
    'fio',
    '--name=x',
    '--ioengine=nbd',
    `--uri=${uri(stack.disk('d').socket!)}`,
    ...options,
    ...verify,
  ]);
  if (/engine nbd not loadable|nbd: No such/.test(result.output)) return t.pass(result.output);
  t.is(result.code, 0, result.output);
  t.regex(result.output, /err= 0/);
});
