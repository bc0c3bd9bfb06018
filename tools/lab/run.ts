// SPDX-License-Identifier: MIT
/** Boots machines, two at a time, and collects what their scenarios say. */
import { existsSync, readFileSync } from 'node:fs';
import { join } from 'node:path';

import { Counters } from '../../lib/api/counters.js';
import { NestfrontError } from '../../lib/errors.js';
import type { Group, Scenario } from './groups/group.js';
import { clearMachine, clearRun, makeContext, prepare } from './machine.js';
import type { Context } from './machine.js';
import { moduleFaults, modulesHash } from './provenance.js';
import type { Provider } from './provenance.js';
import { boot, bootOnTerminal } from './qemu.js';
import { Collector } from './results.js';
import type { ScenarioResult } from './results.js';
import { GROUPS, SCENARIOS, SHELL, scenariosNamed } from './scenarios.js';

export interface LabRun {
  /** Whose Xen, kernel and modules booted. */
  readonly provider: Provider;
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
          s.counters[/^(net|blk)/.test(kind) && kind.endsWith(end) ? end : kind] = page.total({
            kind,
          });
    }
}

function blank(s: Scenario | undefined, name: string, c: Context, console: string): ScenarioResult {
  const from = c.images.provider;
  return {
    name,
    status: 'pass',
    l0: {
      xen: '4.17',
      kernel: c.packages.kernel,
      sha256: { xen: from.xen, kernel: from.kernel, modules: modulesHash(from) },
    },
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

/** Boots one group and hears it out. */
export async function runBoot(
  b: Group,
  c: Context,
  more: { only: readonly string[]; options?: Readonly<Record<string, string | number>> },
): Promise<Collector> {
  const { machine, dir } = prepare(b, c, more);
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
    (line, { seconds, waited }) => {
      last = seconds;
      const verb = /@@NF sample (begin|end)/.exec(line)?.[1];
      // of a sample: inside of its two lines
      const host = verb && `@@NF sample ${verb}At=${seconds} ${verb}Waited=${waited() ?? '-'}`;
      if (host && verb === 'end') collector.line(host, seconds);
      collector.line(line, seconds);
      if (host && verb === 'begin') collector.line(host, seconds);
      if (/@@NF (begin|end|check|skip|fault|ready|sample begin)/.test(line))
        c.log(`[${b.job} ${seconds.toFixed(1)}] ${line.replace(/^.*@@NF /, '')}`);
    },
    c.signal,
  );
  collector.close(end, last);
  readCounters(share, collector);
  for (const fault of moduleFaults(c.images.provider, collector.modules))
    collector.faults.push(`${b.job}: ${fault}`);
  clearMachine(dir);
  if (end !== 'done')
    collector.faults.push(`${b.job}: the machine ${end}, console in ${consoleFile}`);
  for (const name of more.only)
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
  const queue = GROUPS.map((b) => ({
    b,
    only: b.scenarios.map((s) => s.name).filter((name) => names.includes(name)),
  })).filter(({ only }) => only.length > 0);
  const context = await makeContext(
    queue.map(({ b }) => b),
    log,
    signal,
  );
  const collectors: Collector[] = [];
  const lane = async (): Promise<void> => {
    for (let next = queue.shift(); next; next = queue.shift())
      collectors.push(await runBoot(next.b, context, { only: next.only }));
  };
  try {
    await Promise.all([lane(), lane()]);
  } finally {
    clearRun(context.dir);
  }
  const order = (s: ScenarioResult): number => SCENARIOS.findIndex(({ name }) => name === s.name);
  return {
    provider: context.images.provider,
    scenarios: collectors.flatMap((x) => x.scenarios).sort((a, b) => order(a) - order(b)),
    faults: collectors.flatMap((x) => x.faults),
  };
}

/**
 * One machine with its console on this terminal; the job is a prompt in dom0.
 * @throws NestfrontError `NF_EINVAL`: stdin or stdout is no terminal
 */
export async function labShell(log: (line: string) => void, signal?: AbortSignal): Promise<void> {
  if (!process.stdin.isTTY || !process.stdout.isTTY)
    throw new NestfrontError(
      'NF_EINVAL',
      'lab.shell',
      'the prompt needs a terminal: without one, nestfront lab run NAME does what a script can do',
    );
  const context = await makeContext([SHELL], log, signal);
  const { rows, columns } = process.stdout;
  const { machine } = prepare(SHELL, context, { options: { rows, columns } });
  log("booting; dom0's prompt comes in half a minute, Ctrl-A X ends the machine at any time");
  try {
    await bootOnTerminal(machine, signal);
  } finally {
    clearRun(context.dir);
  }
}
