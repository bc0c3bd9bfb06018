// SPDX-License-Identifier: MIT
// nestfront bench scale: what a device costs when there are a thousand.
import { writeFileSync } from 'node:fs';
import type { Command } from 'commander';
import { environment, finished } from '../bench/lib/environment.js';
import { scale, type ScaleResult } from '../bench/scale.js';
import { number } from './benchflags.js';
import { EXIT, table, type CommandContext } from './command.js';

interface ScaleFlags {
  domains: number;
  devices: number;
  idle: number;
  json?: string;
}

const DEVICES_A_GUEST = 20;

function rows(r: ScaleResult): string[] {
  const ms = (n: number): string => `${n.toFixed(1)} ms`;
  const { connectMs: c, idle } = r;
  return [
    `${r.devices} devices over ${r.domains} guests and L0, ${r.processes} processes, ` +
      (r.isolated ? 'each in namespaces of its own' : 'not isolated'),
    `connect: median ${ms(c.p50)}, p95 ${ms(c.p95)}, p99 ${ms(c.p99)}, longest ${ms(c.max)}; ` +
      `first tenth ${ms(c.first)}, last ${ms(c.last)}; CPU time of all processes ` +
      `${ms(r.connectCpuMs)} each`,
    ...table([
      ['process', 'PSS MiB', 'fds', 'KiB/device', 'fds/device'],
      ...r.footprints.map((f) => [
        f.process,
        (f.pssKib / 1024).toFixed(1),
        f.fds.toFixed(0),
        f.pssKibPerDevice.toFixed(0),
        f.fdsPerDevice.toFixed(1),
      ]),
    ]),
    `all: ${(r.totalPssKib / 1024).toFixed(0)} MiB; ${r.pssKibPerDevice.toFixed(0)} KiB and ` +
      `${r.fdsPerDevice.toFixed(1)} descriptors a device`,
    `idle for ${idle.seconds} s: ${idle.ticks} ticks of CPU time, ` +
      `${(idle.cpuNs / 1000).toFixed(0)} µs, ${idle.sleeps} wake-ups, all processes together`,
    `${r.frames} frames of a sample of the devices arrived afterwards, every byte right`,
  ];
}

export function defineScale(command: Command, context: CommandContext): void {
  const whole = (flag: string, low: number, high: number) => (text: string) => {
    const value = number(flag, low, high)(text);
    if (Number.isInteger(value)) return value;
    throw new RangeError(`${flag} "${text}" is not a whole number`);
  };
  command
    .command('scale')
    .description('many devices over many domains: memory, descriptors, connect, idle')
    .option('--domains <n>', 'guests, each a process', whole('--domains', 1, 1000), 100)
    .option('--devices <n>', 'over all of them', whole('--devices', 1, 1500), 1000)
    .option('--idle <seconds>', 'to look whether anything runs', number('--idle', 1, 600), 5)
    .option('--json <file>', 'write the result there, as JSON')
    .action(async (flags: ScaleFlags) => {
      const { domains, devices, idle } = flags;
      if (devices < domains || devices > domains * DEVICES_A_GUEST)
        throw new RangeError(
          `--devices ${devices} is not from 1 to ${DEVICES_A_GUEST} for each of ${domains} domains`,
        );
      const started = environment(process.argv.slice(2));
      const { signal, note } = context;
      const result = await scale({ domains, devices, idleSeconds: idle, signal, note });
      rows(result).forEach((line) => context.print(line));
      const report = { schemaVersion: 1, environment: finished(started), results: [result] };
      if (flags.json !== undefined) writeFileSync(flags.json, JSON.stringify(report, null, 1));
      context.exitCode = result.idle.ticks === 0 ? EXIT.done : EXIT.failed;
    });
}
