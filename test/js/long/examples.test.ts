// SPDX-License-Identifier: MIT
// Every configuration in tools/examples comes up on this machine, and goes again.
import { existsSync, mkdtempSync, readdirSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import test from 'ava';
import { readConfig } from '../../../lib/index.js';
import type { StackConfig } from '../../../lib/index.js';
import { isolationRefused } from '../../../lib/stack/mounts.js';
import { packageRoot } from '../../../lib/stack/paths.js';
import * as e from '../helpers/stacks.js';

const FOLDER = join(packageRoot(), 'tools/examples');
const isIsolated = isolationRefused() === undefined;

function able(config: StackConfig): boolean {
  const ports = JSON.stringify(config);
  if (ports.includes('"tap:')) return isIsolated && existsSync('/dev/net/tun');
  return isIsolated;
}

for (const file of readdirSync(FOLDER).filter((name) => name.endsWith('.json'))) {
  const config = readConfig(join(FOLDER, file));
  (able(config) ? test.serial : test.serial.skip)(`tools/examples/${file} comes up`, async (t) => {
    const directory = mkdtempSync(join(tmpdir(), 'nf-example-'));
    t.teardown(() => rmSync(directory, { recursive: true, force: true }));
    const text = JSON.stringify(config).replaceAll('file:/var/tmp/', `file:${directory}/`);
    const stack = await e.up(t, { ...(JSON.parse(text) as StackConfig), isolation: 'on' });
    for (const device of stack.devices) t.is(await device.link.front.state(), 'Connected');
    const generated = stack.devices.filter((d) =>
      config.devices.some((c) => c.name === d.name && c.front.port === 'gen'),
    );
    for (const device of generated) {
      device.front.control.order(device.devid, { mode: 'send', limit: 100 });
      await e.eventually(t, () => e.generated(device) >= 100, `${device.name} sends`, 20_000);
    }
    for (const disk of stack.disks) {
      await using open = await disk.open();
      await open.write(0, Buffer.alloc(4096, 7));
      t.deepEqual(await open.read(0, 4096), Buffer.alloc(4096, 7));
    }
  });
}
