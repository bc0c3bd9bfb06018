#!/usr/bin/env node
// SPDX-License-Identifier: MIT
import { readFileSync } from 'node:fs';
import { join } from 'node:path';
import { Command, CommanderError } from 'commander';
import { packageRoot } from '../lib/stack/paths.js';
import { NestfrontError } from '../lib/errors.js';
import { EXIT, exitCodeOf } from './command.js';
import type { CommandContext, CommandModule } from './command.js';

/** Name, which is also the file in commands/, and summary: `--help` loads none of them. */
const COMMANDS: readonly (readonly [name: string, summary: string])[] = [
  ['start', 'run the main job: a nested stack, measured'],
  ['bench', 'measure one path: net or tcp'],
  ['up', 'bring a stack up from its configuration'],
  ['down', 'take a running stack down'],
  ['ls', 'list running stacks and their domains'],
  ['exec', "run a program inside a domain's namespaces"],
  ['restart', 'a driver or hypervisor process anew, its devices go on'],
  ['shell', "a shell inside a domain's namespaces"],
  ['plan', 'check a configuration and say what it takes'],
  ['net', 'network devices of running stacks'],
  ['disk', 'disks: of running stacks, or one by itself'],
  ['grants', 'pages that domains have granted each other'],
  ['evtchn', 'event channels of domains'],
  ['store', "a running stack's xenstore: ls, read, write, rm, watch"],
  ['counters', 'live counters of a domain'],
  ['top', 'live rates, drops and latencies of all that runs'],
  ['ping', 'latency and correctness of a path, by ICMP and wrong packets'],
  ['lab', 'real Xen under QEMU: scenarios that prove the drivers'],
  ['gc', 'remove what stacks that died left behind'],
  ['doctor', 'check what this machine offers'],
  ['report', 'one redacted file for a bug report'],
];

async function load(name: string): Promise<CommandModule> {
  const file = (await import(`./commands/${name}.js`)) as { command: CommandModule };
  return file.command;
}

function version(): string {
  const text = readFileSync(join(packageRoot(), 'package.json'), 'utf8');
  return (JSON.parse(text) as { version: string }).version;
}

/** Signals abort the command; it takes everything down and returns. */
function interrupts(): AbortSignal {
  const controller = new AbortController();
  const onSignal = (name: NodeJS.Signals): void => {
    if (controller.signal.aborted) process.stderr.write('nestfront: taking everything down ...\n');
    else
      controller.abort(
        new NestfrontError(
          'NF_EABORTED',
          'cli',
          `interrupted by ${name}; everything is taken down`,
        ),
      );
  };
  process.on('SIGINT', onSignal).on('SIGTERM', onSignal).on('SIGHUP', onSignal);
  return controller.signal;
}

async function build(context: CommandContext, wanted: string | undefined): Promise<Command> {
  const program = new Command('nestfront')
    .description('paravirtual network devices through two layers')
    .version(version())
    .exitOverride()
    .showHelpAfterError('(--help says what there is)')
    .enablePositionalOptions();
  for (const [name, summary] of COMMANDS) {
    const command = program.command(name).summary(summary).description(summary).exitOverride();
    if (name === wanted) (await load(name)).define(command, context);
  }
  return program;
}

/** Prints an error once, as text or as JSON, and returns the exit code it ends with. */
function report(error: unknown, json: boolean): number {
  if (error instanceof CommanderError) return error.exitCode === 0 ? EXIT.done : EXIT.usage;
  const data =
    error instanceof NestfrontError
      ? error.toJSON()
      : { message: error instanceof Error ? error.message : String(error) };
  if (json) process.stdout.write(`${JSON.stringify({ error: data })}\n`);
  else process.stderr.write(`nestfront: ${data.message}\n`);
  if (process.env['NESTFRONT_DEBUG'] !== undefined && error instanceof Error)
    process.stderr.write(`${error.stack ?? ''}\n`);
  return exitCodeOf(error);
}

async function main(argv: readonly string[]): Promise<number> {
  const words = argv.slice(2);
  const end = words.indexOf('--');
  const json = (end < 0 ? words : words.slice(0, end)).includes('--json');
  const context: CommandContext = {
    signal: interrupts(),
    exitCode: EXIT.done,
    print: (line) => void process.stdout.write(`${line}\n`),
    note: (line) => void process.stderr.write(`${line}\n`),
  };
  const wanted = words[0] === 'help' ? words[1] : words[0];
  try {
    const program = await build(context, wanted);
    await program.parseAsync(argv as string[]);
  } catch (error) {
    return report(error, json);
  }
  return context.signal.aborted ? EXIT.interrupted : context.exitCode;
}

process.exitCode = await main(process.argv);
// handles of ours are closed by now; a pipe to a reader that went away must not keep us
process.stdout.on('error', () => process.exit());
process.stdout.write('', () => process.exit());
