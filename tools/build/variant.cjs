// SPDX-License-Identifier: MIT
'use strict';
// `node tools/build/variant.cjs asan|tsan|coverage|werror|fuzz`: all C code once more into
// build/NAME with other flags, by a generated makefile (node-gyp keeps one build folder only).
// Programs are the C tests and, so that they at least link, the daemons and benches.
const { spawnSync } = require('node:child_process');
const fs = require('node:fs');
const path = require('node:path');
const { ROOT, lists, CFLAGS, INCLUDES } = require('./sources.cjs');

const VARIANTS = {
  asan: [
    '-O1',
    '-g',
    '-fno-omit-frame-pointer',
    '-fsanitize=address,undefined',
    '-fno-sanitize-recover=undefined',
  ],
  tsan: ['-O1', '-g', '-fsanitize=thread', '-Wno-tsan'],
  coverage: ['-O0', '-g', '--coverage', '-fprofile-update=atomic'],
  werror: ['-O2', '-Werror'],
  fuzz: ['-O1', '-g', '-fsanitize=fuzzer-no-link,address,undefined', '-fno-sanitize-recover=all'],
};
/** libFuzzer comes with clang; fuzz builds one program, test/fuzz/entry.c. */
const FUZZ_CC = process.env.NF_FUZZ_CC ?? 'clang';

/** Object rules with depfiles, one archive a library, one link line a program. */
function makefile(name, dir, flags) {
  const object = (f) => `${dir}/${f.replace(/\.c$/, '.o')}`;
  const out = [
    name === 'fuzz' ? `CC := ${FUZZ_CC}` : `CC ?= cc`,
    `FLAGS := ${[...CFLAGS, ...flags, ...INCLUDES.map((i) => `-I${i}`)].join(' ')}`,
  ];
  const objects = [];
  const goals = [];
  const library = (lib, sources) => {
    objects.push(...sources.map(object));
    out.push(`${dir}/${lib}.a: ${sources.map(object).join(' ')}`, '\t@rm -f $@; ar crs $@ $^');
    return `${dir}/${lib}.a`;
  };
  const core = library('core', lists.core());
  const daemon = library('daemon', lists['daemon-parts']());
  const bench = library('bench', lists['bench-parts']());
  const test = library('test', lists['test-parts']());
  const program = (source, folder, libraries) => {
    const goal = `${dir}/${folder}${path.basename(source, '.c')}`;
    objects.push(object(source));
    goals.push(goal);
    out.push(`${goal}: ${object(source)} ${libraries.join(' ')}`);
    out.push('\t@mkdir -p $(@D); $(CC) $(FLAGS) -o $@ $^');
  };
  if (name === 'fuzz') {
    const entry = object('test/fuzz/entry.c');
    objects.push(entry);
    goals.push(`${dir}/nf-fuzz`);
    out.push(`${goals[0]}: ${entry} ${test} ${core}`);
    out.push(`\t$(CC) $(FLAGS) -fsanitize=fuzzer -o $@ $^`);
  } else {
    for (const s of lists.tests()) program(s, 't/', [test, daemon, core]);
    for (const s of lists.daemons()) program(s, '', [daemon, core]);
    for (const s of lists.benches()) program(s, '', [bench, core]);
  }
  out.push(`${dir}/%.o: %.c`, '\t@mkdir -p $(@D); $(CC) $(FLAGS) -MMD -MP -c -o $@ $<');
  out.push(`all: ${goals.join(' ')}${name === 'fuzz' ? '' : ` ${core}`}`, '.DEFAULT_GOAL := all');
  out.push(`-include ${objects.map((o) => o.replace(/\.o$/, '.d')).join(' ')}`);
  return `${out.join('\n')}\n`;
}

function build(name) {
  const dir = `build/${name}`;
  fs.mkdirSync(path.join(ROOT, dir), { recursive: true });
  const file = path.join(ROOT, dir, 'Makefile');
  const text = makefile(name, dir, VARIANTS[name]);
  if (!fs.existsSync(file) || fs.readFileSync(file, 'utf8') !== text) fs.writeFileSync(file, text);
  const args = ['--no-print-directory', '-k', '-j2', '-f', `${dir}/Makefile`];
  return spawnSync('make', args, { cwd: ROOT, stdio: 'inherit' }).status === 0;
}

module.exports = { build };

if (require.main === module) {
  const name = process.argv[2];
  if (!Object.hasOwn(VARIANTS, name ?? '')) {
    console.error(`variant.cjs: which of ${Object.keys(VARIANTS).join(', ')}?`);
    process.exit(2);
  }
  process.exit(build(name) ? 0 : 1);
}
