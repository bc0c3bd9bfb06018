// SPDX-License-Identifier: MIT
// The checker of the relay's table can see: bugs put into copies of the sources it runs are found.
import { execFile } from 'node:child_process';
import { mkdirSync, mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { dirname, join } from 'node:path';
import test from 'ava';
import { packageRoot } from '../../../lib/stack/paths.js';

interface Mutant {
  readonly name: string;
  /** Below drivers/. */
  readonly file: string;
  /** What stands there now, once. */
  readonly from: string;
  readonly to: string;
}

const TX = 'relay/translate_tx.c';
const RX = 'relay/translate_rx.c';

const MUTANTS: readonly Mutant[] = [
  {
    name: 'an id that is free again stays in flight',
    file: TX,
    from: 't->tx_inner_id[rsp] = 0;',
    to: '',
  },
  {
    name: 'an id is not given back',
    file: TX,
    from: 't->tx_free[t->tx_free_count++] = (uint16_t)rsp;',
    to: '',
  },
  {
    name: 'an answer to an id that is free is believed',
    file: TX,
    from: 'rsp < NF__IDS && t->tx_inner_id[rsp]',
    to: 'rsp < NF__IDS',
  },
  {
    name: 'extras in flight are not counted',
    file: TX,
    from: 'q->tr.tx_extras += p.extras;',
    to: '',
  },
  {
    name: 'a size is not checked',
    file: TX,
    from: '!nf__tx_fits(w.offset_flags & 0xffffu, size)',
    to: 'size > 0xffffu',
  },
  {
    name: 'a refused packet is answered one slot short',
    file: TX,
    from: 'i < p->slots; i++) {\n\t\tstruct nf_netif_tx_response',
    to: 'i + 1 < p->slots; i++) {\n\t\tstruct nf_netif_tx_response',
  },
  {
    name: 'buffers are remembered under the wrong index',
    file: RX,
    from: 'q->tr.rx_inner_id[index] = (uint16_t)want;',
    to: 'q->tr.rx_inner_id[0] = (uint16_t)want;',
  },
  {
    name: 'half a packet is dropped',
    file: RX,
    from: 'out->rsp_cons += pass.moved;',
    to: 'out->rsp_cons += (uint32_t)n;',
  },
  {
    name: 'half a packet keeps the relay awake',
    file: RX,
    from: 'q->left[NF__RX_RSP] = (uint32_t)n - pass.moved;',
    to: '',
  },
  {
    name: 'tx buffers are handed out to be written',
    file: 'relay/internal.h',
    from: 'write ? &q->out->rx_grefs[position]',
    to: 'write ? &q->out->tx_grefs[position]',
  },
  {
    name: 'the relay wants to hear of the one after the next',
    file: 'relay/queue.c',
    from: 'nf_ring_back_arm(r, left + 1)',
    to: 'nf_ring_back_arm(r, left + 2)',
  },
  {
    name: 'a frame beyond its page is believed',
    file: 'relay/packet.c',
    from: '!nf__rx_fits(r.offset, r.status)',
    to: 'r.status < -2',
  },
];

interface Ran {
  readonly code: number;
  readonly output: string;
}

function run(program: string, args: readonly string[]): Promise<Ran> {
  return new Promise((resolve) => {
    execFile(program, args, { cwd: packageRoot(), timeout: 120_000 }, (error, stdout, stderr) => {
      const code = error === null ? 0 : typeof error.code === 'number' ? error.code : -1;
      resolve({ code, output: stdout + stderr });
    });
  });
}

/** Builds the checker, in `folder`, on sources some of which lie there. */
async function build(folder: string): Promise<Ran & { readonly program: string }> {
  const program = join(folder, 'model_table');
  const includes = [folder, 'drivers/include', 'drivers', 'test', 'test/c'].map((i) => `-I${i}`);
  const files = ['test/c/model_table.c', 'build/Release/nf_core.a'];
  const flags = ['-O0', '-std=c11', '-D_GNU_SOURCE', '-pthread', '-w', ...includes];
  return {
    program,
    ...(await run(process.env['CC'] ?? 'cc', [...flags, '-o', program, ...files])),
  };
}

test('the checker finds each bug put into the relay', async (t) => {
  t.timeout(300_000);
  const folder = mkdtempSync(join(tmpdir(), 'nf-mutants-'));
  t.teardown(() => rmSync(folder, { recursive: true, force: true }));
  if ((await run(process.env['CC'] ?? 'cc', ['--version'])).code !== 0) {
    t.log('no C compiler: nothing to put bugs into');
    return t.pass();
  }
  for (const [i, { name, file, from, to }] of MUTANTS.entries()) {
    const copy = join(folder, String(i));
    const source = readFileSync(join(packageRoot(), 'drivers', file), 'utf8');
    t.is(source.split(from).length, 2, `${name}: ${file} has it once: ${from}`);
    mkdirSync(dirname(join(copy, file)), { recursive: true });
    writeFileSync(
      join(copy, file),
      source.replace(from, () => to),
    );
    const built = await build(copy);
    if (!t.is(built.code, 0, `${name}: ${built.output}`)) continue;
    const { code, output } = await run(built.program, ['--hasty']);
    t.is(code, 1, `${name} is not found: ${output}`);
    t.log(`${name}: ${/^not ok \d+ - (.*)$/m.exec(output)?.[1] ?? output.slice(-200)}`);
  }
});
