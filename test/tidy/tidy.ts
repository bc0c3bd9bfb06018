// SPDX-License-Identifier: MIT
// Reads the repository and enforces its style: sizes, licence lines, direction, exports.
import test from 'ava';
import { cDirection, tsDirection } from './direction.js';
import { EXCEPTIONS, type Exception } from './exceptions.js';
import { isC, isTypeScript, sources } from './files.js';
import { longCFunctions, longFiles, longTsFunctions, wideLines, type Finding } from './sizes.js';

const files = sources();
const used = new Set<string>();

/** Findings without an exception, as lines. */
function left(rule: Exception['rule'], findings: Finding[]): string[] {
  return findings
    .filter(({ where }) => {
      const excused = EXCEPTIONS.some((e) => e.rule === rule && e.where === where);
      if (excused) used.add(`${rule} ${where}`);
      return !excused;
    })
    .map((f) => `${f.where}: ${f.what}`);
}

test.serial('there are sources to read', (t) => {
  t.true(files.some((f) => f.path === 'drivers/ring/ring.c'));
  t.true(files.some((f) => f.path === 'test/tidy/tidy.ts'));
});

test.serial('every file names its licence once, at the top', (t) => {
  const bad = files.filter(
    (f) => !f.lines.slice(0, 2).some((l) => /SPDX-License-Identifier: MIT/.test(l)),
  );
  t.deepEqual(
    bad.map((f) => f.path),
    [],
  );
});

test.serial('files are small', (t) => {
  t.deepEqual(left('file-size', longFiles(files)), []);
});

test.serial('functions are small', (t) => {
  const c = files.filter(isC).flatMap(longCFunctions);
  const ts = files.filter(isTypeScript).flatMap(longTsFunctions);
  t.deepEqual(left('function-size', [...c, ...ts]), []);
});

test.serial('lines fit 100 columns', (t) => {
  t.deepEqual(left('width', files.flatMap(wideLines)), []);
});

test.serial('includes and imports point downward', (t) => {
  const c = files.filter(isC).flatMap(cDirection);
  const ts = files.filter(isTypeScript).flatMap(tsDirection);
  t.deepEqual(left('direction', [...c, ...ts]), []);
});

test.serial('no default exports; one file loads the addon', (t) => {
  const ts = files.filter(isTypeScript);
  const exporting = ts.filter((f) => f.lines.some((l) => /^export default\b/.test(l)));
  t.deepEqual(
    exporting.map((f) => f.path),
    [],
  );
  const loading = ts.filter(
    (f) =>
      !f.path.startsWith('test/') &&
      f.lines.some((l) => /require\(\s*'bindings'\s*\)|from 'bindings'/.test(l)),
  );
  t.true(loading.length <= 1, loading.map((f) => f.path).join(', '));
});

test.serial('every exception has a reason and is needed', (t) => {
  t.deepEqual(
    EXCEPTIONS.filter((e) => e.reason.length < 20).map((e) => e.where),
    [],
  );
  t.deepEqual(
    EXCEPTIONS.filter((e) => !used.has(`${e.rule} ${e.where}`)).map((e) => e.where),
    [],
  );
});

test('the rules find what they look for', (t) => {
  const body = (n: number): string[] => [
    'int f(void)',
    '{',
    ...Array<string>(n).fill('\tg();'),
    '}',
  ];
  t.is(longCFunctions({ path: 'a.c', lines: body(69) })[0]?.where, 'a.c#f');
  t.deepEqual(longCFunctions({ path: 'a.c', lines: body(68) }), []);
  t.is(wideLines({ path: 'a.c', lines: ['\t'.repeat(12) + 'abcde'] }).length, 1);
  const up = { path: 'drivers/net/x.c', lines: ['#include "nf/relay.h"'] };
  t.is(cDirection(up)[0]?.what, 'net must not know relay');
  const node = { path: 'drivers/net/x.c', lines: ['#include <uv.h>'] };
  t.is(cDirection(node)[0]?.what, 'drivers/ knows no Node');
  const tool = { path: 'lib/a.ts', lines: ["import { x } from '../tools/x.js';"] };
  t.is(tsDirection(tool).length, 1);
  const arrow = ['const f = () => {', ...Array<string>(60).fill('g();'), '};'];
  t.is(longTsFunctions({ path: 'a.ts', lines: arrow }).length, 1);
});
