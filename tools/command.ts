// SPDX-License-Identifier: MIT
import { existsSync, realpathSync } from 'node:fs';
import { dirname, join } from 'node:path';
import { fileURLToPath } from 'node:url';
import type { Command } from 'commander';
import { packageRoot } from '../lib/stack/paths.js';
import { NestfrontError } from '../lib/errors.js';

/** Exit codes of every command. */
export const EXIT = { done: 0, failed: 1, usage: 2, machine: 3, interrupted: 130 } as const;

/** What `main` hands to a command. A command never exits, it sets `exitCode` or throws. */
export interface CommandContext {
  /** Aborted by SIGINT and SIGTERM: stop, take everything down, return. */
  readonly signal: AbortSignal;
  exitCode: number;
  /** Writes one line to stdout. */
  readonly print: (line: string) => void;
  /** Writes one line to stderr: progress and notices, never results. */
  readonly note: (line: string) => void;
}

/**
 * What each file of tools/commands exports as `command`. `define` adds arguments, options (`--json`
 * always) and the action to a command that has its name and its summary already.
 */
export interface CommandModule {
  define(command: Command, context: CommandContext): void;
}

/** The exit code an error ends with. */
export function exitCodeOf(error: unknown): number {
  if (error instanceof TypeError || error instanceof RangeError) return EXIT.usage;
  if (!(error instanceof NestfrontError)) return EXIT.failed;
  switch (error.code) {
    case 'NF_EABORTED':
      return EXIT.interrupted;
    case 'NF_ECONFIG':
    case 'NF_EINVAL':
    case 'NF_ERANGE':
    case 'NF_EEXIST':
    case 'NF_ENOENT':
      return EXIT.usage;
    case 'NF_EPERM':
    case 'NF_EACCES':
    case 'NF_ENOSYS':
    case 'NF_ENOMEM':
      return EXIT.machine;
    default:
      return EXIT.failed;
  }
}

/** Rows as aligned columns, the first row the heading. */
export function table(rows: readonly (readonly string[])[]): string[] {
  const widths: number[] = [];
  for (const row of rows)
    row.forEach((cell, i) => (widths[i] = Math.max(widths[i] ?? 0, cell.length)));
  return rows.map((row) =>
    row
      .map((cell, i) => cell.padEnd(widths[i] ?? 0))
      .join('  ')
      .trimEnd(),
  );
}

/** A word of a shell's command line. */
export function quoted(word: string): string {
  return /^[\w./:=@%+,-]+$/.test(word) ? word : `'${word.replaceAll("'", "'\\''")}'`;
}

/**
 * How a user types this very program where they stand: `npx nestfront` when npm finds it from here
 * (in the clone, or below a project that has it installed), else node and the file.
 */
export function invocation(cwd = process.cwd()): string {
  const cli = fileURLToPath(new URL('./cli.js', import.meta.url));
  for (let at = cwd; ; at = dirname(at)) {
    const bin = join(at, 'node_modules', '.bin', 'nestfront');
    const isInstalled = existsSync(bin) && realpathSync(bin) === realpathSync(cli);
    if (isInstalled || realpathSync(at) === realpathSync(packageRoot())) return 'npx nestfront';
    if (dirname(at) === at) return `${quoted(process.execPath)} ${quoted(cli)}`;
  }
}
