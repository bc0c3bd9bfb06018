// SPDX-License-Identifier: MIT
// Three guests on one outer device: TCP between each and the outside, hashed at both ends, and
// between siblings; a guest that lies about its address; one that dies.
import { join } from 'node:path';
import test from 'ava';
import type { ExecutionContext } from 'ava';
import type { Stack, StackConfig, StackDomain } from '../../../lib/index.js';
import { isolationRefused } from '../../../lib/stack/mounts.js';
import { packageRoot } from '../../../lib/stack/paths.js';
import * as e from '../helpers/stacks.js';

const isolated = isolationRefused() === undefined ? test.serial : test.serial.skip;
const GUESTS = ['A', 'B', 'C'] as const;
const MEGABYTES = 8;
const OUTSIDE = '10.79.0.1';

const addressOf = (index: number): string => `10.79.0.${index + 2}`;

function devices(more: object = {}): StackConfig['devices'] {
  return GUESTS.map((guest) => ({
    name: `net-${guest}`,
    path: 'mux',
    guest,
    front: { port: 'tap:nf0' },
    back: { port: 'tap:nf0' },
    ...more,
  }));
}

async function give(domain: StackDomain, address: string): Promise<void> {
  const program = join(packageRoot(), 'build', 'Release', 'nf-netns');
  const { code, stderr } = await domain.exec([program, 'address', 'nf0', address]);
  if (code !== 0) throw new Error(`${domain.name}: ${stderr}`);
}

async function stackOf(t: ExecutionContext, more: object = {}): Promise<Stack> {
  const stack = await e.up(t, { devices: devices(more) });
  await give(stack.domain('L0'), OUTSIDE);
  for (const [index, guest] of GUESTS.entries()) await give(stack.domain(guest), addressOf(index));
  return stack;
}

/** Bytes nobody guesses, made by both ends: a counter's hashes. */
const STREAM = `
const { createHash } = require('node:crypto'), net = require('node:net');
function* blocks(seed) {
  for (let i = 0; i < ${MEGABYTES} * 64; i++) {
    const hash = createHash('sha256').update(seed + i).digest();
    yield Buffer.alloc(16384, hash);
  }
}
async function send(socket, seed) {
  const hash = createHash('sha256');
  for (const block of blocks(seed)) {
    hash.update(block);
    if (!socket.write(block)) await new Promise((go) => socket.once('drain', go));
  }
  socket.end();
  return hash.digest('hex');
}
function take(socket) {
  const hash = createHash('sha256');
  return new Promise((resolve, reject) => {
    socket.on('data', (data) => hash.update(data));
    socket.on('end', () => resolve(hash.digest('hex')));
    socket.on('error', reject);
  });
}
async function both(socket, own) {
  const [sent, got] = await Promise.all([send(socket, own), take(socket)]);
  process.stdout.write(sent + ' ' + got);
}`;

const SERVER = `${STREAM}
const server = net.createServer({ allowHalfOpen: true }, (socket) => {
  server.close();
  void both(socket, 'server');
});
server.listen(Number(process.argv[1]), '0.0.0.0');`;

const CLIENT = `${STREAM}
function attempt(tries) {
  const [, host, port] = process.argv;
  const socket = net.connect({ host, port: Number(port), allowHalfOpen: true });
  socket.on('connect', () => void both(socket, 'client'));
  socket.on('error', (error) => {
    if (error.code !== 'ECONNREFUSED' || tries === 0) throw error;
    setTimeout(attempt, 100, tries - 1);
  });
}
attempt(100);`;

/** Streams both ways at once; true when each end took what the other sent. */
async function streams(
  client: StackDomain,
  server: StackDomain,
  host: string,
  port: number,
): Promise<boolean> {
  const options = { timeoutMs: 60_000 };
  const [there, here] = await Promise.all([
    server.exec([process.execPath, '-e', SERVER, String(port)], options),
    client.exec([process.execPath, '-e', CLIENT, host, String(port)], options),
  ]);
  const [sent, got] = here.stdout.split(' ');
  const same = sent !== undefined && there.stdout === `${got} ${sent}`;
  if (!same) process.stderr.write(`${here.stderr}${there.stderr}`);
  return same;
}

isolated(
  'TCP of three guests at once through one outer device, both ways, unchanged',
  async (t) => {
    const stack = await stackOf(t);
    const outside = stack.domain('L0');
    const ran = await Promise.all(
      GUESTS.map((guest, index) => streams(stack.domain(guest), outside, OUTSIDE, 7000 + index)),
    );
    t.deepEqual(ran, [true, true, true]);
    const vifs = await (
      await stack.hypervisor('H0').store()
    ).directory('/local/domain/1/device/vif');
    t.is(vifs.length, 1, 'L1 has one device outside');
    for (const device of stack.devices) {
      const counters = await device.relay!.counters();
      t.true(counters.tx_bytes > MEGABYTES * 1e6, `${device.name} sent`);
      t.true(counters.rx_bytes > MEGABYTES * 1e6, `${device.name} received`);
      t.is(counters.tx_spoofed + counters.protocol_errors, 0);
      t.is((await device.relay!.status())?.mode, 'mux');
    }
  },
);

isolated('siblings reach each other in L1, and not through L0', async (t) => {
  const stack = await stackOf(t);
  const outside = (): number => stack.domain('L0').counters.total({ kind: 'netback' }).tx_bytes;
  const before = outside();
  t.true(await streams(stack.domain('A'), stack.domain('B'), addressOf(1), 7000));
  t.true(outside() - before < 100_000, `${outside() - before} bytes of it went outside`);
  t.true((await stack.device('net-A').relay!.counters()).switched > 100);
});

isolated(
  "a guest with another's address is heard by nobody; one that dies is not missed",
  async (t) => {
    const stack = await stackOf(t);
    const ping = (guest: string, host: string): Promise<{ code: number }> =>
      stack.domain(guest).exec(['ping', '-c', '2', '-W', '2', '-i', '0.2', host]);
    const ready = await ping('A', OUTSIDE);
    if (ready.code === 127) return t.pass('no ping here');
    t.is(ready.code, 0);
    const { mac } = stack.device('net-B');
    await stack.domain('A').exec(['ip', 'link', 'set', 'nf0', 'address', mac]);
    t.not((await ping('A', OUTSIDE)).code, 0);
    t.true((await stack.device('net-A').relay!.counters()).tx_spoofed > 0);
    t.is((await ping('B', OUTSIDE)).code, 0);
    process.kill(stack.domain('C').pid, 'SIGKILL');
    await stack.domain('C').exited;
    t.true(await streams(stack.domain('B'), stack.domain('L0'), OUTSIDE, 7001));
  },
);

isolated('a guest sends no faster than its rate', async (t) => {
  const stack = await stackOf(t, { rate: '40Mb/s' });
  const started = performance.now();
  t.true(await streams(stack.domain('A'), stack.domain('L0'), OUTSIDE, 7000));
  const counters = await stack.device('net-A').relay!.counters();
  const seconds = (performance.now() - started) / 1000;
  t.true(counters.tx_bytes <= 5e6 * seconds + 131_072 + 250_000, `${seconds} s`);
  t.true(counters.tx_rate_limited > 0);
});

isolated('only the addresses a guest was given leave it', async (t) => {
  const stack = await stackOf(t, { ip: [addressOf(0), addressOf(1), addressOf(2)] });
  t.true(await streams(stack.domain('A'), stack.domain('L0'), OUTSIDE, 7000));
  await stack.domain('A').exec(['ip', 'addr', 'flush', 'dev', 'nf0']);
  await stack.domain('A').exec(['ip', 'addr', 'add', '10.79.0.99/24', 'dev', 'nf0']);
  await stack.domain('A').exec(['ping', '-c', '1', '-W', '1', OUTSIDE]);
  t.true((await stack.device('net-A').relay!.counters()).tx_spoofed > 0);
});
