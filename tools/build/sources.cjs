// SPDX-License-Identifier: MIT
'use strict';
// Source lists for binding.gyp, the variant builds and the check: nobody edits a build file to
// add a source. `node tools/build/sources.cjs LIST` prints one path a line, from the root.
const fs = require('node:fs');
const path = require('node:path');

const ROOT = path.resolve(__dirname, '..', '..');

/** Files under `dir` with extension `ext`, sorted; folders in `skip` (from ROOT) left out. */
function glob(dir, ext, { deep = true, skip = [] } = {}) {
  const out = [];
  const walk = (rel) => {
    let entries = [];
    try {
      entries = fs.readdirSync(path.join(ROOT, rel), { withFileTypes: true });
    } catch (error) {
      if (error.code !== 'ENOENT') throw error; // a folder the npm package does not ship
    }
    for (const e of entries) {
      const child = `${rel}/${e.name}`;
      if (e.isDirectory()) {
        if (deep && !skip.includes(child)) walk(child);
      } else if (e.name.endsWith(ext)) out.push(child);
    }
  };
  walk(dir);
  return out.sort();
}

/** Of the C files in `dir` itself: those that define main. */
function mains(dir) {
  return glob(dir, '.c', { deep: false }).filter((f) =>
    /^int\s+main\s*\(/m.test(fs.readFileSync(path.join(ROOT, f), 'utf8')),
  );
}

/** Of the C files under `dir`: those that are parts of its programs. */
function parts(dir) {
  const programs = new Set(mains(dir));
  return glob(dir, '.c').filter((f) => !programs.has(f));
}

const lists = {
  core: () => glob('drivers', '.c', { skip: ['drivers/daemon'] }),
  native: () => glob('native', '.cc'),
  headers: () => [...glob('drivers', '.h'), ...glob('bench/c', '.h'), ...glob('test', '.h')],
  daemons: () => mains('drivers/daemon'),
  'daemon-parts': () => parts('drivers/daemon'),
  benches: () => mains('bench/c'),
  'bench-parts': () => parts('bench/c'),
  tests: () => mains('test/c'),
  // entry.c is libFuzzer's main and linked with clang only
  'test-parts': () => [
    ...parts('test/c'),
    ...glob('test/peer', '.c'),
    ...glob('test/fuzz', '.c').filter((f) => f !== 'test/fuzz/entry.c'),
  ],
  c: () =>
    ['drivers', 'bench/c', 'test'].flatMap((d) => [...glob(d, '.c'), ...glob(d, '.h')]).sort(),
  cc: () => [...glob('native', '.cc'), ...glob('native', '.h')].sort(),
};

/** The C dialect and warnings of the house; -Werror is added by the check only, so that a newer
 * compiler's new warning never breaks somebody's installation. */
const WARNINGS = ['-Wall', '-Wextra', '-Wconversion', '-Wshadow', '-Wstrict-prototypes'];
const CFLAGS = [
  '-std=c11',
  '-D_GNU_SOURCE',
  '-fvisibility=hidden',
  '-fPIC',
  '-pthread',
  ...WARNINGS,
];
const INCLUDES = [
  'drivers/include',
  'drivers',
  'drivers/daemon',
  'bench/c',
  'test',
  'test/peer',
  'test/fuzz',
];

module.exports = { ROOT, lists, CFLAGS, INCLUDES };

if (require.main === module) {
  const list = lists[process.argv[2]];
  if (!list) {
    console.error(
      `sources.cjs: no list "${process.argv[2]}"; one of ${Object.keys(lists).join(' ')}`,
    );
    process.exit(2);
  }
  for (const f of list()) console.log(f);
}
