// SPDX-License-Identifier: MIT
import { spawn } from 'node:child_process';
import { once } from 'node:events';
import { existsSync } from 'node:fs';
import { basename } from 'node:path';
import { joinArgs } from '../../lib/stack/domain.js';
import { executable } from '../../lib/stack/paths.js';
import type { CommandContext, CommandModule } from '../command.js';
import { findDomain } from './exec.js';

interface Options {
  readonly program: string;
  readonly json?: boolean;
}

/** A domain sees the machine's programs, so what is here is there. */
const ANY_SHELL = ['/bin/bash', '/bin/sh'].find((path) => existsSync(path)) ?? 'sh';

/**
 * The shell with a prompt that says where one is. A domain has none of the user's files, and the
 * machine's own bashrc would set the prompt again.
 */
function shellArgs(program: string, place: string, isTerminal: boolean): string[] {
  const isBash = basename(program) === 'bash';
  const prompt = isBash ? `${place}:\\w# ` : `${place}# `;
  const flags = [...(isBash ? ['--noprofile', '--norc'] : []), ...(isTerminal ? ['-i'] : [])];
  return ['env', `PS1=${prompt}`, program, ...flags];
}

async function shell(name: string, options: Options, context: CommandContext): Promise<void> {
  const { state, domain } = findDomain(name);
  const pid = state.isolated ? domain.pids.at(-1) : undefined;
  const isTerminal = process.stdin.isTTY === true;
  const argv = shellArgs(options.program, `${state.name}/${domain.name}`, isTerminal);
  const args = ['--terminal', ...joinArgs(pid, argv)];
  const child = spawn(executable('nf-launch'), args, { stdio: 'inherit' });
  const onAbort = (): void => {
    child.kill('SIGHUP'); // a shell that reads from a terminal does not hear of SIGTERM
    child.kill('SIGTERM');
  };
  context.signal.addEventListener('abort', onAbort, { once: true });
  const [code] = (await once(child, 'close')) as [number | null];
  context.exitCode = code ?? 1;
  if (options.json === true) context.print(JSON.stringify({ domain: domain.name, code }));
}

export const command: CommandModule = {
  define(command, context) {
    command
      .argument('<domain>', 'DOMAIN or STACK/DOMAIN')
      .option('--program <shell>', 'which one, as the domain names it', ANY_SHELL)
      .option('--json', 'print its exit code as JSON at the end')
      .action((name: string, options: Options) => shell(name, options, context));
  },
};
