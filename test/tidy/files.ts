// SPDX-License-Identifier: MIT
// What the tidy tests read: every source file of the repository, by kind.
import { readdirSync, readFileSync } from 'node:fs';
import { extname, join } from 'node:path';

export interface SourceFile {
  /** From the repository's root, with slashes. */
  path: string;
  lines: string[];
}

const SKIP = new Set([
  'node_modules',
  'dist',
  'build',
  'coverage',
  '.git',
  '.tap',
  'generated',
  'golden',
]);
const KINDS = new Set(['.c', '.h', '.cc', '.def', '.ts', '.cts', '.js', '.mjs', '.cjs', '.sh']);

/** Every source file below the current directory; tests run in the root. */
export function sources(dir = '.'): SourceFile[] {
  const out: SourceFile[] = [];
  for (const entry of readdirSync(dir, { withFileTypes: true })) {
    const path = join(dir, entry.name);
    if (entry.isDirectory()) {
      if (!SKIP.has(entry.name) || path === 'tools/build') out.push(...sources(path));
    } else if (KINDS.has(extname(entry.name))) {
      out.push({ path, lines: readFileSync(path, 'utf8').replace(/\n$/, '').split('\n') });
    }
  }
  return out.sort((a, b) => a.path.localeCompare(b.path));
}

export const isC = (f: SourceFile): boolean => /\.(c|h|cc)$/.test(f.path);
export const isTypeScript = (f: SourceFile): boolean => /\.c?ts$/.test(f.path);

/** Columns a line takes, with tabs to the next multiple of 8. */
export function columns(line: string): number {
  let at = 0;
  for (const char of line) at = char === '\t' ? at + 8 - (at % 8) : at + 1;
  return at;
}
