// SPDX-License-Identifier: MIT
'use strict';
// `prepare`: generates the sources both languages share, compiles TypeScript into dist/ and removes
// what has no source any more, so that no deleted test runs on. Does nothing in the npm package,
// which ships dist/ and no sources.
const { spawnSync } = require('node:child_process');
const fs = require('node:fs');
const path = require('node:path');

const ROOT = path.resolve(__dirname, '..', '..');
const DIST = path.join(ROOT, 'dist');
const STATE = path.join(DIST, '.tsbuildinfo'); // of tsc: what was compiled from what

function run(label, args) {
  const started = Date.now();
  const r = spawnSync(process.execPath, args, { cwd: ROOT, encoding: 'utf8' });
  const seconds = ((Date.now() - started) / 1000).toFixed(1);
  console.log(`  ${label} … ${r.status === 0 ? 'done' : 'FAILED'} (${seconds} s)`);
  if (r.status === 0) return true;
  process.stderr.write(r.stdout + r.stderr);
  return false;
}

/** dist/x.js, .d.ts, .js.map … without x.ts (or .cts) is left over from a deleted source. */
function prune(dir) {
  if (!fs.existsSync(dir)) return;
  for (const e of fs.readdirSync(dir, { withFileTypes: true })) {
    const file = path.join(dir, e.name);
    if (e.isDirectory()) {
      prune(file);
      continue;
    }
    if (file === STATE) continue;
    const source = path.relative(DIST, file).replace(/(\.d)?\.(c?)[jt]s(\.map)?$/, '.$2ts');
    if (!fs.existsSync(path.join(ROOT, source))) fs.rmSync(file);
  }
}

/** `npx nestfront` in the clone itself: npm links the bins of dependencies only. */
function linkBin() {
  const cli = path.join(DIST, 'tools', 'cli.js');
  const bin = path.join(ROOT, 'node_modules', '.bin', 'nestfront');
  if (!fs.existsSync(cli) || !fs.existsSync(path.dirname(bin))) return;
  fs.chmodSync(cli, 0o755);
  fs.rmSync(bin, { force: true });
  fs.symlinkSync(path.relative(path.dirname(bin), cli), bin);
}

if (fs.existsSync(path.join(ROOT, 'tsconfig.json'))) {
  let ok = true;
  // what somebody removed by hand is compiled again
  if (!fs.existsSync(path.join(DIST, 'lib', 'index.js'))) fs.rmSync(STATE, { force: true });
  if (fs.existsSync(path.join(__dirname, 'codegen.cjs')))
    ok = run('generated sources', [path.join(__dirname, 'codegen.cjs')]);
  ok = run('typescript', [require.resolve('typescript/bin/tsc'), '-p', '.']) && ok;
  prune(DIST);
  linkBin();
  process.exitCode = ok ? 0 : 1;
}
