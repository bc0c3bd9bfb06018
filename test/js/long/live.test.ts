// SPDX-License-Identifier: MIT
// Devices that come and go, a hundred of them.
import test from 'ava';
import { isolationRefused } from '../../../lib/stack/mounts.js';
import { comeAndGo } from '../helpers/comeandgo.js';

const isolated = isolationRefused() === undefined ? test.serial : test.serial.skip;

isolated('a device that carries traffic does not notice 100 others come and go', async (t) => {
  t.timeout(180_000);
  await comeAndGo(t, 100);
});
