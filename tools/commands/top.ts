// SPDX-License-Identifier: MIT
import { setTimeout as sleep } from 'node:timers/promises';
import { NestfrontError } from '../../lib/errors.js';
import { rowsOf, shoot } from '../top/rows.js';
import type { Row } from '../top/rows.js';
import { Screen } from '../top/screen.js';
import { watch } from '../top/sources.js';
import type { Watch } from '../top/sources.js';
import { view } from '../top/view.js';
import type { CommandContext, CommandModule } from '../command.js';

interface Options {
  readonly json?: boolean;
  readonly interval: number;
  readonly once?: boolean;
  readonly count?: number;
}

/** One interval. */
interface Tick {
  readonly seconds: number;
  readonly rows: readonly Row[];
  readonly ended: readonly string[];
}

/** Ends on the command's signal, on q, when the reader of stdout has gone. */
function stopper(context: CommandContext): AbortController {
  const stop = new AbortController();
  const onAbort = (): void => stop.abort();
  context.signal.addEventListener('abort', onAbort, { once: true });
  if (context.signal.aborted) stop.abort();
  process.stdout.on('error', onAbort); // EPIPE: nobody reads any more
  return stop;
}

/** A tick an interval; over when it is stopped, after `count`, or when all that was there ended. */
async function* ticks(watched: Watch, o: Options, stop: AbortSignal): AsyncGenerator<Tick> {
  const most = o.once === true ? 1 : (o.count ?? Infinity);
  let before = shoot(await watched.pages());
  watched.ended();
  for (let i = 0; i < most; i += 1) {
    await sleep(o.interval * 1000, undefined, { signal: stop }).catch(() => undefined);
    if (stop.aborted) return;
    const pages = await watched.pages();
    const after = shoot(pages);
    const seconds = (after.atMs - before.atMs) / 1000;
    const ended = watched.ended();
    yield { seconds, rows: rowsOf(before, after), ended };
    if (pages.length === 0 && ended.length > 0) return;
    before = after;
  }
}

function clock(): string {
  return new Date().toTimeString().slice(0, 8);
}

function endedLine(names: readonly string[]): string {
  return `${names.join(', ')} ${names.length === 1 ? 'has' : 'have'} ended`;
}

/** Shows a tick, in the way the output asks for. */
type Show = (tick: Tick) => void;

function showJson(context: CommandContext): Show {
  return ({ seconds, rows, ended }) =>
    context.print(
      JSON.stringify({ schemaVersion: 1, time: new Date().toISOString(), seconds, rows, ended }),
    );
}

function showText(context: CommandContext): Show {
  return ({ seconds, rows }) => {
    context.print(`nestfront top  ${clock()}  over ${seconds.toFixed(1)} s`);
    view(rows).forEach((line) => context.print(line));
    context.print('');
  };
}

function showScreen(screen: Screen, interval: number): Show {
  return ({ rows }) => {
    const head = `nestfront top  ${clock()}  every ${interval} s  q quits`;
    screen.draw([head, ...view(rows, screen.height - 1)]);
  };
}

async function run(
  name: string | undefined,
  options: Options,
  context: CommandContext,
): Promise<void> {
  const watched = watch(name);
  const stop = stopper(context);
  const isLive =
    process.stdout.isTTY &&
    options.json !== true &&
    options.once !== true &&
    options.count === undefined;
  const gone: string[] = [];
  const onKey = (key: string): void => {
    if (/[qQ]/.test(key)) stop.abort();
  };
  {
    using screen = isLive ? new Screen(process.stdout, process.stdin, onKey) : undefined;
    const show =
      screen !== undefined
        ? showScreen(screen, options.interval)
        : options.json === true
          ? showJson(context)
          : showText(context);
    screen?.draw([`nestfront top  ${clock()}  first figures in ${options.interval} s  q quits`]);
    for await (const tick of ticks(watched, options, stop.signal)) {
      show(tick);
      gone.push(...tick.ended);
    }
  }
  if (gone.length > 0) context.note(`nestfront: ${endedLine([...new Set(gone)])}`);
}

function seconds(value: string): number {
  const number = Number(value);
  if (number >= 0.1 && number <= 3600) return number;
  throw new RangeError(`--interval is ${value}; use 0.1 to 3600 seconds`);
}

function times(value: string): number {
  const number = Number(value);
  if (Number.isInteger(number) && number >= 1) return number;
  throw new RangeError(`--count is ${value}; use a whole number from 1 on`);
}

export const command: CommandModule = {
  define(command, context) {
    command
      .argument('[stack]', 'a running stack, or the run directory of a nestfrontd; all without')
      .option('--interval <seconds>', 'between two displays', seconds, 1)
      .option('--count <n>', 'end after so many', times)
      .option('--once', 'one interval, as text')
      .option('--json', 'one JSON object an interval')
      .action((name: string | undefined, options: Options) => {
        if (options.once === true && options.count !== undefined)
          throw new NestfrontError('NF_EINVAL', 'top', 'give --once or --count, not both');
        return run(name, options, context);
      });
  },
};
