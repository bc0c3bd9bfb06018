// SPDX-License-Identifier: MIT
import { writeFileSync } from 'node:fs';
import { resolve } from 'node:path';
import { NestfrontError } from '../../lib/errors.js';
import { Redactor } from '../report/redact.js';
import { sections } from '../report/sections.js';
import type { CommandContext, CommandModule } from '../command.js';

interface Options {
  readonly json?: boolean;
  readonly output?: string;
}

const CONTAINS = [
  'versions of nestfront, Node, kernel and C library; CPU model, memory, load',
  "what doctor found; the stacks of this user with their processes' pids",
  'of each running stack: configuration, plan, counters, hypervisors, the last log lines',
  'the tree of each store, with values of keys known to be harmless',
];
const LEAVES_OUT = [
  'frames, sectors and every other payload; values of other store keys (their size is told)',
  'names of the machine and its user; home directories (~, HOST, USER)',
  'IP addresses, ends of MACs, paths of disks and sockets (IP-1, MAC-1, PATH-1: equal stays equal)',
  'whatever looks like a password or token; the environment; other processes',
];

function written(options: Options, text: string): string {
  const stamp = new Date().toISOString().replace(/[-:]|\..*/g, '');
  const ending = options.json === true ? 'json' : 'txt';
  const file = resolve(options.output ?? `nestfront-report-${stamp}.${ending}`);
  try {
    writeFileSync(file, text, { mode: 0o600, flag: 'wx' });
  } catch (cause) {
    const { code } = cause as NodeJS.ErrnoException;
    const isThere = code === 'EEXIST';
    const why = isThere ? 'is there already' : `cannot be written (${code})`;
    throw new NestfrontError(
      isThere ? 'NF_EEXIST' : 'NF_EACCES',
      'report',
      `${file} ${why}; give another --output`,
      { cause },
    );
  }
  return file;
}

async function report(options: Options, context: CommandContext): Promise<void> {
  const redact = new Redactor().text;
  const parts = (await sections()).map(({ title, lines }) => ({
    title: redact(title),
    lines: lines.map(redact),
  }));
  const time = new Date().toISOString();
  const about = { contains: CONTAINS, leavesOut: LEAVES_OUT };
  const text =
    options.json === true
      ? `${JSON.stringify({ schemaVersion: 1, time, ...about, sections: parts }, null, 1)}\n`
      : [
          `nestfront report of ${time}`,
          '\nIt contains:',
          ...CONTAINS.map((line) => `  * ${line}`),
          'It leaves out:',
          ...LEAVES_OUT.map((line) => `  * ${line}`),
          ...parts.flatMap(({ title, lines }) => [`\n== ${title}`, ...lines]),
          '',
        ].join('\n');
  if (options.output === '-') return context.print(text.trimEnd());
  const file = written(options, text);
  [
    `${file}: ${text.length} bytes, readable by you alone. It contains:`,
    ...CONTAINS.map((line) => `  * ${line}`),
    'It leaves out:',
    ...LEAVES_OUT.map((line) => `  * ${line}`),
    'Read it before you send it: log lines and names of stacks and devices are as they were given.',
  ].forEach(context.note);
  context.print(options.json === true ? JSON.stringify({ file, ...about }) : file);
}

export const command: CommandModule = {
  define(command, context) {
    command
      .option('-o, --output <file>', 'where to; - is the standard output')
      .option('--json', 'the report and the answer as JSON')
      .action((options: Options) => report(options, context));
  },
};
