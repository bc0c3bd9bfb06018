// SPDX-License-Identifier: MIT
import { spawn } from 'node:child_process';
import { once } from 'node:events';
import { mkdtempSync, openSync, readFileSync, rmSync } from 'node:fs';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import type { Stack } from '../../lib/stack/stack.js';
import type { StackState } from '../../lib/stack/registry.js';
import { listStacks, runtimeDirectory } from '../../lib/stack/registry.js';
import { guestOf, readConfig } from '../../lib/stack/config.js';
import type { CheckedStackConfig } from '../../lib/stack/schema.js';
import { NestfrontError } from '../../lib/errors.js';
import { invocation, table } from '../command.js';
import type { CommandContext, CommandModule } from '../command.js';

interface Options {
  readonly json?: boolean;
  readonly detach?: boolean;
  readonly verbose?: boolean;
}

function report(stack: Stack): string[] {
  const devices = stack.devices.map((device) => [
    device.name,
    device.path,
    `${device.front.name} -> L0`,
    device.mac,
  ]);
  const { pids, hypervisors, isolated } = stack.metadata();
  const all = Object.entries({ ...hypervisors, ...pids }).map(([name, pid]) => `${name} ${pid}`);
  return [
    `stack ${stack.name} is up${isolated ? '' : ', not isolated'}: ${all.join(', ')}`,
    ...table([['device', 'path', 'from', 'mac'], ...devices]),
  ];
}

/** Two lines, the second a command to paste that does something with what the stack has. */
function paste({ name, devices, disks }: CheckedStackConfig): string[] {
  const nestfront = invocation();
  const [device] = devices;
  const isGenerated = device?.front.port === 'gen' && device.back.port === 'gen';
  if (device !== undefined && isGenerated)
    return [
      'to send a million frames through it, and see them counted:',
      `  ${nestfront} net set ${name} ${device.name} --mode send --limit 1000000 && ` +
        `${nestfront} counters ${name}/L0`,
    ];
  const user = device ?? disks[0];
  return user === undefined
    ? []
    : ['to look inside:', `  ${nestfront} shell ${name}/${guestOf(user)}`];
}

/** Stays until told to stop or until every driver has ended by itself. */
async function attend(stack: Stack, signal: AbortSignal): Promise<void> {
  if (signal.aborted) return;
  const over = Promise.all(stack.domains.map((domain) => domain.exited));
  await Promise.race([over, once(signal, 'abort')]);
}

async function foreground(file: string, options: Options, context: CommandContext): Promise<void> {
  const config = readConfig(file);
  const { Stack } = await import('../../lib/stack/stack.js');
  const stack = await Stack.up(config, {
    signal: context.signal,
    notice: (line) => context.note(`nestfront: ${line}`),
    ...(options.verbose === true ? { log: context.note } : {}),
  });
  try {
    if (options.json === true)
      context.print(JSON.stringify({ name: stack.name, up: true, ...stack.metadata() }));
    else {
      const lines = [...report(stack), 'Ctrl-C takes it down; in another terminal,'];
      [...lines, ...paste(stack.config)].forEach((line) => context.print(line));
    }
    await attend(stack, context.signal);
  } finally {
    await stack.close();
  }
}

/** Starts the same command as a process of its own, waits until its stack runs, leaves it. */
async function background(file: string, options: Options, context: CommandContext): Promise<void> {
  const config = readConfig(file); // a mistake is told here, not in a log
  const { name } = config;
  const directory = mkdtempSync(join(runtimeDirectory(), `.${name}.${process.pid}.`));
  const log = join(directory, 'log');
  try {
    const fd = openSync(log, 'w', 0o600);
    const cli = fileURLToPath(new URL('../cli.js', import.meta.url));
    const child = spawn(process.execPath, [cli, 'up', file], {
      stdio: ['ignore', fd, fd],
      detached: true,
    });
    const ended = once(child, 'exit').then(([code]) => (typeof code === 'number' ? code : 1));
    const onAbort = (): void => void child.kill('SIGTERM');
    context.signal.addEventListener('abort', onAbort, { once: true });
    const state = await runningState(name, child.pid!, ended);
    context.signal.removeEventListener('abort', onAbort);
    if (state === undefined) {
      context.exitCode = await ended;
      const said = readFileSync(log, 'utf8')
        .trim()
        .replace(/^nestfront: /, '');
      throw new NestfrontError('NF_EIO', 'up --detach', said === '' ? 'it ended at once' : said);
    }
    child.unref();
    if (options.json === true) {
      context.print(JSON.stringify({ name, up: true, pid: child.pid }));
      return;
    }
    context.print(`stack ${name} is up, pid ${child.pid}; nestfront down ${name} ends it`);
    paste(config).forEach((line) => context.print(line));
  } finally {
    rmSync(directory, { recursive: true, force: true });
  }
}

/** Polls the registry until the stack runs; undefined once its process has ended. */
async function runningState(
  name: string,
  pid: number,
  ended: Promise<number>,
): Promise<StackState | undefined> {
  const over = ended.then(() => 'over' as const);
  for (;;) {
    const state = listStacks().find((entry) => entry.name === name)?.state;
    if (state?.owner.pid === pid && state.phase === 'running') return state;
    const tick = new Promise<'tick'>((resolve) => setTimeout(() => resolve('tick'), 50));
    if ((await Promise.race([over, tick])) === 'over') return undefined;
  }
}

export const command: CommandModule = {
  define(command, context) {
    command
      .argument('<stack.json>', 'configuration')
      .option('--detach', 'leave it running in the background')
      .option('--verbose', 'show what its processes log')
      .option('--json', 'print pids and layout as JSON once it is up')
      .action((file: string, options: Options) =>
        options.detach === true
          ? background(file, options, context)
          : foreground(file, options, context),
      );
  },
};
