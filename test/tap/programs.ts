// SPDX-License-Identifier: MIT
// Runs the C programs of test/c: each prints TAP 13 and is its own suite. NF_TEST_PROGRAMS is the
// folder they were built into (a variant's, or node-gyp's), NF_TEST_ONLY a part of their names.
import { readdirSync } from 'node:fs';
import { join } from 'node:path';
import t from 'tap';

const folder = process.env.NF_TEST_PROGRAMS ?? join(process.cwd(), 'build', 'Release', 't');
const wanted = (process.env.NF_TEST_LIST ?? '').split(',').filter((name) => name !== '');
const only = process.env.NF_TEST_ONLY ?? '';
const timeout = Number(process.env.NF_TEST_SECONDS ?? 170) * 1000;
const built = new Set(readdirSync(folder));

t.jobs = 2;
for (const name of wanted.filter((w) => w.includes(only))) {
  if (!built.has(name)) {
    t.fail(`${name} was not built; see build/build.log`);
    continue;
  }
  void t.spawn(join(folder, name), [], { buffered: true, timeout }, name);
}
if (wanted.length === 0) t.fail('no C test programs found');
t.end();
