// SPDX-License-Identifier: MIT
// Runs a C test program (argv[2]) as the two domains of a real hypervisor: fd 3 is domain 1, fd 4
// domain 0. Its TAP and its exit code are this program's.
import { spawn } from 'node:child_process';
import { Hypervisor } from '../../../lib/hypervisor/hypervisor.js';
import { native } from '../../../lib/native.cjs';
import { StoreClient } from '../../../lib/store/client.js';

const [program] = process.argv.slice(2);
if (program === undefined) throw new TypeError('which program?');

const hypervisor = new Hypervisor({ name: 'live', inner: false, log: () => undefined });
const domains = [
  hypervisor.createDomain('back', true, 0),
  hypervisor.createDomain('front', false, 1),
] as const;
const [back, front] = [hypervisor.connect(domains[0]), hypervisor.connect(domains[1])];

// what a toolstack prepares: nodes that belong to their domains
const store = new StoreClient(hypervisor.openStore(domains[0]));
for (const [path, owner, reader] of [
  ['/local/domain/1/data', 1, 1],
  ['/local/domain/1/device/vif/0', 1, 0],
  ['/local/domain/0/backend/vif/1/0', 0, 1],
] as const) {
  await store.mkdir(path);
  await store.setPerms(path, [
    { domid: owner, access: 'n' },
    { domid: reader, access: 'r' },
  ]);
}
await store.close();

const child = spawn(program, [], {
  stdio: ['ignore', 'inherit', 'inherit', front, back],
  env: { ...process.env, NF_TEST_LIVE: '1' },
});
native.close(front);
native.close(back);
child.on('error', (error) => {
  throw error;
});
child.on('exit', (code, signal) => {
  hypervisor.close();
  if (signal !== null) console.log(`not ok - killed by ${signal}`);
  process.exitCode = code ?? 1;
});
