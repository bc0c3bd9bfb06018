// SPDX-License-Identifier: MIT
import { readFileSync } from 'node:fs';
import { join } from 'node:path';
import { spawnSync } from 'node:child_process';
import { constants } from 'node:os';
import test from 'ava';
import { NestfrontError, errorFromErrno, errors, toNestfrontError } from '../../lib/errors.js';
import type { ErrorCode } from '../../lib/errors.js';
import { counterInfo } from '../../lib/api/counters.js';
import { packageRoot } from '../../lib/stack/paths.js';

const numbers = constants.errno as unknown as Record<string, number>;

test('every error of errors.def has its code, its errno and a meaning', (t) => {
  const def = readFileSync(join(packageRoot(), 'drivers/include/nf/errors.def'), 'utf8');
  const inC = [...def.matchAll(/^NF_ERROR\((\w+), (\w+),/gm)].map((m) => [m[1], m[2]]);
  t.true(inC.length >= 20);
  t.deepEqual(
    errors.map((e) => [e.code, e.errnoName]),
    inC as [ErrorCode, string][],
  );
  for (const { code, errnoName, meaning } of errors) {
    const error = new NestfrontError(code, 'test.op');
    t.is(error.errno, -numbers[errnoName]!);
    t.is(error.errnoName, errnoName);
    t.is(error.message, `test.op: ${meaning}`);
  }
});

test('every counter of counters.def has its place', (t) => {
  const def = readFileSync(join(packageRoot(), 'drivers/include/nf/counters.def'), 'utf8');
  const inC = [...def.matchAll(/^NF_COUNTER\((\w+),/gm)].map((m) => m[1]);
  t.deepEqual(
    counterInfo.map((c) => c.name as string),
    inC as string[],
  );
});

test('the generated sources are those of the headers', (t) => {
  const script = join(packageRoot(), 'tools/build/codegen.cjs');
  const result = spawnSync(process.execPath, [script, '--check'], { encoding: 'utf8' });
  t.is(result.status, 0, result.stderr);
});

test('an error carries its cause and prints as data', (t) => {
  const cause = new Error('underneath');
  const error = new NestfrontError('NF_EEXIST', 'stack.up', 'the name is taken; choose another', {
    cause,
  });
  t.true(error instanceof Error);
  t.is(error.cause, cause);
  t.deepEqual(JSON.parse(JSON.stringify(error)), {
    code: 'NF_EEXIST',
    errno: -numbers['EEXIST']!,
    op: 'stack.up',
    message: 'stack.up: the name is taken; choose another',
    cause: 'underneath',
  });
});

test('a code that errors.def does not list is refused', (t) => {
  t.throws(() => new NestfrontError('NF_ENONSENSE' as ErrorCode, 'x'), {
    instanceOf: TypeError,
    message: /NF_ENONSENSE/,
  });
});

test('errnos find their codes, of either sign; unknown ones keep their name', (t) => {
  t.is(errorFromErrno(-numbers['EPROTO']!, 'x').code, 'NF_EPROTO');
  t.is(errorFromErrno(numbers['EPROTO']!, 'x').code, 'NF_EPROTO');
  t.is(errorFromErrno(-numbers['EPROTONOSUPPORT']!, 'x').code, 'NF_EVERSION');
  const odd = errorFromErrno(-numbers['ENOTDIR']!, 'x', 'opening');
  t.is(odd.code, 'NF_EIO');
  t.is(odd.message, 'x: opening (ENOTDIR)');
});

test('anything thrown becomes a NestfrontError once', (t) => {
  const own = new NestfrontError('NF_ENODEV', 'a');
  t.is(toNestfrontError(own, 'b'), own);
  t.is(toNestfrontError(new DOMException('stop', 'AbortError'), 'b').code, 'NF_EABORTED');
  const system = Object.assign(new Error('no entry'), { errno: -numbers['ENOENT']! });
  t.is(toNestfrontError(system, 'b').code, 'NF_ENOENT');
  t.is(toNestfrontError('text', 'b').message, 'b: text');
});
