// SPDX-License-Identifier: MIT
// nestfront bench blk: disks through every path, beside the same disk without a stack.
import type { Command } from 'commander';
import { blk, blockOf, DISK_BENCHES, type DiskBench } from '../bench/blk.js';
import { DISK_OTHERS, DISK_PATHS, DiskRig } from '../bench/lib/disks.js';
import { environment, finished } from '../bench/lib/environment.js';
import { placement } from '../bench/lib/rig.js';
import type { Report, Result } from '../bench/lib/schema.js';
import { chosen, number, numbers } from './benchflags.js';
import { table, type CommandContext } from './command.js';

interface BlkFlags {
  path: string;
  port: 'file' | 'mem' | 'null';
  bench: string;
  block?: number;
  depth: number;
  size: number;
  seconds: number;
  repeat: number;
  cpus?: string;
  directory?: string;
  notify?: 'poll' | 'adaptive' | 'event';
  quick?: boolean;
  json?: string;
}

/** Rows for people. */
export function diskRows(results: readonly Result[]): string[] {
  const ratio = (x: Result['ratioToNative']): string =>
    x === undefined ? '' : `${x.median.toFixed(2)} [${x.low.toFixed(2)} ${x.high.toFixed(2)}]`;
  return table([
    ['bench', 'path', 'port', 'block', 'QD', 'op/s', 'MB/s', 'x native', 'x single', 'notify/op'],
    ...results.map((r) => [
      r.bench,
      r.port === 'nbd'
        ? 'nbdkit'
        : r.path === 'native' && r.nativeBy === 'fio'
          ? 'fio'
          : (r.path ?? ''),
      `${r.port ?? ''}, ${r.cache ?? ''}`,
      String(r.blockBytes ?? ''),
      String(r.queueDepth ?? ''),
      Math.round(r.operationsPerSecond?.median ?? 0).toLocaleString('en'),
      ((r.bytesPerSecond?.median ?? 0) / 1e6).toFixed(0),
      ratio(r.ratioToNative),
      ratio(r.ratioToSingle),
      r.notificationsPerPacket?.toFixed(4) ?? '',
    ]),
  ]);
}

async function run(flags: BlkFlags, context: CommandContext): Promise<Report> {
  const started = environment(process.argv.slice(2));
  const cpus = flags.cpus === undefined ? [] : numbers('--cpus', flags.cpus, 0, 1023);
  const benches = Object.keys(DISK_BENCHES) as DiskBench[];
  const wanted = chosen('--bench', flags.bench, benches);
  const { signal } = context;
  const notify = flags.notify ?? (flags.port === 'file' ? 'adaptive' : 'poll');
  await using rig = await DiskRig.up({
    port: flags.port,
    bytes: flags.size * (1 << 20),
    directory: flags.directory,
    paths: chosen('--path', flags.path, [...DISK_PATHS, ...DISK_OTHERS]),
    placement: placement(cpus),
    notify,
    signal,
    notice: (line) => context.note(`nestfront: ${line}`),
  });
  const results: Result[] = [];
  for (const bench of wanted) {
    const order = {
      bench,
      blockBytes: flags.block ?? blockOf(bench),
      depth: flags.depth,
      rounds: flags.quick === true ? Math.min(flags.repeat, 3) : flags.repeat,
      ms: flags.seconds * 1000,
      placement: placement(cpus),
      notify,
      signal,
    };
    results.push(...(await blk(rig, order)));
  }
  return { schemaVersion: 1, environment: finished(started), results, skipped: rig.skipped };
}

/** Adds `blk` to `nestfront bench`. */
export function defineBlk(
  command: Command,
  context: CommandContext,
  finish: (report: Report, rows: string[], json: string | undefined) => void,
): void {
  command
    .command('blk')
    .description('a disk: blocks in order and at random')
    .option(
      '--path <list>',
      `of ${[...DISK_PATHS, ...DISK_OTHERS].join(',')}, separated by commas`,
      DISK_PATHS.join(','),
    )
    .option('--port <kind>', 'file, mem or null', 'file')
    .option('--bench <list>', Object.keys(DISK_BENCHES).join(','), Object.keys(DISK_BENCHES).join())
    .option(
      '--block <bytes>',
      'default 256 KiB in order, 4 KiB at random',
      number('--block', 512, 1 << 20),
    )
    .option('--depth <n>', 'requests in flight', number('--depth', 1, 256), 32)
    .option('--size <MiB>', 'of the disk', number('--size', 1, 1 << 20), 512)
    .option('--directory <path>', "of files, default the package's build folder")
    .option('--seconds <n>', 'of each window', number('--seconds', 0.01, 600), 0.3)
    .option('--repeat <n>', 'windows of each path, in turns', number('--repeat', 1, 1000), 10)
    .option('--cpus <list>', 'of front, back and relay')
    .option('--notify <mode>', 'poll, adaptive or event; default adaptive on files, else poll')
    .option('--quick', 'at most 3 windows')
    .option('--json <file>', 'write all results there, as JSON')
    .action(async (flags: BlkFlags) => {
      chosen('--port', flags.port, ['file', 'mem', 'null']);
      if (flags.notify !== undefined)
        chosen('--notify', flags.notify, ['poll', 'adaptive', 'event']);
      const report = await run(flags, context);
      finish(report, diskRows(report.results), flags.json);
    });
}
