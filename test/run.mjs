// SPDX-License-Identifier: MIT
// npm test: the C programs through tap, the TypeScript API through ava, one sum. Flags:
//   --long            the long suites (C test/c/long_*.c, dist/test/long) instead of the short ones
//   --variant NAME    C programs only, built with a sanitizer (asan, tsan) or for coverage
//   --only TEXT       C programs whose name has TEXT, ava files whose path has TEXT
//   --no-skips        a skipped test is a failure (the CI's machine can do everything)
//   --second-look     an ava file that failed runs once more, alone: if it passes, it is named as
//                     unsteady, with its first failure, and fails nothing; two such files do
// The last line is `N passed, N failed, N skipped`.
import { spawn, spawnSync } from 'node:child_process';
import { existsSync, readdirSync } from 'node:fs';
import { createRequire } from 'node:module';
import path from 'node:path';
import { fileURLToPath } from 'node:url';
import { parseArgs } from 'node:util';

const require = createRequire(import.meta.url);
const { lists } = require('../tools/build/sources.cjs');
const root = path.resolve(path.dirname(fileURLToPath(import.meta.url)), '..');
const bin = (name) => path.join(root, 'node_modules', '.bin', name);

const { values: flags } = parseArgs({
  options: {
    long: { type: 'boolean', default: false },
    variant: { type: 'string' },
    only: { type: 'string', default: '' },
    'no-skips': { type: 'boolean', default: false },
    'second-look': { type: 'boolean', default: false },
  },
});

/** Skips that no machine of the CI's can avoid. */
const UNAVOIDABLE = [/these headers are older than XDP/];

/** Runs a command, shows its standard error, hands each line of its output to `line`. */
function lines(command, args, env, line) {
  return new Promise((resolve) => {
    const child = spawn(command, args, {
      cwd: root,
      env: { ...process.env, ...env },
      stdio: ['ignore', 'pipe', 'inherit'],
    });
    let rest = '';
    child.stdout.setEncoding('utf8');
    child.stdout.on('data', (chunk) => {
      const parts = (rest + chunk).split('\n');
      rest = parts.pop();
      parts.forEach(line);
    });
    child.on('error', (error) => resolve({ code: -1, error }));
    child.on('close', (code) => {
      if (rest) line(rest);
      resolve({ code });
    });
  });
}

/** Reads a runner's TAP: failures are shown with what follows them, skips with their reason. */
function reader(sum) {
  let detail = -1;
  return (text) => {
    const depth = text.length - text.trimStart().length;
    const point = /^\s*(not )?ok\b\s*\d*\s*-?\s*(.*)$/.exec(text);
    if (point) {
      detail = -1;
      const skip = /#\s*SKIP\S*\s*(.*)$/i.exec(point[2]);
      if (skip)
        sum.reasons.push(
          `${point[2].replace(/\s*#\s*SKIP.*$/i, '')}: ${skip[1] || 'no reason given'}`,
        );
      else if (point[1] && !/#\s*TODO/i.test(point[2])) {
        console.log(`not ok - ${point[2]}`);
        sum.titles.push(point[2]);
        detail = depth;
      }
    } else if (detail >= 0 && depth >= detail && !/^\s*# Subtest/.test(text)) console.log(text);
    const total = /^# \{ total: (\d+), pass: (\d+)(?:, fail: (\d+))?(?:, skip: (\d+))?/.exec(text);
    if (total) [sum.passed, sum.failed, sum.skipped] = total.slice(2).map((n) => Number(n ?? 0));
    const ava = /^# (pass|fail|skip) (\d+)$/.exec(text);
    if (ava) sum[{ pass: 'passed', fail: 'failed', skip: 'skipped' }[ava[1]]] = Number(ava[2]);
  };
}

async function runner(name, command, args, env) {
  const sum = { name, passed: 0, failed: 0, skipped: 0, reasons: [], titles: [] };
  const started = Date.now();
  const { code, error } = await lines(command, args, env, reader(sum));
  if (code !== 0 && sum.failed === 0) {
    sum.failed = 1;
    console.log(`not ok - ${name} ended with ${error ? error.message : `exit code ${code}`}`);
  }
  if (sum.passed + sum.failed + sum.skipped === 0) {
    sum.failed = 1;
    console.log(`not ok - ${name} ran no tests`);
  }
  sum.seconds = (Date.now() - started) / 1000;
  return sum;
}

function programs() {
  const names = lists.tests().map((f) => path.basename(f, '.c'));
  return names.filter((n) => n.startsWith('long_') === flags.long);
}

function tapRun(files, env) {
  const args = [
    'run',
    '--disable-coverage',
    '--allow-empty-coverage',
    '--allow-incomplete-coverage', // it counts the stacks that tests start all the same
    '--reporter=tap',
    '--jobs=1',
  ];
  const seconds = flags.long || flags.variant ? 600 : 180;
  return runner('tap', bin('tap'), [...args, `--timeout=${seconds}`, ...files], env);
}

function cPrograms() {
  if (flags.variant) {
    const build = spawnSync(process.execPath, ['tools/build/variant.cjs', flags.variant], {
      cwd: root,
      stdio: 'inherit',
    });
    if (build.status !== 0) process.exit(1);
  }
  const folder = flags.variant ? `build/${flags.variant}/t` : 'build/Release/t';
  return {
    NF_TEST_PROGRAMS: path.join(root, folder),
    NF_TEST_LIST: programs().join(','),
    NF_TEST_ONLY: flags.only,
    NF_TEST_SECONDS: flags.long ? '590' : '170',
    ASAN_OPTIONS: 'detect_stack_use_after_return=1:strict_string_checks=1',
    UBSAN_OPTIONS: 'halt_on_error=1:print_stacktrace=1',
    TSAN_OPTIONS: 'halt_on_error=1:second_deadlock_stack=1',
  };
}

function compiled(folder) {
  const dir = path.join(root, 'dist', 'test', folder);
  if (!existsSync(dir)) return [];
  return readdirSync(dir, { recursive: true })
    .filter((f) => /\.js$/.test(f) && !/(^|\/)(_|helpers\/|long\/)/.test(f))
    .map((f) => path.join('dist', 'test', folder, f))
    .filter((f) => f.endsWith('tap/programs.js') || f.includes(flags.only));
}

/** Files whose tests failed: ava puts a file's path from where all of them are before a title. */
function filesOf(titles, files) {
  const parts = (file) => file.replace(/\.(test\.)?js$/, '').split(path.sep);
  const named = (file, title) =>
    parts(file).some((_, i, all) => title.startsWith(`${all.slice(i).join(' › ')} › `));
  const ends = (file) => parts(file).pop();
  const found = titles.map((title) => {
    const all = files.filter((file) => named(file, title));
    return all.sort((a, b) => ends(b).length - ends(a).length)[0];
  });
  return new Set(found);
}

const AVA = ['--tap', '--concurrency=2', ...(flags.long ? ['--timeout=10m'] : [])];

/** One unsteady file is a note in the CI's output; more than that is a suite not to be trusted. */
async function secondLook(sum, files) {
  const failed = filesOf(sum.titles, files);
  if (failed.size !== 1 || failed.has(undefined) || sum.titles.length !== sum.failed) return;
  const [file] = failed;
  console.log(`second look: ${file} runs once more, alone`);
  const again = await runner('again', bin('ava'), [...AVA, file], {});
  if (again.failed > 0) return;
  console.log(`unsteady: ${file}: ${sum.titles.join('; ')}`);
  [sum.passed, sum.failed] = [sum.passed + sum.failed, 0];
}

async function main() {
  const sums = [];
  const env = cPrograms();
  const tapFiles = flags.variant
    ? ['dist/test/tap/programs.js']
    : compiled(flags.long ? 'tap/long' : 'tap');
  if (flags.long && programs().length > 0) tapFiles.push('dist/test/tap/programs.js');
  if (tapFiles.length > 0) sums.push(await tapRun(tapFiles, env));
  const avaFiles = compiled(flags.long ? 'js/long' : 'js');
  if (!flags.variant && avaFiles.length > 0) {
    const sum = await runner('ava', bin('ava'), [...AVA, ...avaFiles], {});
    if (flags['second-look'] && sum.failed > 0) await secondLook(sum, avaFiles);
    sums.push(sum);
  }
  const total = (key) => sums.reduce((n, s) => n + s[key], 0);
  const reasons = sums.flatMap((s) => s.reasons);
  for (const reason of new Set(reasons)) console.log(`skipped: ${reason}`);
  const line = (s) => `${s.passed} passed, ${s.failed} failed, ${s.skipped} skipped`;
  for (const s of sums) console.log(`${s.name}: ${line(s)} in ${s.seconds.toFixed(0)} s`);
  const failed = total('failed') > 0 || sums.length === 0;
  const avoidable = reasons.filter((r) => !UNAVOIDABLE.some((u) => u.test(r)));
  if (failed || (flags['no-skips'] && avoidable.length > 0)) process.exitCode = 1;
  console.log(`${total('passed')} passed, ${total('failed')} failed, ${total('skipped')} skipped`);
}

await main();
