// SPDX-License-Identifier: MIT
// The model against the C ring (test/c/ring_oracle.c): the same operations, honest and
// hostile, must
// give the same answers, shared words and private indices.
import { spawnSync } from 'node:child_process';
import path from 'node:path';
import { fileURLToPath } from 'node:url';
import test from 'ava';
import fc from 'fast-check';
import {
  BackModel,
  EINVAL,
  FrontModel,
  createSharedRing,
  ringCount,
} from '../../lib/ring/model.js';

const root = path.resolve(path.dirname(fileURLToPath(import.meta.url)), '../../..');
const programs = process.env['NF_TEST_PROGRAMS'] ?? path.join(root, 'build/Release/t');
const oracle = path.join(programs, 'ring_oracle');

/** The oracle's line protocol on the model. */
class ModelOracle {
  #shared = createSharedRing(4096, 12);
  #front = new FrontModel(this.#shared);
  #back = new BackModel(this.#shared);

  run(line: string): string {
    const [verb = '', ...rest] = line.split(' ');
    const [a = 0, b = 0] = rest.map(Number);
    if (verb === 'new') return String(this.#make(a, b));
    if (verb === 'at') return this.#startAt(a);
    if (verb === 'poke') return this.#poke(a, b);
    const s = this.#shared;
    if (verb === 'peek') return [s.reqProd, s.reqEvent, s.rspProd, s.rspEvent].join(' ');
    const f = this.#front;
    const k = this.#back;
    if (verb === 'priv')
      return [f.reqProd, f.rspCons, f.error, k.rspProd, k.reqCons, k.error].join(' ');
    if (verb === 'ffree') return String(f.free());
    return String(Number(this.#end(verb[0] === 'b' ? k : f, verb.slice(1), a)));
  }

  #end(end: FrontModel | BackModel, verb: string, a: number): number | boolean {
    if (verb === 'put') return end.put(a);
    if (verb === 'push') return end.push();
    if (verb === 'pend') return end.pending();
    if (verb === 'take') return end.take();
    if (verb === 'arm') return end.arm(a);
    throw new Error(`no such operation: ${verb}`);
  }

  #make(ringBytes: number, slotBytes: number): number {
    const count = ringCount(ringBytes, slotBytes);
    if (count === 0) return EINVAL;
    this.#shared = createSharedRing(ringBytes, slotBytes);
    this.#startAt(0);
    return count;
  }

  #startAt(first: number): string {
    const s = this.#shared;
    s.reqProd = s.rspProd = first;
    s.reqEvent = s.rspEvent = (first + 1) >>> 0;
    this.#front = new FrontModel(s, first);
    this.#back = new BackModel(s, first);
    return '0';
  }

  #poke(word: number, value: number): string {
    const names = ['reqProd', 'reqEvent', 'rspProd', 'rspEvent'] as const;
    this.#shared[names[word] ?? 'reqProd'] = value;
    return '0';
  }
}

function ask(script: string[]): string[] {
  const run = spawnSync(oracle, ['--stdin'], {
    input: script.join('\n') + '\n',
    encoding: 'utf8',
    maxBuffer: 1 << 26,
  });
  if (run.error) throw new Error(`${oracle}: ${run.error.message} (npm run build makes it)`);
  return run.stdout.trimEnd().split('\n');
}

const u32 = fc.integer({ min: 0, max: 0xffffffff });
const edges = fc.constantFrom(0, 1, 0x7fffff80, 0x7fffffff, 0x80000000, 0xffffff80, 0xffffffff);
const honest = fc.oneof(
  { weight: 6, arbitrary: u32.map((v) => `fput ${v}`) },
  { weight: 4, arbitrary: u32.map((v) => `bput ${v}`) },
  { weight: 3, arbitrary: fc.constantFrom('fpush', 'bpush', 'btake', 'ftake', 'btake', 'ftake') },
  { weight: 1, arbitrary: fc.constantFrom('fpend', 'bpend', 'ffree', 'peek', 'priv') },
  { weight: 1, arbitrary: fc.integer({ min: 0, max: 300 }).map((n) => `farm ${n}`) },
  { weight: 1, arbitrary: fc.integer({ min: 0, max: 300 }).map((n) => `barm ${n}`) },
);
const hostile = fc
  .tuple(fc.integer({ min: 0, max: 3 }), fc.oneof(u32, edges, fc.integer({ min: 0, max: 300 })))
  .map(([word, value]) => `poke ${word} ${value}`);
const geometry = fc.constantFrom(
  'new 4096 12',
  'new 4096 8',
  'new 4096 112',
  'new 76 12',
  'new 8192 16',
);

/** One script: a ring, a starting point, operations, and what is left. */
function script(op: fc.Arbitrary<string>): fc.Arbitrary<string[]> {
  return fc
    .tuple(
      geometry,
      fc.oneof(u32, edges),
      fc.array(op, { minLength: 1, maxLength: 400, size: 'max' }),
    )
    .map(([ring, first, ops]) => [ring, `at ${first}`, ...ops, 'peek', 'priv']);
}

for (const [name, op, runs] of [
  ['honest operations', honest, 60],
  [
    'a hostile peer',
    fc.oneof({ weight: 9, arbitrary: honest }, { weight: 1, arbitrary: hostile }),
    120,
  ],
] as const) {
  test(`model and C agree: ${name}`, (t) => {
    fc.assert(
      fc.property(script(op), (lines) => {
        const model = new ModelOracle();
        const want = lines.map((line) => model.run(line));
        t.deepEqual(ask(lines), want, lines.join('; '));
      }),
      { numRuns: runs },
    );
  });
}

test('the comparison notices a difference', (t) => {
  const model = new ModelOracle();
  const lines = ['new 4096 12', 'poke 0 257', 'bpend'];
  const want = lines.map((line) => model.run(line));
  t.deepEqual(ask(lines), want);
  t.notDeepEqual(ask(['new 4096 12', 'poke 0 256', 'bpend']), want);
});
