// SPDX-License-Identifier: MIT
import { execFileSync } from 'node:child_process';
import { readFileSync } from 'node:fs';
import { availableParallelism, cpus, loadavg, release, version } from 'node:os';
import { join } from 'node:path';
import { packageRoot } from '../../lib/stack/paths.js';
import type { Environment } from './schema.js';

/** git revision of a clone, with `-dirty`; `package` where there is no git. */
function revision(): string {
  try {
    return execFileSync('git', ['describe', '--always', '--dirty', '--abbrev=12'], {
      cwd: packageRoot(),
      encoding: 'utf8',
      stdio: ['ignore', 'pipe', 'ignore'],
    }).trim();
  } catch {
    return 'package'; // an installed package has no history: a fact, not a failure
  }
}

function packageVersion(): string {
  const text = readFileSync(join(packageRoot(), 'package.json'), 'utf8');
  return (JSON.parse(text) as { version: string }).version;
}

/**
 * What results depend on besides the code. `end` is the start until {@link finished}.
 * @param flags the command line's words after the command
 */
export function environment(flags: readonly string[]): Environment {
  const now = new Date().toISOString();
  return {
    revision: revision(),
    version: packageVersion(),
    cpu: cpus()[0]?.model.trim() ?? 'unknown',
    cores: availableParallelism(),
    kernel: `${release()} ${version()}`,
    node: process.version,
    flags: [...flags],
    loadAverage: loadavg().map((x) => Math.round(x * 100) / 100),
    start: now,
    end: now,
    user: process.getuid?.() === 0 ? 'root' : 'ordinary',
  };
}

export function finished(started: Environment): Environment {
  return { ...started, end: new Date().toISOString() };
}
