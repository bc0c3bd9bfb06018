// SPDX-License-Identifier: MIT
import { spawnSync } from 'node:child_process';
import { existsSync, mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import test, { type ExecutionContext } from 'ava';
import * as protocol from '../../lib/hypervisor/protocol.js';
import { XS, XS_ERRORS } from '../../lib/store/wire.js';

const ROOT = fileURLToPath(new URL('../../../', import.meta.url));
const HEADER = join(ROOT, 'drivers/include/nf/hvmsg.h');
const XS_WIRE = '/usr/include/xen/io/xs_wire.h';

/** What C expressions come to, by the C compiler. */
function evaluate(t: ExecutionContext, includes: string[], expressions: string[]): number[] {
  const dir = mkdtempSync(join(tmpdir(), 'nf-abi-'));
  t.teardown(() => rmSync(dir, { recursive: true }));
  const lines = expressions.map((e) => `\tprintf("%lld\\n", (long long)(${e}));`);
  const source = [
    '#include <stddef.h>',
    '#include <stdint.h>',
    '#include <stdio.h>',
    ...includes.map((name) => `#include "${name}"`),
    `int main(void)\n{\n${lines.join('\n')}\n\treturn 0;\n}\n`,
  ].join('\n');
  writeFileSync(join(dir, 'abi.c'), source);
  const flags = ['-std=c11', '-D_GNU_SOURCE', `-I${join(ROOT, 'drivers/include')}`];
  const cc = spawnSync('cc', [...flags, '-o', join(dir, 'abi'), join(dir, 'abi.c')]);
  t.is(cc.status, 0, String(cc.stderr));
  const run = spawnSync(join(dir, 'abi'));
  return String(run.stdout).trim().split('\n').map(Number);
}

test('the mirror of hvmsg.h has its sizes and offsets', (t) => {
  const wanted: { what: string; expression: string; value: number }[] = [];
  for (const [name, { size, ...fields }] of Object.entries(protocol.LAYOUT)) {
    wanted.push({ what: `${name} size`, expression: `sizeof(struct ${name})`, value: size });
    for (const [field, value] of Object.entries(fields) as [string, number][]) {
      const expression = `offsetof(struct ${name}, ${field})`;
      wanted.push({ what: `${name}.${field}`, expression, value });
    }
  }
  const values = evaluate(
    t,
    ['nf/hvmsg.h'],
    wanted.map((w) => w.expression),
  );
  t.deepEqual(
    wanted.map((w, i) => [w.what, values[i]]),
    wanted.map((w) => [w.what, w.value]),
  );
});

test('the mirror of hvmsg.h leaves no struct and no field out', (t) => {
  const text = readFileSync(HEADER, 'utf8').replace(/\/\*[\s\S]*?\*\//g, '');
  const layout = protocol.LAYOUT as unknown as Record<string, Record<string, number>>;
  const structs = [...text.matchAll(/^struct (\w+) \{([^}]*)\};/gm)];
  t.true(structs.length > 15);
  for (const [, name = '', body = ''] of structs) {
    for (const [, field = ''] of body.matchAll(/(\w+)(?:\[\d+\])?;/g)) {
      if (field === 'h' || field === 'pad') continue;
      t.true(layout[name] !== undefined && field in layout[name], `${name}.${field}`);
    }
  }
});

test('the mirror of hvmsg.h has its numbers', (t) => {
  const pairs: [string, number][] = [
    ['NF_HV_MAGIC', protocol.HV_MAGIC],
    ['NF_HV_VERSION', protocol.HV_VERSION],
    ['NF_HV_MESSAGE_MAX', protocol.HV_MESSAGE_MAX],
    ['NF_HV_FDS_MAX', protocol.HV_FDS_MAX],
    ['NF_HV_GREFS_MAX', protocol.HV_GREFS_MAX],
    ['NF_PAGE_BYTES', protocol.PAGE_BYTES],
    ['NF_DOMID_SELF', protocol.DOMID_SELF],
    ['NF_GREF_RESERVED', protocol.GREF_RESERVED],
    ['NF_ARENA_PAGES_MAX', protocol.ARENA_PAGES_MAX],
    ['NF_GTF_permit_access', protocol.GTF_PERMIT_ACCESS],
    ['NF_GTF_readonly', protocol.GTF_READONLY],
    ['NF_GTF_reading', protocol.GTF_READING],
    ['NF_GTF_writing', protocol.GTF_WRITING],
    ...Object.entries(protocol.HV).map(([k, v]): [string, number] => [`NF_HV_${k}`, v]),
  ];
  const names = pairs.map(([name]) => name);
  const values = evaluate(t, ['nf/hvmsg.h', 'nf/layer.h'], names);
  t.deepEqual(
    names.map((name, i) => [name, values[i]]),
    pairs,
  );
  const text = readFileSync(HEADER, 'utf8');
  const types = [...text.matchAll(/^\tNF_HV_(\w+) = \d+,/gm)].map(([, name]) => name);
  t.deepEqual(types.sort(), Object.keys(protocol.HV).sort());
});

const abi = existsSync(XS_WIRE) ? test : test.skip;
abi('the store speaks the numbers of xs_wire.h (needs libxen-dev)', (t) => {
  const pairs = Object.entries(XS).map(([k, v]): [string, number] => [`XS_${k}`, v]);
  const names = pairs.map(([name]) => name);
  const values = evaluate(t, ['errno.h', 'xen/io/xs_wire.h'], names);
  t.deepEqual(
    names.map((name, i) => [name, values[i]]),
    pairs,
  );
  const text = readFileSync(XS_WIRE, 'utf8');
  const errors = [...text.matchAll(/XSD_ERROR\((E\w+)\)/g)].map(([, name]) => name);
  t.deepEqual(errors, [...XS_ERRORS]);
});
