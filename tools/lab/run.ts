// SPDX-License-Identifier: MIT
/** Boots machines, two at a time, and collects what their scenarios say. */
import { existsSync, readFileSync, readdirSync, rmSync } from 'node:fs';
import { join } from 'node:path';

import { Counters } from '../../lib/api/counters.js';
import { NestfrontError } from '../../lib/errors.js';
import { makeContext, prepare } from './machine.js';
import type { Context } from './machine.js';
import { boot, bootOnTerminal } from './qemu.js';
import { Collector } from './results.js';
import type { ScenarioResult } from './results.js';
import { BOOTS, SCENARIOS, SHELL, scenarioNamed } from './scenarios.js';
import type { Boot } from './scenarios.js';

export interface LabRun {
  readonly scenarios: ScenarioResult[];
  /** What was wrong outside any scenario. */
  readonly faults: string[];
}

/** What our back in dom0 counted, from the copies of its page that a job left on the share. */
function readCounters(share: string, collector: Collector): void {
  for (const s of collector.scenarios) {
    const file = join(share, `${s.name}.back.counters`);
    if (!existsSync(file)) continue;
    const bytes = readFileSync(file);
    const memory = new SharedArrayBuffer(bytes.length);
    new Uint8Array(memory).set(bytes);
    s.counters['back'] = new Counters(memory).total({ kind: 'netback' });
  }
}

async function runBoot(b: Boot, only: readonly string[], c: Context): Promise<Collector> {
  const { machine, dir } = await prepare(b, c, only);
  const { consoleFile, share } = machine;
  const collector = new Collector((name) => {
    const s = scenarioNamed(name);
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
      console: consoleFile,
    };
  });
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

/** Runs every boot that holds one of the wanted scenarios. */
export async function runLab(
  wanted: readonly string[] | 'all',
  log: (line: string) => void,
  signal?: AbortSignal,
): Promise<LabRun> {
  const names = wanted === 'all' ? SCENARIOS.map((s) => s.name) : wanted;
  for (const name of names)
    if (scenarioNamed(name) === undefined)
      throw new NestfrontError(
        'NF_EINVAL',
        'lab.run',
        `no scenario ${name}: nestfront lab ls lists them`,
      );
  const context = await makeContext(log, signal);
  const queue = BOOTS.map((b) => ({
    b,
    only: b.scenarios.filter((s) => names.includes(s)),
  })).filter(({ only }) => only.length > 0);
  const collectors: Collector[] = [];
  const lane = async (): Promise<void> => {
    for (let next = queue.shift(); next; next = queue.shift())
      collectors.push(await runBoot(next.b, next.only, context));
  };
  await Promise.all([lane(), lane()]);
  return {
    scenarios: collectors.flatMap((x) => x.scenarios),
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
