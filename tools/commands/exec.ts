// SPDX-License-Identifier: MIT
import { spawn } from 'node:child_process';
import { once } from 'node:events';
import { NestfrontError } from '../../lib/errors.js';
import { joinArgs } from '../../lib/stack/domain.js';
import { executable } from '../../lib/stack/paths.js';
import { listStacks } from '../../lib/stack/registry.js';
import type { DomainRecord, StackState } from '../../lib/stack/registry.js';
import type { CommandModule } from '../command.js';

interface Found {
  readonly state: StackState;
  readonly domain: DomainRecord;
}

/** `DOMAIN`, or `STACK/DOMAIN` when several running stacks have one of that name. */
export function findDomain(text: string): Found {
  const [stackName, domainName] = text.includes('/') ? text.split('/', 2) : [undefined, text];
  const running = listStacks().filter((e) => !e.stale && e.state?.phase === 'running');
  const found: Found[] = [];
  for (const { state } of running) {
    if (state === undefined || (stackName !== undefined && state.name !== stackName)) continue;
    const domain = state.domains.find((candidate) => candidate.name === domainName);
    if (domain !== undefined) found.push({ state, domain });
  }
  if (found.length === 1) return found[0]!;
  if (found.length > 1)
    throw new NestfrontError(
      'NF_EINVAL',
      'domain.find',
      `several stacks have a domain "${domainName}"; name one: ` +
        found.map((f) => `${f.state.name}/${f.domain.name}`).join(', '),
    );
  const all = running.flatMap((e) => e.state!.domains.map((d) => `${e.name}/${d.name}`));
  const list = all.length === 0 ? 'no stack is running' : `there are ${all.join(', ')}`;
  throw new NestfrontError('NF_ENOENT', 'domain.find', `no domain "${text}"; ${list}`);
}

export const command: CommandModule = {
  define(command, context) {
    command
      .argument('<domain>', 'DOMAIN or STACK/DOMAIN')
      .argument('<command...>', 'program and arguments, after --')
      .passThroughOptions()
      .option('--json', 'print exit code and output as JSON')
      .action(async (name: string, words: string[], options: { json?: boolean }) => {
        const argv = words[0] === '--' ? words.slice(1) : words; // commander passes it through
        const { state, domain } = findDomain(name);
        const pid = state.isolated ? domain.pids.at(-1) : undefined;
        const json = options.json === true;
        const child = spawn(executable('nf-launch'), joinArgs(pid, argv), {
          stdio: json ? ['ignore', 'pipe', 'pipe'] : 'inherit',
        });
        const output = { stdout: '', stderr: '' };
        for (const key of ['stdout', 'stderr'] as const)
          child[key]?.setEncoding('utf8').on('data', (chunk: string) => (output[key] += chunk));
        const onAbort = (): void => void child.kill('SIGTERM');
        context.signal.addEventListener('abort', onAbort, { once: true });
        const [code] = (await once(child, 'close')) as [number | null];
        context.exitCode = code ?? 1;
        if (json) context.print(JSON.stringify({ domain: domain.name, code, ...output }));
      });
  },
};
