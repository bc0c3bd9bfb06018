// SPDX-License-Identifier: MIT
import { dirname, sep } from 'node:path';
import { execFile, spawnSync } from 'node:child_process';
import { NestfrontError } from '../errors.js';
import { executable, packageRoot } from './paths.js';

const SYSTEM = ['/usr', '/etc', '/bin', '/sbin', '/lib', '/lib64'];

function isSystem(path: string): boolean {
  return SYSTEM.some((folder) => path === folder || path.startsWith(`${folder}/`));
}

/** The package with what it imports: itself in a clone, the whole node_modules once installed. */
function packageFolder(): string {
  const root = packageRoot();
  const at = root.indexOf(`${sep}node_modules${sep}`);
  return at < 0 ? root : root.slice(0, at + `${sep}node_modules`.length);
}

/** Read-only paths a domain needs beside the system's folders: our package, and Node. */
export function domainPaths(): string[] {
  const node = dirname(dirname(process.execPath));
  const paths = [packageFolder()];
  if (!isSystem(node)) paths.push(node === '/' ? process.execPath : node);
  return paths;
}

const PROBE = { encoding: 'utf8', timeout: 10_000 } as const;
const PROBE_ARGS = ['--', '/bin/true'];

/** The last line nf-launch said, which has the remedy; else how it failed. */
function refusal(stderr: string, failure: string): string {
  const said = stderr
    .trim()
    .split('\n')
    .at(-1)
    ?.replace(/^nf-launch: /, '');
  return said === undefined || said === '' ? `nf-launch failed (${failure})` : said;
}

/**
 * Asks the machine whether it lets us make namespaces. Blocks for some milliseconds.
 * @returns undefined, or why not and what to do about it
 */
export function isolationRefused(): string | undefined {
  const result = spawnSync(executable('nf-launch'), PROBE_ARGS, PROBE);
  if (result.status === 0) return undefined;
  return refusal(result.stderr, result.error?.message ?? String(result.status));
}

/** The same question without holding up the event loop. */
export function askIsolation(): Promise<string | undefined> {
  return new Promise((resolve) => {
    execFile(executable('nf-launch'), PROBE_ARGS, PROBE, (error, _stdout, stderr) =>
      resolve(error === null ? undefined : refusal(stderr, error.message)),
    );
  });
}

/** Decides isolation: `auto` falls back with a notice. @throws NestfrontError `NF_EPERM` */
export async function decideIsolation(
  wanted: 'auto' | 'on' | 'off',
  notice: (line: string) => void,
): Promise<boolean> {
  if (wanted === 'off') return false;
  const refused = await askIsolation();
  if (refused === undefined) return true;
  if (wanted === 'on')
    throw new NestfrontError('NF_EPERM', 'stack.up', `this machine refuses isolation: ${refused}`);
  notice(`domains are not isolated: ${refused}`);
  return false;
}
