// SPDX-License-Identifier: MIT
// Runs a C test program (argv[2]) as the two domains of a real hypervisor: fd 3 is domain 1, fd 4
// domain 0. With "nested" (argv[3]) there are two hypervisors: 3 and 5 are domains 1 and 0 of H1, 4
// and 6 domains 0 and 1 of H0. The program's TAP and exit code are this program's.
import { spawn } from 'node:child_process';
import { Hypervisor } from '../../../lib/hypervisor/hypervisor.js';
import { native } from '../../../lib/native.cjs';
import { StoreClient } from '../../../lib/store/client.js';

const [program, mode] = process.argv.slice(2);
if (program === undefined) throw new TypeError('which program?');

interface Layer {
  hypervisor: Hypervisor;
  /** Connections of domains 0 and 1. */
  back: number;
  front: number;
}

/** A hypervisor with two domains and what a toolstack prepares: nodes that belong to them. */
async function layer(name: string, inner: boolean): Promise<Layer> {
  const hypervisor = new Hypervisor({ name, inner, log: () => undefined });
  const domains = [
    hypervisor.createDomain('back', true, 0),
    hypervisor.createDomain('front', false, 1),
  ] as const;
  await using store = new StoreClient(hypervisor.openStore(domains[0]));
  for (const [path, owner, reader] of [
    ['/local/domain/1/data', 1, 1],
    ...[0, 1, 2, 3, 4, 5].flatMap(
      (devid) =>
        [
          [`/local/domain/1/device/vif/${devid}`, 1, 0],
          [`/local/domain/0/backend/vif/1/${devid}`, 0, 1],
        ] as const,
    ),
    ['/local/domain/1/device/vbd/0', 1, 0],
    ['/local/domain/0/backend/vbd/1/0', 0, 1],
  ] as const) {
    await store.mkdir(path);
    await store.setPerms(path, [
      { domid: owner, access: 'n' },
      { domid: reader, access: 'r' },
    ]);
  }
  return {
    hypervisor,
    back: hypervisor.connect(domains[0]),
    front: hypervisor.connect(domains[1]),
  };
}

const h0 = await layer('H0', false);
const h1 = mode === 'nested' ? await layer('H1', true) : undefined;
const fds = h1 ? [h1.front, h0.back, h1.back, h0.front] : [h0.front, h0.back];

const child = spawn(program, [], {
  stdio: ['ignore', 'inherit', 'inherit', ...fds],
  env: { ...process.env, NF_TEST_LIVE: '1' },
});
for (const fd of fds) native.close(fd);
child.on('error', (error) => {
  throw error;
});
child.on('exit', (code, signal) => {
  h0.hypervisor.close();
  h1?.hypervisor.close();
  if (signal !== null) console.log(`not ok - killed by ${signal}`);
  process.exitCode = code ?? 1;
});
