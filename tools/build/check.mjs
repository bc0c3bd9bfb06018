// SPDX-License-Identifier: MIT
// npm run check: format, lint, types, C warnings as errors and the tidy test; every step runs, one
// line each, findings below the line. --format rewrites C and the addon instead.
import { spawnSync } from 'node:child_process';
import { createRequire } from 'node:module';
import { availableParallelism } from 'node:os';
import path from 'node:path';

const require = createRequire(import.meta.url);
const { ROOT, lists } = require('./sources.cjs');
const bin = (name) => path.join(ROOT, 'node_modules', '.bin', name);
// the wrapper of npm's clang-format starts node for every call; this is the binary it starts
const clangFormat = path.join(
  path.dirname(require.resolve('clang-format/package.json')),
  'bin/linux_x64/clang-format',
);

function run(command, args) {
  return spawnSync(command, args, { cwd: ROOT, encoding: 'utf8', maxBuffer: 1 << 26 });
}

/** What has not changed is not looked at again; the CI looks at everything. */
const cache = (tool) =>
  process.env.CI ? [] : ['--cache', '--cache-location', `build/check-${tool}`];

function step(label, command, args) {
  const started = Date.now();
  const r = run(command, args);
  const seconds = ((Date.now() - started) / 1000).toFixed(1);
  console.log(`${label} … ${r.status === 0 ? 'ok' : 'FAILED'} (${seconds} s)`);
  if (r.status === 0) return true;
  const text = `${r.stdout ?? ''}${r.stderr ?? ''}${r.error?.message ?? ''}`.trimEnd();
  console.log(text.split('\n').slice(-200).join('\n'));
  return false;
}

const c = [...lists.c(), ...lists.cc()];
if (process.argv[2] === '--format') {
  process.exit(run(clangFormat, ['-i', '--style=file', ...c]).status === 0 ? 0 : 1);
}
const results = [
  step('generated sources', process.execPath, ['tools/build/codegen.cjs']),
  step('prettier', bin('prettier'), ['--check', '--log-level=warn', ...cache('prettier'), '.']),
  step('clang-format', clangFormat, ['--dry-run', '--Werror', '--style=file', ...c]),
  step('typescript', bin('tsc'), ['-p', '.']),
  step('eslint', bin('eslint'), ['--max-warnings=0', ...cache('eslint'), '.']),
  step(`C warnings (${availableParallelism()} CPUs)`, process.execPath, [
    'tools/build/variant.cjs',
    'werror',
  ]),
  step('tidy', bin('ava'), ['dist/test/tidy/tidy.js']),
];
process.exitCode = results.every(Boolean) ? 0 : 1;
