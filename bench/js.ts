// SPDX-License-Identifier: MIT
// npm run bench:js: what JavaScript itself costs: reading live counters, checking configurations,
// crossing into C one by one and by the batch. Line rates never come from here.
import { writeFileSync } from 'node:fs';
import { parseArgs } from 'node:util';
import Benchmark from 'benchmark';
import { checkConfig, Hypervisor, Ring, Stack } from '../lib/index.js';
import type { StackConfig } from '../lib/index.js';
import { planStack } from '../lib/stack/plan.js';
import { environment, finished } from './lib/environment.js';

/** One thing to time; `batch`: how many of what it is about one call does. */
interface Case {
  readonly name: string;
  readonly batch: number;
  readonly run: (() => void) | (() => Promise<unknown>);
  readonly isAsync?: boolean;
}

/** What one case cost. */
interface Timed {
  readonly bench: 'js';
  readonly name: string;
  readonly batch: number;
  /** Of one call. */
  readonly callNs: { median: number; min: number; max: number; samples: number };
  /** Of one of its batch. */
  readonly eachNs: number;
  /** Of the mean, 95 %, in percent. */
  readonly marginPercent: number;
}

const CONFIG: StackConfig = {
  name: 'bench-js',
  isolation: 'auto',
  devices: [{ name: 'one', path: 'single' }],
};
const LARGE: StackConfig = {
  ...CONFIG,
  devices: Array.from({ length: 32 }, (_, i) => ({ name: `d${i}`, path: 'translate' as const })),
};
const BATCHES = [1, 32, 128] as const;

/** Reads of the counters page of a running stack, whose driver is another process. */
function counterCases(stack: Stack): Case[] {
  const { counters } = stack.device('one').front;
  const index = counters.blocks({ kind: 'netfront' })[0]!.index;
  return [
    { name: 'counters: one word', batch: 1, run: () => void counters.word(index, 'tx_packets') },
    { name: 'counters: one block', batch: 1, run: () => void counters.read(index) },
    { name: 'counters: find blocks of a page', batch: 1, run: () => void counters.blocks() },
    { name: 'counters: sum of a page', batch: 1, run: () => void counters.total() },
  ];
}

function configCases(): Case[] {
  const [small, large] = [JSON.stringify(CONFIG), JSON.stringify(LARGE)];
  const checked = checkConfig(LARGE);
  const check = (text: string) => (): void => void checkConfig(JSON.parse(text) as StackConfig);
  return [
    { name: 'config: parse and check, 1 device', batch: 1, run: check(small) },
    { name: 'config: parse and check, 32 devices', batch: 32, run: check(large) },
    { name: 'config: plan, 32 devices', batch: 32, run: () => void planStack(checked) },
  ];
}

/** Crossings into C over real grants of a real hypervisor process. */
async function crossingCases(hypervisor: Hypervisor): Promise<Case[]> {
  const a = await (await hypervisor.createDomain({ name: 'a' })).attach();
  const b = await (await hypervisor.createDomain({ name: 'b' })).attach();
  const grant = await a.grants.grant(b.domid, 1);
  const target = await a.grants.grant(b.domid, 1);
  const mapping = await b.grants.map(a.domid, grant.grefs);
  const front = Ring.front(grant, { slotBytes: 16 });
  const back = Ring.back(mapping, { slotBytes: 16 });
  const slot = Buffer.alloc(16, 7);
  const bytes = Buffer.alloc(1500, 7);
  const turn = (batch: number) => (): void => {
    for (let i = 0; i < batch; i += 1) front.put(slot);
    front.push();
    for (let i = 0; i < batch; i += 1) back.put(back.take()!);
    back.push();
    for (let i = 0; i < batch; i += 1) front.take();
  };
  const copy = (batch: number) => (): Promise<unknown> =>
    b.grants.copy(
      Array.from({ length: batch }, () => ({
        peer: a.domid,
        gref: target.grefs[0]!,
        offset: 0,
        data: bytes,
      })),
    );
  return [
    { name: 'crossing: look at a ring', batch: 1, run: () => void back.pending },
    ...BATCHES.map((n) => ({ name: `crossing: ring round trip`, batch: n, run: turn(n) })),
    ...BATCHES.map((n) => ({
      name: 'crossing: grant copy of 1,500 bytes',
      batch: n,
      run: copy(n),
      isAsync: true,
    })),
  ];
}

/** Times one case with npm benchmark, which chooses how often a sample runs it. */
async function time(one: Case, seconds: number): Promise<Timed> {
  const bench = await new Promise<Benchmark>((resolve, reject) => {
    const fn =
      one.isAsync === true
        ? (d: { resolve: () => void }): void =>
            void (one.run() as Promise<unknown>).then(() => d.resolve(), reject)
        : one.run;
    const created = new Benchmark(one.name, fn as () => void, {
      defer: one.isAsync === true,
      async: true,
      maxTime: seconds,
      minSamples: 5,
      onComplete: () => resolve(created),
      onError: () => reject((created as unknown as { error: Error }).error),
    });
    created.run();
  });
  const sample = [...(bench.stats.sample as readonly number[])]
    .sort((x, y) => x - y)
    .map((s) => s * 1e9);
  const median = sample[sample.length >> 1]!;
  return {
    bench: 'js',
    name: one.name,
    batch: one.batch,
    callNs: { median, min: sample[0]!, max: sample.at(-1)!, samples: sample.length },
    eachNs: median / one.batch,
    marginPercent: bench.stats.rme,
  };
}

function row(timed: Timed): string {
  const ns = (value: number): string => value.toFixed(value < 100 ? 1 : 0).padStart(10);
  const name = `${timed.name}${timed.batch === 1 ? '' : `, ${timed.batch} a call`}`;
  return (
    `${name.padEnd(46)}${ns(timed.eachNs)} ns each ` +
    `+-${timed.marginPercent.toFixed(0).padStart(3)} %`
  );
}

/** A time a case may take, in seconds. */
function seconds(text: string): number {
  const value = Number(text);
  if (value >= 0.01 && value <= 60) return value;
  throw new RangeError(`--seconds is ${text}; use 0.01 to 60`);
}

async function main(): Promise<void> {
  const { values } = parseArgs({
    options: {
      json: { type: 'string' },
      seconds: { type: 'string', default: '1' },
      only: { type: 'string', default: '' },
    },
  });
  const limit = seconds(values.seconds);
  const started = environment(process.argv.slice(2));
  const results: Timed[] = [];
  await using stack = await Stack.up({ ...CONFIG, name: `bench-js-${process.pid}` });
  await using hypervisor = await Hypervisor.start({ name: 'bench-js' });
  const cases = [
    ...counterCases(stack),
    ...configCases(),
    ...(await crossingCases(hypervisor)),
  ].filter((one) => one.name.includes(values.only));
  for (const one of cases) {
    const timed = await time(one, limit);
    results.push(timed);
    console.log(row(timed));
  }
  const report = { schemaVersion: 1, environment: finished(started), results, skipped: [] };
  if (values.json !== undefined) writeFileSync(values.json, `${JSON.stringify(report, null, 1)}\n`);
}

await main();
