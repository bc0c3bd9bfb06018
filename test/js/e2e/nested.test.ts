// SPDX-License-Identifier: MIT
// It is nested, and these show it: who moves data, who sees it, who knows of whom.
import { readFileSync, readdirSync, readlinkSync } from 'node:fs';
import { spawnSync } from 'node:child_process';
import { setTimeout as sleep } from 'node:timers/promises';
import test from 'ava';
import type { ExecutionContext } from 'ava';
import { EventChannel } from '../../../lib/index.js';
import type { Stack, StackDevice, Store } from '../../../lib/index.js';
import { isolationRefused } from '../../../lib/stack/mounts.js';
import * as e from '../helpers/stacks.js';

const isolated = isolationRefused() === undefined ? test.serial : test.serial.skip;
const RING = 256;

/** Lines of a process's /proc/PID/maps; as root of its domain when we may not look from outside. */
async function mapsOf(stack: Stack, name: string): Promise<string[]> {
  const domain = stack.domain(name);
  const inside = /^NSpid:.*\t(\d+)$/m.exec(readFileSync(`/proc/${domain.pid}/status`, 'utf8'))![1];
  const { code, stdout, stderr } = await domain.exec(['cat', `/proc/${inside}/maps`]);
  if (code !== 0) throw new Error(stderr);
  return stdout.split('\n');
}

/** Purposes of a device's arenas a process maps: `nf-GRANTER-GRANTEE-DEVICE.QUEUE.PURPOSE`. */
async function arenas(stack: Stack, name: string, device: StackDevice): Promise<number[]> {
  const found = new Set<number>();
  for (const line of await mapsOf(stack, name)) {
    const match = /memfd:nf-\d+-\d+-(\d+)\.\d+\.(\d+)/.exec(line);
    if (match !== null && Number(match[1]) === device.devid) found.add(Number(match[2]));
  }
  return [...found].sort();
}

async function dump(store: Store, path = ''): Promise<string[]> {
  const lines = [`${path} = ${await store.read(path === '' ? '/' : path)}`];
  for (const name of await store.directory(path === '' ? '/' : path))
    lines.push(...(await dump(store, `${path}/${name}`)));
  return lines;
}

function start(device: StackDevice): void {
  device.front.control.order(device.devid, { mode: 'send', frameBytes: 1500 });
}

async function flowing(t: ExecutionContext, device: StackDevice): Promise<void> {
  const before = e.sunk(device);
  await e.eventually(t, () => e.sunk(device) > before + 1000, `${device.name} flows`);
}

/** A signal is under way for a while: threads that run go on until they enter the kernel. */
function isStopped(pid: number): boolean {
  const states = readdirSync(`/proc/${pid}/task`).map((task) => {
    const stat = readFileSync(`/proc/${pid}/task/${task}/stat`, 'utf8');
    return stat.charAt(stat.lastIndexOf(')') + 2);
  });
  return states.every((state) => state === 'T');
}

isolated(
  'with the relay stopped copy and translate stop, direct goes on; none loses',
  async (t) => {
    const stack = await e.up(t, { devices: e.genDevices(e.NESTED) });
    const relay = stack.domain('L1').pid;
    for (const device of stack.devices) {
      start(device);
      await flowing(t, device);
      process.kill(relay, 'SIGSTOP');
      try {
        await e.eventually(t, () => isStopped(relay), 'every thread of the relay stands');
        const atStop = e.generated(device);
        await sleep(200);
        const [sent, taken] = [e.generated(device), e.sunk(device)];
        await sleep(300);
        if (device.path === 'direct') {
          t.true(e.sunk(device) > taken + 1000, 'direct flows without L1');
        } else {
          t.is(e.sunk(device), taken, `${device.name} stands still`);
          t.is(e.generated(device), sent);
          t.true(sent - atStop <= 2 * RING + 64, `within a ring's worth: ${sent - atStop} more`);
        }
      } finally {
        process.kill(relay, 'SIGCONT');
      }
      await flowing(t, device);
      await e.drain(t, device);
      const back = e.atBack(device);
      t.is(back.sink_lost + back.sink_duplicated + back.sink_reordered + back.sink_corrupted, 0);
    }
  },
);

isolated('the relay maps payload for copy only, and rings but for direct', async (t) => {
  const stack = await e.up(t, { devices: e.genDevices(e.NESTED) });
  for (const device of stack.devices) {
    start(device);
    await flowing(t, device);
    const seen = await arenas(stack, 'L1', device);
    const payload = seen.filter((purpose) => purpose === 4 || purpose === 5);
    const rings = seen.filter((purpose) => purpose === 1 || purpose === 2);
    t.deepEqual(payload, device.path === 'copy' ? [4, 5] : [], `${device.name}: payload`);
    t.deepEqual(rings, device.path === 'direct' ? [] : [1, 2], `${device.name}: rings`);
    for (const end of ['L2', 'L0'])
      t.true((await arenas(stack, end, device)).includes(4), `${end} maps payload`);
  }
});

isolated('direct takes no instruction of L1 a packet', async (t) => {
  const stack = await e.up(t, { devices: e.genDevices(['direct']) });
  const device = stack.device('direct');
  start(device);
  await flowing(t, device);
  const ticks = (): number => {
    const stat = readFileSync(`/proc/${stack.domain('L1').pid}/stat`, 'utf8');
    const fields = stat.slice(stat.lastIndexOf(')') + 2).split(' ');
    return Number(fields[11]) + Number(fields[12]);
  };
  const before = ticks();
  const frames = e.sunk(device);
  await sleep(500);
  t.true(e.sunk(device) > frames + 10_000);
  t.true(ticks() - before <= 2, 'CPU time of L1 (ticks of 10 ms)');
  t.is((await device.relay!.counters()).tx_packets, 0);
});

isolated("ending L1's outer grants stops L2's traffic", async (t) => {
  const stack = await e.up(t, { devices: e.genDevices(e.NESTED) });
  for (const device of stack.devices) {
    start(device);
    await flowing(t, device);
    await device.relay!.outer.detach();
    t.is(await device.relay!.outer.back.state(), 'Closed');
    const sent = device.front.counters.total({ kind: 'netfront' }).tx_packets;
    await sleep(300);
    const later = device.front.counters.total({ kind: 'netfront' }).tx_packets;
    t.is(later, sent, `${device.name}: the guest stands still`);
  }
});

isolated('L2 has no socket, no mapping and no path of H0; H0 knows no L2', async (t) => {
  const stack = await e.up(t, { devices: e.genDevices(['copy']) });
  const { pids, hypervisors } = stack.metadata();
  const inodes = (pid: number): Set<string> => {
    const links = readdirSync(`/proc/${pid}/fd`).map((fd) => readlinkSync(`/proc/${pid}/fd/${fd}`));
    return new Set(links.flatMap((link) => /^socket:\[(\d+)\]$/.exec(link)?.[1] ?? []));
  };
  if (process.getuid?.() === 0) {
    // one line a socket: ... * INODE * PEER; a pair is of the network namespace it was made in
    const peers = new Map<string, string>();
    const outside = spawnSync('ss', ['-xanH'], { encoding: 'utf8' }).stdout;
    const inside = (await stack.domain('L1').exec(['ss', '-xanH'])).stdout;
    for (const line of `${outside}\n${inside}`.split('\n')) {
      const numbers = line.match(/\S+ (\d+)\s+\* (\d+)/);
      if (numbers !== null) peers.set(numbers[1]!, numbers[2]!);
    }
    const [h0, h1] = [inodes(hypervisors.H0!), inodes(hypervisors.H1!)];
    const guest = [...inodes(pids['L2']!)];
    t.true(
      guest.some((inode) => h1.has(peers.get(inode) ?? '')),
      'L2 is connected to H1',
    );
    t.false(
      guest.some((inode) => h0.has(peers.get(inode) ?? '')),
      'and not to H0',
    );
    const tenant = [...inodes(pids['L1']!)];
    t.true(
      tenant.some((inode) => h0.has(peers.get(inode) ?? '')),
      'while L1 is',
    );
  }
  const paths = await stack.domain('L2').exec(['find', '/tmp', '/run', '/dev', '-name', '*.sock']);
  t.is(paths.stdout, '');
  const lines = (await mapsOf(stack, 'L2')).filter((line) => line.includes('memfd:nf-1-0-'));
  t.deepEqual(
    lines.filter((line) => !/nf-1-0-0\./.test(line)),
    [],
    'its own arenas only',
  );

  const outer = await dump(await stack.hypervisor('H0').store());
  t.true(outer.some((line) => line.endsWith('/name = L1')));
  t.deepEqual(
    outer.filter((line) => /L2/.test(line)),
    [],
  );
  const inner = await dump(await stack.hypervisor('H1').store());
  t.true(inner.some((line) => line.endsWith('/name = L2')));
  t.deepEqual(
    inner.filter((line) => /L0/.test(line)),
    [],
    "and H1's knows no L0",
  );
});

isolated("a sibling that names another L2's grefs and ports gets nowhere", async (t) => {
  const stack = await e.up(t, { devices: e.genDevices(e.NESTED) });
  const inner = stack.hypervisor('H1');
  const evil = await (await inner.createDomain({ name: 'evil' })).attach();
  const store = await inner.store();
  const own = await evil.store();
  for (const device of stack.devices) {
    start(device);
    await flowing(t, device);
    const front = device.link.front.path;
    const victim = device.front.domain.domid;
    for (const key of ['tx-ring-ref', 'rx-ring-ref', 'ctrl-ring-ref']) {
      const gref = Number(await store.read(`${front}/${key}`));
      for (const owner of [victim, 0])
        await t.throwsAsync(evil.grants.map(owner, [gref]), { code: 'NF_EACCES' }, key);
      const [copied] = await evil.grants.copy([{ peer: victim, gref, offset: 0, bytes: 64 }]);
      t.true(copied!.status < 0, `${key}: copied with status ${copied!.status}`);
    }
    for (const key of ['event-channel-tx', 'event-channel-ctrl']) {
      const port = Number(await store.read(`${front}/${key}`));
      const bound = await EventChannel.bind(evil, victim, port).then(
        () => true,
        () => false,
      );
      t.false(bound, `${key} bound`);
    }
    for (const key of ['mac', 'nestfront/queues', 'tx-ring-ref']) {
      const read = await t.throwsAsync(own.read(`${front}/${key}`));
      t.is((read as { code?: string }).code, 'NF_EACCES');
      const write = await t.throwsAsync(own.write(`${front}/${key}`, '1'));
      t.is((write as { code?: string }).code, 'NF_EACCES');
    }
    await flowing(t, device);
    await e.drain(t, device);
    t.is(e.atBack(device).sink_corrupted + e.atBack(device).sink_lost, 0);
  }
  await evil.close();
});
