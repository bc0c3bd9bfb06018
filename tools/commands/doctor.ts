// SPDX-License-Identifier: MIT
import { spawnSync } from 'node:child_process';
import { closeSync, existsSync, openSync, readFileSync } from 'node:fs';
import { availableParallelism } from 'node:os';
import { isolationRefused } from '../../lib/stack/mounts.js';
import { executable } from '../../lib/stack/paths.js';
import { runtimeDirectory } from '../../lib/stack/registry.js';
import { addon } from '../../lib/api/memory.js';
import { EXIT } from '../command.js';
import type { CommandModule } from '../command.js';

/** `no`: nothing runs without it; `part`: the rest runs without it. */
interface Check {
  readonly name: string;
  readonly status: 'ok' | 'part' | 'no';
  readonly found: string;
  readonly remedy?: string;
}

function say(error: unknown): string {
  return error instanceof Error ? error.message : String(error);
}

/** Runs a check that throws or answers; a throw is what was found. */
function check(name: string, missing: 'part' | 'no', remedy: string, look: () => string): Check {
  try {
    return { name, status: 'ok', found: look() };
  } catch (error) {
    return { name, status: missing, found: say(error), remedy };
  }
}

function firstLine(program: string, args: readonly string[]): string {
  const result = spawnSync(program, args, { encoding: 'utf8', timeout: 10_000 });
  if (result.error !== undefined) throw new Error(`no ${program} in PATH`);
  return `${result.stdout}${result.stderr}`.split('\n')[0] ?? '';
}

function node(): string {
  const [major = 0, minor = 0] = process.versions.node.split('.').map(Number);
  if (major < 20 || (major === 20 && minor < 19)) throw new Error(process.version);
  return process.version;
}

function isolation(): string {
  const refused = isolationRefused();
  if (refused !== undefined) throw new Error(refused);
  return 'user namespaces work';
}

function tun(): string {
  if (!existsSync('/dev/net/tun')) throw new Error('/dev/net/tun is not there');
  closeSync(openSync('/dev/net/tun', 'r+'));
  return '/dev/net/tun opens';
}

function tapInside(): string {
  const args = ['--', 'ip', 'tuntap', 'add', 'nfdoctor', 'mode', 'tap'];
  const result = spawnSync(executable('nf-launch'), args, { encoding: 'utf8', timeout: 10_000 });
  if (result.status !== 0) throw new Error(result.stderr.trim() || 'a TAP cannot be made');
  return 'a TAP can be made in a domain';
}

/** A sysctl that may not exist everywhere; `bad` is the value that refuses us. */
function sysctl(name: string, bad: string, remedy: string): Check[] {
  const path = `/proc/sys/${name.replaceAll('.', '/')}`;
  if (!existsSync(path)) return [];
  const value = readFileSync(path, 'utf8').trim();
  const root = process.getuid?.() === 0;
  if (value !== bad || root) return [{ name, status: 'ok', found: value }];
  return [{ name, status: 'part', found: value, remedy }];
}

/** Every check, in the order a user would fix them. */
export function examine(): Check[] {
  const userns = 'without it domains are plain processes: see the line above, or run with sudo';
  return [
    check('node', 'no', 'install Node 20.19 or newer', node),
    check('compiler', 'part', 'sudo apt-get install g++ make (only to build)', () =>
      firstLine('cc', ['--version']),
    ),
    check('python3', 'part', 'sudo apt-get install python3 (only to build)', () =>
      firstLine('python3', ['--version']),
    ),
    check('addon', 'no', 'npm install (in a clone) or npm rebuild nestfront', () => {
      addon();
      return 'loads';
    }),
    check('executables', 'no', 'npm install (in a clone) or npm rebuild nestfront', () =>
      [executable('nestfrontd'), executable('nf-launch')].join(', '),
    ),
    check('runtime directory', 'no', 'set XDG_RUNTIME_DIR to a directory of yours', () =>
      runtimeDirectory(),
    ),
    check('isolation', 'part', userns, isolation),
    ...sysctl('user.max_user_namespaces', '0', 'sudo sysctl user.max_user_namespaces=15000'),
    ...sysctl(
      'kernel.unprivileged_userns_clone',
      '0',
      'sudo sysctl kernel.unprivileged_userns_clone=1',
    ),
    ...sysctl(
      'kernel.apparmor_restrict_unprivileged_userns',
      '1',
      'sudo sysctl kernel.apparmor_restrict_unprivileged_userns=0',
    ),
    check(
      'tun',
      'part',
      'run with sudo, or sudo chmod 666 /dev/net/tun; in docker: --device /dev/net/tun',
      tun,
    ),
    check(
      'tap in a domain',
      'part',
      'sudo apt-get install iproute2; the lines above on isolation and tun',
      tapInside,
    ),
    check(
      'iperf3',
      'part',
      'sudo apt-get install iperf3 (an outside opinion; ours runs without)',
      () => firstLine('iperf3', ['--version']),
    ),
    {
      name: 'cpus',
      status: availableParallelism() >= 2 ? 'ok' : 'part',
      found: String(availableParallelism()),
      remedy: 'with one CPU every figure measures the scheduler; use two or more',
    },
  ];
}

export const command: CommandModule = {
  define(command, context) {
    command.option('--json', 'print the checks as JSON').action((options: { json?: boolean }) => {
      const checks = examine();
      if (options.json === true) context.print(JSON.stringify({ checks }));
      for (const { name, status, found, remedy } of options.json === true ? [] : checks) {
        const fix = status === 'ok' || remedy === undefined ? '' : `\n         remedy: ${remedy}`;
        context.print(`${status.padEnd(4)}  ${name}: ${found}${fix}`);
      }
      if (checks.some((c) => c.status === 'no')) context.exitCode = EXIT.machine;
    });
  },
};
