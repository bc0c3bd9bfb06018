// SPDX-License-Identifier: MIT
// A walkthrough's steps: what its fenced blocks say is typed, and what is to be seen then.
//   ```console       `$ COMMAND` (a backslash at its end goes on in the next line), then what it
//                    prints; `[N]` alone: it exits with N, else 0
//   ```LANG FILE     FILE is written; variables of the shell, as $dir, are
// Other blocks are only shown. In what is printed `…` stands for any text and a line `...` for any
// lines; every line must come, in that order, with others between them at most where `...` is.

/** @typedef {{ line: number, command: string, expected: string[], code: number }} Step */

/** A word that no file of a walkthrough has as a line of its own. */
const END = 'END_OF_FILE_OF_THE_WALKTHROUGH';

/** @returns {Step[]} */
export function steps(markdown) {
  const found = [];
  let fence;
  markdown.split('\n').forEach((text, index) => {
    const line = index + 1;
    if (fence === undefined) {
      const open = /^```(\w+)(?: (\S+))?$/.exec(text);
      if (open) fence = { language: open[1], file: open[2], line, body: [] };
      else if (text.startsWith('```')) fence = { line, body: [] };
      return;
    }
    if (text !== '```') return fence.body.push(text);
    if (fence.file !== undefined) found.push(fileStep(fence));
    else if (fence.language === 'console') found.push(...consoleSteps(fence));
    fence = undefined;
  });
  if (fence !== undefined) throw new Error(`line ${fence.line}: the block has no end`);
  if (found.length === 0) throw new Error('it has no step');
  return found;
}

function fileStep({ file, line, body }) {
  const command = `cat > "${file}" <<'${END}'\n${body.join('\n')}\n${END}`;
  return { line, command, expected: [], code: 0 };
}

function consoleSteps({ line: first, body }) {
  const list = [];
  let goesOn = false;
  body.forEach((text, index) => {
    const step = list.at(-1);
    const line = first + 1 + index;
    if (goesOn) step.command += `\n${text}`;
    else if (text.startsWith('$ '))
      list.push({ line, command: text.slice(2), expected: [], code: 0 });
    else if (step === undefined) throw new Error(`line ${line}: a block begins with "$ COMMAND"`);
    else if (/^\[\d+\]$/.test(text)) step.code = Number(text.slice(1, -1));
    else step.expected.push(text);
    goesOn = (goesOn || text.startsWith('$ ')) && text.endsWith('\\');
  });
  return list;
}

function matches(pattern, text) {
  const parts = pattern.trimEnd().split('…');
  const escaped = parts.map((part) => part.replaceAll(/[.*+?^${}()|[\]\\]/g, '\\$&'));
  return new RegExp(`^${escaped.join('.*')}$`).test(text.trimEnd());
}

/** undefined, or the first expected line that was not seen where it should be. */
export function difference(expected, lines) {
  const runs = [[]]; // what lies between two `...` stands together
  for (const line of expected) line === '...' ? runs.push([]) : runs.at(-1).push(line);
  let at = 0;
  for (const [index, run] of runs.entries()) {
    const isLast = index === runs.length - 1;
    const fits = (start) => run.every((line, i) => matches(line, lines[start + i] ?? '\0'));
    // the first run begins at once, the last one ends with the output
    const starts = index === 0 ? [0] : isLast ? [lines.length - run.length] : undefined;
    const from = starts ?? Array.from({ length: lines.length - at + 1 }, (_, i) => at + i);
    const start = from.find((candidate) => candidate >= at && fits(candidate));
    if (start === undefined)
      return run.find((line) => !lines.some((l) => matches(line, l))) ?? run[0];
    at = start + run.length;
  }
  return at < lines.length && runs.length === 1 ? `nothing after ${expected.at(-1)}` : undefined;
}
