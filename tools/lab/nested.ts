// SPDX-License-Identifier: MIT
/**
 * Runs inside L1, a Linux guest of real Xen: the embedded hypervisor with a tenant and L2, the
 * relay between L2 and this guest's own vif, or its vbd, whose backend is the provider's. Ends on
 * SIGTERM. Usage: node nested.js MODE COUNTERS-FILE [net|disk|isolated]; prints one line of JSON
 * when connected, then every second writes the counters. isolated: net, and L2 is a domain of its
 * own, by nf-launch, in place of a process beside the others.
 */
import { spawn } from 'node:child_process';
import type { ChildProcess } from 'node:child_process';
import { execFileSync } from 'node:child_process';
import { renameSync, writeFileSync } from 'node:fs';
import { dirname } from 'node:path';

import { BlkLink, Hypervisor, NetLink } from '../../lib/index.js';
import type { Domain } from '../../lib/index.js';
import { Launched } from '../../lib/stack/launch.js';
import { executable } from '../../lib/stack/paths.js';

const [mode = 'translate', countersFile = '/tmp/counters', what = 'net'] = process.argv.slice(2);
const OUTER = 'device/vif/0';
/** xvda. */
const OUTER_DISK = '51712';

/** This guest's own part of the provider's store. */
const read = (key: string): string =>
  execFileSync('xenstore-read', [`${OUTER}/${key}`], { encoding: 'utf8' }).trim();

async function driver(domain: Domain, ...more: string[]): Promise<ChildProcess> {
  const fd = await domain.connect();
  const args = ['--layer', 'embedded:fd=3', '--name', domain.name, ...more];
  const child = spawn(executable('nestfrontd'), args, { stdio: ['ignore', 'pipe', 'inherit', fd] });
  await new Promise<void>((resolve, reject) => {
    child.stdout!.once('data', () => resolve());
    child.once('exit', (code) => reject(new Error(`${domain.name} ended with ${String(code)}`)));
  });
  return child;
}

/** The same in namespaces of its own. L1's relay stays a process of the guest, which L1 is. */
async function isolated(domain: Domain): Promise<Launched> {
  const program = executable('nestfrontd');
  const launched = await Launched.start({
    role: domain.name,
    program,
    args: ['--layer', 'embedded:fd=3', '--name', domain.name],
    fds: [await domain.connect()],
    isolated: true,
    ro: [dirname(program)],
    log,
    timeoutMs,
  });
  await launched.ready({ timeoutMs });
  return launched;
}

/** An emulated machine on a busy host takes its time. */
const timeoutMs = 120_000;
const log = (line: string): boolean => process.stderr.write(`${line}\n`);
await using h1 = await Hypervisor.start({ name: 'H1', log, timeoutMs });
const tenant = await h1.createDomain({ name: 'L1', domid: 0, privileged: true });
const guest = await h1.createDomain({ name: 'L2', domid: 1 });
const relay = await driver(tenant, '--outer', 'xen');
const l2 = what === 'isolated' ? await isolated(guest) : await driver(guest);
const ends = {
  store: await h1.store(),
  devid: 0,
  front: { domain: guest, port: what === 'disk' ? 'nbd:/run/nested.sock' : 'tap:nf0' },
  back: { domain: tenant },
};
const link =
  what === 'disk'
    ? await BlkLink.attach(ends, { back: { relay: mode, 'relay-outer': OUTER_DISK } })
    : await NetLink.attach(
        { ...ends, mac: read('mac') },
        { back: { relay: mode, 'relay-outer': '0' } },
      );
await link.connected({ timeoutMs });
const pid = l2 instanceof Launched ? l2.id.pid : l2.pid;
process.stdout.write(`${JSON.stringify({ connected: mode, pid })}\n`);

/** What L2's front and the relay counted, as dom0's job passes it on to the host. */
async function writeCounters(): Promise<void> {
  const lines: string[] = [];
  const prefix = what === 'disk' ? 'blk' : 'net';
  for (const [end, domain, kind] of [
    ['front', guest, `${prefix}front`],
    ['relay', tenant, `${prefix}relay`],
  ] as const)
    for (const [key, value] of Object.entries((await domain.counters()).total({ kind })))
      lines.push(`@@NF counter ${end} ${key} ${value}\n`);
  writeFileSync(`${countersFile}.new`, lines.join(''));
  renameSync(`${countersFile}.new`, countersFile);
}

const timer = setInterval(() => void writeCounters(), 1000);
process.on('SIGUSR2', () => void writeCounters());
await new Promise<void>((resolve) => process.once('SIGTERM', () => resolve()));
clearInterval(timer);
await link.detach({ timeoutMs: 30_000 });
if (l2 instanceof Launched) await l2.stop(5000);
else l2.kill('SIGTERM');
relay.kill('SIGTERM');
