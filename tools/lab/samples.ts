// SPDX-License-Identifier: MIT
/** The `@@NF sample` lines of guest/bench.sh as measurements. */
import { BLOCK } from '../../lib/api/layout.js';
import { counterTable } from '../../lib/generated/counters.js';
import type { BenchName, PathName } from './bench.js';

/** Numbers by name, of one end at one time. */
export type Counts = Readonly<Record<string, number>>;

export interface Sample {
  readonly round: number;
  readonly path: PathName;
  readonly bench: BenchName;
  /** Bits, packets or transactions a second. */
  readonly value: number;
  /** Share of the time that the machine was ready and the host ran something else. */
  readonly stolen: number | undefined;
  /** What grew meanwhile, by end: vif (frames as dom0 saw them), guest, front, back, relay. */
  readonly grown: Readonly<Record<string, Counts>>;
}

interface Open {
  fields: Record<string, string>;
  before: Map<string, Record<string, number>>;
  after: Map<string, Record<string, number>>;
}

/** Words of one block of a page of counters, in decimal; what is before them is its header. */
function blockCounts(words: readonly string[]): { peer: number; counts: Counts } {
  const peer = Number((BigInt(words[BLOCK.peer >> 3] ?? '0') >> 0n) & 0xffffn);
  const first = BLOCK.words / 8;
  const counts = counterTable.map(({ name }, i) => [name, Number(words[first + i] ?? 0)] as const);
  return { peer, counts: Object.fromEntries(counts) };
}

function keep(open: Open, fields: Record<string, string>): void {
  const { when, end, words, ...rest } = fields;
  const at = when === 'before' ? open.before : open.after;
  if (end === undefined) return;
  const into = at.get(end) ?? {};
  at.set(end, into);
  for (const [key, value] of Object.entries(rest)) into[key] = Number(value);
  if (words === undefined) return;
  const { peer, counts } = blockCounts(words.split(','));
  // a page in dom0 has a block for each guest; a guest's own has one for its only back
  if (end === 'back' ? peer === Number(open.fields['domid']) : true) Object.assign(into, counts);
}

function grown(open: Open): Record<string, Counts> {
  const out: Record<string, Record<string, number>> = {};
  for (const [end, after] of open.after) {
    const before = open.before.get(end);
    if (before === undefined) continue;
    const of: Record<string, number> = (out[end] = {});
    for (const [key, value] of Object.entries(after)) of[key] = value - (before[key] ?? 0);
  }
  return out;
}

function stolen(fields: Open['fields']): number | undefined {
  const grew = (what: string): number =>
    Number(fields[`end${what}`]) - Number(fields[`begin${what}`]);
  const share = grew('Waited') / grew('At');
  return Number.isFinite(share) ? Math.min(share, 1) : undefined;
}

function measured(open: Open): Sample | string {
  const { round, path, bench, value, ms, ok } = open.fields;
  const name = `${bench ?? '?'} of ${path ?? '?'} in round ${round ?? '?'}`;
  const all = grown(open);
  const way = bench === 'pps_tx' ? 'tx' : 'rx';
  const frames = all['vif']?.[way] ?? all['back']?.[`${way}_packets`];
  const figure =
    value !== undefined
      ? Number(value)
      : ms !== undefined && frames !== undefined
        ? (frames / Number(ms)) * 1000
        : Number.NaN;
  if (ok !== '0' || !Number.isFinite(figure)) return `${name}: no figure, exit code ${ok ?? '?'}`;
  return {
    round: Number(round),
    path: path as PathName,
    bench: bench as BenchName,
    value: figure,
    stolen: stolen(open.fields),
    grown: all,
  };
}

/** @param lines without the verb; what belongs together is between `begin` and `end` */
export function parseSamples(lines: readonly string[]): { samples: Sample[]; faults: string[] } {
  const samples: Sample[] = [];
  const faults: string[] = [];
  let open: Open | undefined;
  for (const line of lines) {
    const [verb = '', ...rest] = line.trim().split(' ');
    const pairs = line.matchAll(/(\w+)=(\S+)/g);
    const fields = Object.fromEntries([...pairs].map((m) => [m[1] ?? '', m[2] ?? '']));
    if (verb === 'begin') open = { fields, before: new Map(), after: new Map() };
    else if (open === undefined) faults.push(`outside of a sample: ${verb} ${rest.join(' ')}`);
    else if (fields['when'] !== undefined) keep(open, fields);
    else Object.assign(open.fields, fields);
    if (verb !== 'end' || open === undefined) continue;
    const one = measured(open);
    if (typeof one === 'string') faults.push(one);
    else samples.push(one);
    open = undefined;
  }
  return { samples, faults };
}
