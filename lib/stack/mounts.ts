// SPDX-License-Identifier: MIT
import { dirname, sep } from 'node:path';
import { spawnSync } from 'node:child_process';
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

/**
 * Asks the machine whether it lets us make namespaces.
 * @returns undefined, or why not and what to do about it
 */
export function isolationRefused(): string | undefined {
  const result = spawnSync(executable('nf-launch'), ['--', '/bin/true'], {
    encoding: 'utf8',
    timeout: 10_000,
  });
  if (result.status === 0) return undefined;
  const said =
    result.stderr
      .trim()
      .split('\n')
      .at(-1)
      ?.replace(/^nf-launch: /, '') ?? '';
  return said === '' ? `nf-launch failed (${result.error?.message ?? result.status})` : said;
}

/** Decides isolation: `auto` falls back with a notice. @throws NestfrontError `NF_EPERM` */
export function decideIsolation(
  wanted: 'auto' | 'on' | 'off',
  notice: (line: string) => void,
): boolean {
  if (wanted === 'off') return false;
  const refused = isolationRefused();
  if (refused === undefined) return true;
  if (wanted === 'on')
    throw new NestfrontError('NF_EPERM', 'stack.up', `this machine refuses isolation: ${refused}`);
  notice(`domains are not isolated: ${refused}`);
  return false;
}
