// SPDX-License-Identifier: MIT
// The measuring itself, end to end: windows, limits, plain pairs, and results that name the
// processes they come from.
import { existsSync, readFileSync } from 'node:fs';
import t from 'tap';
import { bareRing } from '../../bench/bare_ring.js';
import { PlainPair } from '../../bench/lib/plain.js';
import { Rig, placement } from '../../bench/lib/rig.js';
import { resultSchema } from '../../bench/lib/schema.js';
import { WindowSession } from '../../bench/lib/windows.js';
import { pps } from '../../bench/pps.js';
import { rtt } from '../../bench/rtt.js';
import { netperf, NetperfServer } from '../../lib/netperf/netperf.js';
import { isolationRefused } from '../../lib/stack/mounts.js';

const refused = isolationRefused();
const tun = existsSync('/dev/net/tun') ? undefined : '/dev/net/tun is not there';
const skipTun = refused ?? tun;

t.test('the bare ring loses nothing and names its two processes', async (t) => {
  const r = await bareRing(placement(), 3);
  t.ok(r, 'a window counts');
  if (!r) return;
  resultSchema.parse(r);
  t.equal(r.lost, 0);
  t.equal(r.corrupted, 0);
  t.ok((r.verified ?? 0) > 0, 'frames were checked in full');
  t.ok((r.packetsPerSecond?.max ?? 0) > 0);
  t.equal(Object.keys(r.pids).length, 2);
});

t.test('both limits carry every frame length', async (t) => {
  await using session = await WindowSession.start([], [0, placement().back]);
  await session.addLocal('bare_ring');
  await session.addLocal('copy_limit');
  for (const frameBytes of [60, 61, 1500, 4097, 65_226, 65_535]) {
    const variants = ['bare_ring', 'copy_limit'];
    const order = { group: 'g', variants, rounds: 2, frameBytes, windowMs: 5, verifyEvery: 1 };
    const m = await session.measure(order);
    t.same(m.errors, []);
    for (const name of variants) {
      const counters = Object.assign({}, ...Object.values(m.totals[name] ?? {})) as Record<
        string,
        number
      >;
      t.equal(counters['sink_packets'], counters['gen_packets'], `${name} ${frameBytes}`);
      t.equal(counters['sink_verified'], counters['sink_packets'], 'every byte was checked');
      t.equal(counters['sink_corrupted'], undefined);
    }
  }
});

t.test('nf-window refuses what it does not know', async (t) => {
  await using session = await WindowSession.start([], [0, placement().back]);
  const order = { group: 'g', variants: ['nobody'], rounds: 1, frameBytes: 60 };
  await t.rejects(session.measure(order), /No such file/);
});

for (const kind of ['veth', 'splice'] as const) {
  const skip = (kind === 'veth' ? refused : skipTun) ?? false;
  t.test(`TCP over ${kind}`, { skip }, async (t) => {
    await using pair = await PlainPair.start(kind, ['10.79.0.1', '10.79.0.2']);
    await using server = await NetperfServer.start(pair.second, 60);
    const { port } = server;
    for (const test of ['TCP_STREAM', 'TCP_MAERTS', 'TCP_RR'] as const) {
      const r = await netperf(pair.first, { test, host: '10.79.0.2', port, seconds: 0.2 });
      t.ok(r.bytes > 0, `${test}: ${r.bytes} bytes`);
    }
    const away = { test: 'TCP_RR', host: '10.79.0.2', port: 1, seconds: 0.1 } as const;
    await t.rejects(netperf(pair.first, away), { code: 'NF_EIO' });
  });
}

t.test('results name the processes that did the work', async (t) => {
  const specs = [
    { name: 'single', path: 'single' },
    { name: 'direct', path: 'direct' },
    { name: 'translate', path: 'translate' },
  ] as const;
  const rig = await Rig.up(specs, { placement: placement(), notice: () => undefined });
  const pids: number[] = [];
  try {
    t.same(rig.skipped, []);
    const { results } = await pps(rig, { frameBytes: 60, direction: 'tx', rounds: 3 });
    const round = await rtt(rig, { rounds: 2 });
    for (const r of [...results, ...round.results]) {
      resultSchema.parse(r);
      t.equal(r.lost ?? 0, 0, `${r.path ?? r.bench} loses nothing`);
      for (const [domain, pid] of Object.entries(r.pids)) {
        const name = readFileSync(`/proc/${pid}/comm`, 'utf8').trim();
        const wanted = r.bench === 'bare_ring' ? 'nf-bare-ring' : 'nestfrontd';
        t.equal(name, wanted, `${r.path ?? r.bench}: ${domain} is ${pid}`);
        pids.push(pid);
      }
    }
    const l1 = results.find((r) => r.path === 'direct')?.cpuNsPerPacket?.['L1'];
    t.ok((l1 ?? 1) < 0.5, `direct: L1 does nothing per packet (${l1 ?? 'unknown'} ns)`);
    const names = new Set(results.map((r) => r.path ?? r.bench));
    t.same([...names].sort(), ['bare_ring', 'direct', 'single', 'translate']);
  } finally {
    await rig.close();
  }
  t.same(
    pids.filter((pid) => existsSync(`/proc/${pid}`)),
    [],
    'nothing is left running',
  );
});
