// SPDX-License-Identifier: MIT
// Every configuration in tools/examples is one that `plan` and `up` take.
import { readdirSync } from 'node:fs';
import { basename, join } from 'node:path';
import test from 'ava';
import { planStack, readConfig } from '../../lib/index.js';
import { packageRoot } from '../../lib/stack/paths.js';

const FOLDER = join(packageRoot(), 'tools/examples');

for (const file of readdirSync(FOLDER).filter((name) => name.endsWith('.json')))
  test(`tools/examples/${file} can be planned`, (t) => {
    const config = readConfig(join(FOLDER, file));
    t.is(config.name, basename(file, '.json'), 'a stack is called as its file');
    const plan = planStack(config);
    t.is(plan.devices.length + plan.disks.length, config.devices.length + config.disks.length);
    t.true(plan.resources.pages > 0 && plan.resources.processes > 2);
  });
