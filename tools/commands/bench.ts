// SPDX-License-Identifier: MIT
// nestfront bench net|tcp|line|blk|scale: one part of the main job with everything chosen by flags.
import type { Command } from 'commander';
import { environment, finished } from '../../bench/lib/environment.js';
import { Rig, placement, type VariantSpec } from '../../bench/lib/rig.js';
import type { Report, Result, Skipped } from '../../bench/lib/schema.js';
import { tcpPaths } from '../../bench/lib/tcppaths.js';
import { WindowSession } from '../../bench/lib/windows.js';
import { FRAMES, pps } from '../../bench/pps.js';
import { rtt } from '../../bench/rtt.js';
import { tcpMaerts } from '../../bench/tcp_maerts.js';
import { tcpRr } from '../../bench/tcp_rr.js';
import { tcpStream } from '../../bench/tcp_stream.js';
import { NestfrontError } from '../../lib/errors.js';
import { defineBlk } from '../benchblk.js';
import { chosen, number, numbers } from '../benchflags.js';
import { defineLine } from '../benchline.js';
import { defineScale } from '../benchscale.js';
import { table, type CommandContext, type CommandModule } from '../command.js';
import { exitOf, writeFiles } from './start.js';

interface Flags {
  path: string;
  frame: string;
  message: number;
  direction: 'tx' | 'rx' | 'both';
  seconds?: number;
  warmup: number;
  repeat: number;
  cpus?: string;
  queues: number;
  batch: number;
  notify: 'poll' | 'adaptive' | 'event';
  grants: 'static' | 'copy' | 'map';
  quick?: boolean;
  json?: string;
}

const STACKED = ['single', 'copy', 'translate', 'direct'] as const;
const PLAIN = { native: 'veth', splice: 'splice' } as const;
const WINDOW_MS = 12;

function specs(flags: Flags, paths: readonly (typeof STACKED)[number][]): VariantSpec[] {
  if (flags.grants === 'map')
    throw new NestfrontError(
      'NF_ENOSYS',
      'bench',
      'grants map: our backends map once (static) or copy; mapping per packet is not built',
    );
  const { grants, queues } = flags;
  return paths.map((path) => ({ name: path, path, grants, queues }));
}

async function net(flags: Flags, context: CommandContext): Promise<Report> {
  const started = environment(process.argv.slice(2));
  const frames = numbers('--frame', flags.frame, 60, 65_535);
  const cpus = flags.cpus === undefined ? [] : numbers('--cpus', flags.cpus, 0, 1023);
  const seconds = flags.seconds ?? (flags.quick === true ? 0.12 : 0.5);
  const rounds = Math.max(1, Math.round((seconds * 1000) / WINDOW_MS)) * flags.repeat;
  const directions = flags.direction === 'both' ? (['tx', 'rx'] as const) : [flags.direction];
  const results: Result[] = [];
  const skipped: Skipped[] = [];
  await using rig = await Rig.up(specs(flags, chosen('--path', flags.path, STACKED)), {
    placement: placement(cpus),
    notify: flags.notify,
    signal: context.signal,
    notice: (line) => context.note(`nestfront: ${line}`),
  });
  skipped.push(...rig.skipped);
  for (const frameBytes of frames)
    for (const direction of directions) {
      context.signal.throwIfAborted();
      const settleMs = flags.warmup * 1000;
      const order = { frameBytes, direction, rounds, settleMs, batch: flags.batch };
      const part = await pps(rig, order);
      results.push(...part.results);
      skipped.push(...part.skipped);
    }
  const trips = await rtt(rig, { rounds: Math.min(rounds, 20) });
  results.push(...trips.results);
  skipped.push(...trips.skipped);
  return { schemaVersion: 1, environment: finished(started), results, skipped };
}

async function tcp(flags: Flags, context: CommandContext): Promise<Report> {
  const started = environment(process.argv.slice(2));
  const names = chosen('--path', flags.path, ['native', 'splice', ...STACKED]);
  const seconds = flags.seconds ?? (flags.quick === true ? 0.2 : 1);
  const rounds = flags.quick === true ? Math.min(flags.repeat, 3) : flags.repeat;
  const stacked = STACKED.filter((p) => names.includes(p));
  const plain = (['native', 'splice'] as const).filter((p) => names.includes(p));
  const { paths, skipped } = await tcpPaths(
    specs(flags, stacked),
    plain.map((p) => PLAIN[p]),
    context.signal,
  );
  const results: Result[] = [];
  const { front, back } = placement();
  const session = await WindowSession.start([], [front, back]);
  try {
    for (const scenario of [tcpStream, tcpMaerts, tcpRr]) {
      context.signal.throwIfAborted();
      const messageBytes = scenario === tcpRr ? 1 : flags.message;
      const order = { rounds, seconds, messageBytes, signal: context.signal };
      const part = await scenario(paths, session, order);
      results.push(...part.results);
      skipped.push(...part.skipped);
    }
  } finally {
    await session.close();
    await Promise.all(paths.map((p) => p.close()));
  }
  return { schemaVersion: 1, environment: finished(started), results, skipped };
}

function rows(results: readonly Result[]): string[] {
  const short = (n: number, unit: string): string => `${(n / 1e6).toFixed(2)} M${unit}`;
  const ratio = (r: Result): string => {
    const x = r.ratioToSingle;
    if (!x) return '';
    const noisy = r.noisy === true ? ' noisy' : '';
    return `${x.median.toFixed(2)} [${x.low.toFixed(2)} ${x.high.toFixed(2)}]${noisy}`;
  };
  return table([
    ['bench', 'path', 'grants', 'way', 'bytes', 'rate', 'Gbit/s', 'p50/p99 µs', 'x single'],
    ...results.map((r) => [
      r.bench,
      r.path ?? '',
      r.grants ?? '',
      r.direction ?? '',
      String(r.frameBytes ?? r.messageBytes ?? ''),
      r.packetsPerSecond ? short(r.packetsPerSecond.median, 'pps') : '',
      r.bitsPerSecond ? (r.bitsPerSecond.median / 1e9).toFixed(1) : '',
      r.latencyNs ? `${r.latencyNs.p50 / 1000}/${r.latencyNs.p99 / 1000}` : '',
      ratio(r),
    ]),
  ]);
}

function finish(
  report: Report,
  flags: Pick<Flags, 'json'>,
  context: CommandContext,
  lines = rows(report.results),
): void {
  for (const s of report.skipped)
    lines.push(`skipped ${s.bench} ${s.path ?? ''}: ${s.reason}; ${s.remedy}`);
  lines.forEach((line) => context.print(line));
  writeFiles(report, lines, flags.json === undefined ? {} : { json: flags.json });
  context.exitCode = exitOf(report);
}

function common(command: Command, paths: string): Command {
  return command
    .option('--path <list>', `of ${paths}, separated by commas`, paths)
    .option(
      '--seconds <n>',
      'of traffic a path (net) or a run (tcp)',
      number('--seconds', 0.01, 600),
    )
    .option('--repeat <n>', 'so many times', number('--repeat', 1, 1000))
    .option('--queues <n>', 'queues a device, 1 to 8', number('--queues', 1, 8), 1)
    .option('--grants <kind>', 'static, copy or map', 'static')
    .option('--quick', 'fewer repetitions')
    .option('--json <file>', 'write all results there, as JSON');
}

export const command: CommandModule = {
  define(command: Command, context: CommandContext): void {
    defineLine(command, context);
    defineScale(command, context);
    const check = (f: Flags): Flags => {
      chosen('--grants', f.grants, ['static', 'copy', 'map']);
      return f;
    };
    common(command.command('net').description('frames at line rate'), STACKED.join(','))
      .option('--frame <list>', 'bytes without FCS', FRAMES.join(','))
      .option('--direction <way>', 'tx (from L2), rx or both', 'tx')
      .option('--warmup <seconds>', 'before each window', number('--warmup', 0, 10), 0.002)
      .option('--cpus <list>', 'of front, back and relay')
      .option('--batch <n>', 'frames the generator hands over', number('--batch', 1, 256), 64)
      .option('--notify <mode>', 'poll, adaptive or event', 'poll')
      .action(async (flags: Flags) => {
        chosen('--direction', flags.direction, ['tx', 'rx', 'both']);
        chosen('--notify', flags.notify, ['poll', 'adaptive', 'event']);
        const filled = { ...check(flags), repeat: flags.repeat ?? 1 };
        finish(await net(filled, context), filled, context);
      });
    defineBlk(command, context, (report, lines, json) =>
      finish(report, json === undefined ? {} : { json }, context, lines),
    );
    common(
      command.command('tcp').description('TCP between the kernels at both ends'),
      ['native', 'splice', ...STACKED].join(','),
    )
      .option('--message <bytes>', 'of each send', number('--message', 1, 1 << 20), 16_384)
      .action(async (flags: Flags) => {
        const filled = { ...check(flags), repeat: flags.repeat ?? 6 };
        finish(await tcp(filled, context), filled, context);
      });
  },
};
