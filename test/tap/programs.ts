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

// What mostly waits for a timeout of its own goes first, so that it is never what is waited for.
const patient = ['xs_timeout', 'embedded_timeout', 'daemon_launch', 'hostile_17_revoke'];
const chosen = wanted.filter((name) => name.includes(only));
const isPatient = (name: string): number => Number(patient.includes(name));

t.jobs = 3;
for (const name of chosen.sort((a, b) => isPatient(b) - isPatient(a))) {
  if (!built.has(name)) {
    t.fail(`${name} was not built; see build/build.log`);
    continue;
  }
  void t.spawn(join(folder, name), [], { buffered: true, timeout }, name);
}
if (wanted.length === 0) t.fail('no C test programs found');
t.end();
