// SPDX-License-Identifier: MIT
/** Boots machines, two at a time, and collects what their scenarios say. */
import {
  copyFileSync,
  linkSync,
  mkdirSync,
  mkdtempSync,
  readFileSync,
  writeFileSync,
} from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';

import { NestfrontError } from '../../lib/errors.js';
import { buildImages, packOwn } from './image.js';
import type { LabImages } from './image.js';
import { fetchPackages } from './packages.js';
import { run } from './process.js';
import { boot } from './qemu.js';
import { Collector } from './results.js';
import type { ScenarioResult } from './results.js';
import { BOOTS, scenarioNamed } from './scenarios.js';
import type { Boot } from './scenarios.js';

export interface LabRun {
  readonly scenarios: ScenarioResult[];
  /** What was wrong outside any scenario. */
  readonly faults: string[];
}

const TOOLS: readonly (readonly [program: string, debian: string])[] = [
  ['qemu-system-x86_64', 'qemu-system-x86 seabios'],
  ['cpio', 'cpio'],
  ['modprobe', 'kmod'],
  ['depmod', 'kmod'],
  ['xz', 'xz-utils'],
];

async function needTools(): Promise<void> {
  const missing = new Set<string>();
  for (const [program, debian] of TOOLS) {
    const found = await run('sh', ['-c', `PATH=$PATH:/usr/sbin:/sbin command -v ${program}`], {
      seconds: 5,
      tolerate: true,
    });
    if (found.code !== 0) missing.add(debian);
  }
  if (missing.size > 0)
    throw new NestfrontError(
      'NF_EPERM',
      'lab',
      `missing on this machine: sudo apt-get install --no-install-recommends ${[...missing].join(' ')}`,
    );
}

function link(from: string, to: string): void {
  try {
    linkSync(from, to);
  } catch {
    copyFileSync(from, to); // another file system
  }
}

interface Context {
  readonly images: LabImages;
  readonly own: string;
  readonly dir: string;
  readonly kernel: string;
  readonly log: (line: string) => void;
  readonly signal?: AbortSignal | undefined;
}

async function runBoot(b: Boot, c: Context): Promise<Collector> {
  const dir = join(c.dir, b.job);
  const share = join(dir, 'share');
  mkdirSync(share, { recursive: true });
  link(c.images.kernel, join(share, 'vmlinux'));
  const own = readFileSync(c.own);
  writeFileSync(join(share, 'domu.cpio'), Buffer.concat([readFileSync(c.images.domu), own]));
  const initrd = join(dir, 'dom0.cpio');
  writeFileSync(initrd, Buffer.concat([readFileSync(c.images.dom0), own]));
  const consoleFile = join(dir, 'console.log');
  const collector = new Collector((name) => {
    const s = scenarioNamed(name);
    return {
      name,
      status: 'pass',
      l0: { xen: '4.17', kernel: c.kernel, sha256: c.images.sha256 },
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
  const machine = {
    images: c.images,
    initrd,
    share,
    job: b.job,
    consoleFile,
    memory: b.memory,
    dom0Memory: b.dom0Memory,
    seconds: b.seconds,
    idleSeconds: 90,
  };
  let last = 0;
  const end = await boot(
    machine,
    (line, seconds) => {
      last = seconds;
      collector.line(line, seconds);
      if (/@@NF (begin|end|check|value|fault|ready)/.test(line))
        c.log(`[${b.job} ${seconds.toFixed(1)}] ${line.replace(/^.*@@NF /, '')}`);
    },
    c.signal,
  );
  collector.close(end, last);
  if (end !== 'done')
    collector.faults.push(`${b.job}: the machine ${end}, console in ${consoleFile}`);
  for (const name of b.scenarios)
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
  const boots = BOOTS.filter(
    (b) => wanted === 'all' || b.scenarios.some((s) => wanted.includes(s)),
  );
  if (boots.length === 0)
    throw new NestfrontError(
      'NF_EINVAL',
      'lab.run',
      `no scenario ${String(wanted)}: nestfront lab ls lists them`,
    );
  await needTools();
  const packages = await fetchPackages(log);
  const images = await buildImages(packages, log);
  const dir = mkdtempSync(join(tmpdir(), 'nestfront-lab-run-'));
  const context: Context = { images, own: packOwn(dir), dir, kernel: packages.kernel, log, signal };
  const queue = [...boots];
  const collectors: Collector[] = [];
  const lane = async (): Promise<void> => {
    for (let b = queue.shift(); b; b = queue.shift()) collectors.push(await runBoot(b, context));
  };
  await Promise.all([lane(), lane()]);
  return {
    scenarios: collectors.flatMap((x) => x.scenarios),
    faults: collectors.flatMap((x) => x.faults),
  };
}
