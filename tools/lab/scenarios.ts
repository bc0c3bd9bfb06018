// SPDX-License-Identifier: MIT
/**
 * What the lab can run. One file of groups/ describes one boot with its scenarios, one script of
 * guest/ runs them: a new group is one of each and a line here.
 */
import { NestfrontError } from '../../lib/errors.js';
import { backOurs } from './groups/back-ours.js';
import { backStock } from './groups/back-stock.js';
import { bad } from './groups/bad.js';
import { disks } from './groups/disks.js';
import type { Group, Scenario } from './groups/group.js';
import { node } from './groups/node.js';

/** In the order in which two lanes take them: long ones first, and so that both end together. */
export const GROUPS: readonly Group[] = [node, backOurs, backStock, disks, bad];

/** The order of the list, and of the results. */
export const SCENARIOS: readonly Scenario[] = [backStock, backOurs, disks, bad, node].flatMap(
  (group) => group.scenarios,
);

/** The boot of `lab shell`, which runs no scenario. */
export const SHELL: Group = {
  job: 'shell',
  scenarios: [],
  memory: 2560,
  dom0Memory: 900,
  seconds: 86_400,
};

/** The boot of `lab bench` without its nested path. */
export const BENCH_FLAT: Group = {
  job: 'bench',
  scenarios: [],
  memory: 3072,
  dom0Memory: 900,
  seconds: 7200,
};

/** The boot of `lab bench`. */
export const BENCH: Group = { ...BENCH_FLAT, memory: 4608, dom0Memory: 1200, node: 'guests' };

/**
 * Scenarios by their names, by the name of what they are parts of, or `all` but those on trial.
 * @throws NestfrontError `NF_EINVAL`: a name of nothing
 */
export function scenariosNamed(names: readonly string[]): Scenario[] {
  const found = new Set<Scenario>();
  for (const name of names) {
    const meant = SCENARIOS.filter((s) =>
      name === 'all' ? s.trial !== true : name === s.name || name === s.partOf,
    );
    if (meant.length === 0)
      throw new NestfrontError(
        'NF_EINVAL',
        'lab.run',
        `no scenario ${name}: nestfront lab ls lists them`,
      );
    meant.forEach((s) => found.add(s));
  }
  return SCENARIOS.filter((s) => found.has(s));
}
