// SPDX-License-Identifier: MIT
// Sizes of files and functions, as `where` strings of what is too long.
import ts from 'typescript';
import { columns, isC, isTypeScript, type SourceFile } from './files.js';

const FILE_LINES = { c: 400, ts: 250 };
const FUNCTION_LINES = { c: 70, ts: 60 };
const COLUMNS = 100;

export interface Finding {
  where: string;
  what: string;
}

export function longFiles(files: SourceFile[]): Finding[] {
  return files
    .filter((f) => f.lines.length > (isTypeScript(f) ? FILE_LINES.ts : FILE_LINES.c))
    .filter((f) => isC(f) || isTypeScript(f))
    .map((f) => ({ where: f.path, what: `${f.lines.length} lines` }));
}

/** A C function's body starts with `{` and ends with `}` in the first column. */
export function longCFunctions(file: SourceFile): Finding[] {
  const found: Finding[] = [];
  let start = -1;
  file.lines.forEach((line, i) => {
    if (line === '{') start = i;
    if (line !== '}' || start < 0) return;
    const lines = i - start + 1;
    const head = file.lines.slice(Math.max(0, start - 4), start).join(' ');
    const name = /(\w+)\s*\([^()]*(?:\([^()]*\)[^()]*)*\)\s*$/.exec(head)?.[1] ?? `line ${start}`;
    if (lines > FUNCTION_LINES.c)
      found.push({ where: `${file.path}#${name}`, what: `${lines} lines` });
    start = -1;
  });
  return found;
}

export function longTsFunctions(file: SourceFile): Finding[] {
  const found: Finding[] = [];
  const tree = ts.createSourceFile(file.path, file.lines.join('\n'), ts.ScriptTarget.Latest, true);
  const line = (pos: number): number => tree.getLineAndCharacterOfPosition(pos).line;
  const visit = (node: ts.Node): void => {
    if (ts.isFunctionLike(node) && 'body' in node && node.body !== undefined) {
      const lines = line(node.end) - line(node.getStart(tree)) + 1;
      const name = node.name?.getText(tree) ?? `line ${line(node.getStart(tree)) + 1}`;
      if (lines > FUNCTION_LINES.ts)
        found.push({ where: `${file.path}#${name}`, what: `${lines} lines` });
    }
    ts.forEachChild(node, visit);
  };
  visit(tree);
  return found;
}

export function wideLines(file: SourceFile): Finding[] {
  const at = file.lines.findIndex((l) => columns(l) > COLUMNS);
  return at < 0 ? [] : [{ where: file.path, what: `line ${at + 1} is wider than ${COLUMNS}` }];
}
