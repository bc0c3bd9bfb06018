// SPDX-License-Identifier: MIT
import type { StackMetadata } from './options.js';
import { dataProcesses } from './plan.js';
import type { Stack } from './stack.js';

/** What results say about a running stack. */
export function metadataOf(stack: Stack, hypervisors: StackMetadata['hypervisors']): StackMetadata {
  const { config, domains, devices, disks, isolated } = stack;
  const pinned = Object.entries(config.cpus);
  const cpus = pinned.filter((pin): pin is [string, number] => pin[1] !== undefined);
  return {
    isolated,
    notify: config.notify,
    pids: Object.fromEntries(domains.map((domain) => [domain.name, domain.pid])),
    hypervisors,
    dataProcesses: Object.fromEntries(
      [...devices, ...disks].map((d) => [d.name, dataProcesses(d.path)]),
    ),
    cpus: Object.fromEntries(cpus),
  };
}
