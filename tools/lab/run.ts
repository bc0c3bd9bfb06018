// SPDX-License-Identifier: MIT
/** Boots machines, two at a time, and collects what their scenarios say. */
import { existsSync, readFileSync, readdirSync, rmSync } from 'node:fs';
import { join } from 'node:path';

import { Counters } from '../../lib/api/counters.js';
import type { Group, Scenario } from './groups/group.js';
import { makeContext, prepare } from './machine.js';
import type { Context } from './machine.js';
import { boot, bootOnTerminal } from './qemu.js';
import { Collector } from './results.js';
import type { ScenarioResult } from './results.js';
import { GROUPS, SCENARIOS, SHELL, scenariosNamed } from './scenarios.js';

export interface LabRun {
  readonly scenarios: ScenarioResult[];
  /** What was wrong outside any scenario. */
  readonly faults: string[];
}

const ENDS = ['front', 'back', 'relay'] as const;

/** What our ends counted, from the copies of their pages that a job left on the share. */
function readCounters(share: string, collector: Collector): void {
  for (const s of collector.scenarios)
    for (const end of ENDS) {
      const file = join(share, `${s.name}.${end}.counters`);
      if (!existsSync(file)) continue;
      const bytes = readFileSync(file);
      const memory = new SharedArrayBuffer(bytes.length);
      new Uint8Array(memory).set(bytes);
      const page = new Counters(memory);
      for (const kind of new Set(page.blocks().map((block) => block.kind)))
        if (kind !== 'latency')
          s.counters[kind === `net${end}` ? end : kind] = page.total({ kind });
    }
}

function blank(s: Scenario | undefined, name: string, c: Context, console: string): ScenarioResult {
  return {
    name,
    status: 'pass',
    l0: { xen: '4.17', kernel: c.packages.kernel, sha256: c.images.sha256 },
    front: { impl: s?.front ?? 'stock' },
    back: { impl: s?.back ?? 'stock' },
    checks: [],
    values: {},
    counters: {},
    net: { bytes: 0, hashOk: false },
    seconds: 0,
    console,
  };
}

async function runBoot(b: Group, only: readonly string[], c: Context): Promise<Collector> {
  const { machine, dir } = await prepare(b, c, only);
  const { consoleFile, share } = machine;
  const collector = new Collector((name) =>
    blank(
      SCENARIOS.find((s) => s.name === name),
      name,
      c,
      consoleFile,
    ),
  );
  let last = 0;
  const end = await boot(
    machine,
    (line, seconds) => {
      last = seconds;
      collector.line(line, seconds);
      if (/@@NF (begin|end|check|skip|fault|ready)/.test(line))
        c.log(`[${b.job} ${seconds.toFixed(1)}] ${line.replace(/^.*@@NF /, '')}`);
    },
    c.signal,
  );
  collector.close(end, last);
  readCounters(share, collector);
  for (const name of readdirSync(dir)) // hundreds of megabytes; the console is what tells
    if (name !== 'console.log') rmSync(join(dir, name), { recursive: true });
  if (end !== 'done')
    collector.faults.push(`${b.job}: the machine ${end}, console in ${consoleFile}`);
  for (const name of only)
    if (!collector.scenarios.some((s) => s.name === name))
      collector.faults.push(`${b.job}: ${name} never began`);
  return collector;
}

/** Runs every boot that holds one of the wanted scenarios: names, what they are part of, `all`. */
export async function runLab(
  wanted: readonly string[],
  log: (line: string) => void,
  signal?: AbortSignal,
): Promise<LabRun> {
  const names = scenariosNamed(wanted).map((s) => s.name);
  const context = await makeContext(log, signal);
  const queue = GROUPS.map((b) => ({
    b,
    only: b.scenarios.map((s) => s.name).filter((name) => names.includes(name)),
  })).filter(({ only }) => only.length > 0);
  const collectors: Collector[] = [];
  const lane = async (): Promise<void> => {
    for (let next = queue.shift(); next; next = queue.shift())
      collectors.push(await runBoot(next.b, next.only, context));
  };
  await Promise.all([lane(), lane()]);
  const order = (s: ScenarioResult): number => SCENARIOS.findIndex(({ name }) => name === s.name);
  return {
    scenarios: collectors.flatMap((x) => x.scenarios).sort((a, b) => order(a) - order(b)),
    faults: collectors.flatMap((x) => x.faults),
  };
}

/** One machine with its console on this terminal; the job is a prompt in dom0. */
export async function labShell(log: (line: string) => void, signal?: AbortSignal): Promise<void> {
  const context = await makeContext(log, signal);
  const { machine } = await prepare(SHELL, context);
  try {
    await bootOnTerminal(machine, signal);
  } finally {
    rmSync(context.dir, { recursive: true });
  }
}
