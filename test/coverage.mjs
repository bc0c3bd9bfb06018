// SPDX-License-Identifier: MIT
// npm run coverage: what the C tests run of drivers/ (gcov) and the TypeScript tests of lib/ (c8).
// The floors below only rise; below one of them the exit code is 1.
import { spawnSync } from 'node:child_process';
import { mkdtempSync, readFileSync, readdirSync, rmSync } from 'node:fs';
import { createRequire } from 'node:module';
import { tmpdir } from 'node:os';
import path from 'node:path';
import { fileURLToPath } from 'node:url';
import { gunzipSync } from 'node:zlib';

const require = createRequire(import.meta.url);
const { lists } = require('../tools/build/sources.cjs');
const root = path.resolve(path.dirname(fileURLToPath(import.meta.url)), '..');
const floors = JSON.parse(readFileSync(path.join(root, 'test', 'coverage.json'), 'utf8'));

function run(command, args, options = {}) {
  return spawnSync(command, args, { cwd: root, stdio: 'inherit', ...options }).status === 0;
}

/** Lines of one C source: line number -> times run, over all its objects. */
function gcovOf(source, scratch) {
  const object = path.join(root, 'build', 'coverage', source.replace(/\.c$/, '.gcda'));
  const r = spawnSync('gcov', ['--json-format', object], { cwd: scratch, encoding: 'utf8' });
  const lines = new Map();
  if (r.status !== 0) return lines;
  for (const name of readdirSync(scratch).filter((f) => f.endsWith('.gcov.json.gz'))) {
    const data = JSON.parse(gunzipSync(readFileSync(path.join(scratch, name))));
    for (const file of data.files.filter((f) => f.file === source))
      for (const l of file.lines)
        lines.set(l.line_number, (lines.get(l.line_number) ?? 0) + l.count);
    rmSync(path.join(scratch, name));
  }
  return lines;
}

function percentOf(sources, scratch) {
  let total = 0;
  let covered = 0;
  for (const source of sources) {
    const lines = gcovOf(source, scratch);
    const hit = [...lines.values()].filter((n) => n > 0).length;
    total += lines.size;
    covered += hit;
    const share = lines.size === 0 ? 'not run' : `${((100 * hit) / lines.size).toFixed(0)} %`;
    console.log(`  ${source.padEnd(44)} ${share}`);
  }
  return total === 0 ? 0 : (100 * covered) / total;
}

const results = [];
const cPassed = run(process.execPath, ['test/run.mjs', '--variant', 'coverage']);
const scratch = mkdtempSync(path.join(tmpdir(), 'nestfront-gcov-'));
const c = percentOf(lists.core(), scratch);
rmSync(scratch, { recursive: true });
console.log(`C lines: ${c.toFixed(1)} %, floor ${floors.cLines} %`);
results.push(cPassed, c >= floors.cLines);

const include = ['--include', 'dist/lib/**', '--exclude', 'dist/lib/generated/**'];
const floor = ['--check-coverage', '--lines', String(floors.tsLines), '--branches', '0'];
const tools = path.join(root, 'node_modules', '.bin');
results.push(
  run(path.join(tools, 'c8'), [
    ...['--reporter=text', '--functions=0', '--statements=0', ...include, ...floor],
    path.join(tools, 'ava'),
  ]),
);
process.exitCode = results.every(Boolean) ? 0 : 1;
