// SPDX-License-Identifier: MIT
// `top` and `ping` on a stack of real processes, as a user and as a script call them.
import { spawn, spawnSync } from 'node:child_process';
import { once } from 'node:events';
import { mkdtempSync, readFileSync, rmSync, statSync, writeFileSync } from 'node:fs';
import { hostname, tmpdir } from 'node:os';
import { join } from 'node:path';
import test from 'ava';
import { isolationRefused } from '../../../lib/stack/mounts.js';
import { packageRoot } from '../../../lib/stack/paths.js';
import type { Row } from '../../../tools/top/rows.js';
import { loadRawSocket } from '../../../tools/ping/rawsocket.js';
import { genDevices } from '../helpers/stacks.js';

const isolated = isolationRefused() === undefined ? test.serial : test.serial.skip;
const cli = join(packageRoot(), 'dist/tools/cli.js');
const runtime = mkdtempSync(join(tmpdir(), 'nf-look-'));
const name = `look-${process.pid}`;
const env = { ...process.env, XDG_RUNTIME_DIR: runtime };

interface Answer {
  code: number | null;
  stdout: string;
  stderr: string;
}

function collected(child: ReturnType<typeof spawn>): Promise<Answer> {
  const answer: Answer = { code: null, stdout: '', stderr: '' };
  for (const key of ['stdout', 'stderr'] as const)
    child[key]?.setEncoding('utf8').on('data', (text: string) => (answer[key] += text));
  return once(child, 'close').then(([code]) => ({ ...answer, code: code as number | null }));
}

function nestfront(...args: string[]): Promise<Answer> {
  return collected(spawn(process.execPath, [cli, ...args], { env }));
}

/** A terminal of 80 columns; prints what stayed of its settings, then how the program ended. */
const PTY = `
import os, pty, sys, termios, select, fcntl, struct, signal
keys, argv = sys.argv[1], sys.argv[2:]
master, slave = pty.openpty()
fcntl.ioctl(slave, termios.TIOCSWINSZ, struct.pack('HHHH', 24, 80, 0, 0))
before = termios.tcgetattr(slave)
pid = os.fork()
if pid == 0:
    os.setsid(); fcntl.ioctl(slave, termios.TIOCSCTTY, 0)
    for fd in (0, 1, 2): os.dup2(slave, fd)
    os.execvp(argv[0], argv)
seen, sent, status = b'', False, None
while status is None:
    if select.select([master], [], [], 0.05)[0]: seen += os.read(master, 65536)
    if not sent and b'TX/s' in seen:
        sent = True
        if keys == 'TERM': os.kill(pid, signal.SIGTERM)
        else: os.write(master, keys.encode().decode('unicode_escape').encode())
    done, st = os.waitpid(pid, os.WNOHANG)
    if done: status = st
while select.select([master], [], [], 0)[0]: seen += os.read(master, 65536)
same = termios.tcgetattr(slave) == before
print(os.waitstatus_to_exitcode(status), same, seen.count(b'\\x1b[?1049h'),
      seen.count(b'\\x1b[?1049l'), seen.count(b'\\x1b[?25h'))
`;

const hasPty = spawnSync('python3', ['-c', 'import pty']).status === 0;

/** Until a child has printed something. */
async function onceHeard(child: ReturnType<typeof spawn>): Promise<void> {
  await once(child.stdout!, 'data');
}

function canPing(): boolean {
  try {
    loadRawSocket(packageRoot());
    return true;
  } catch {
    return false; // npm could not build it here
  }
}

test.before(async (t) => {
  const none = await nestfront('top', '--once');
  t.deepEqual([none.code, none.stdout], [2, ''], none.stderr);
  if (isolationRefused() !== undefined) return;
  const file = join(runtime, `${name}.json`);
  const tap = { front: { port: 'tap:v0' }, back: { port: 'tap:v0' } };
  const devices = [...genDevices(['single', 'translate'])!, { name: 'tap', path: 'copy', ...tap }];
  const disks = [{ name: 'd', path: 'single', disk: 'mem:1M' }];
  writeFileSync(file, JSON.stringify({ name, isolation: 'on', devices, disks }));
  const up = await nestfront('up', file, '--detach');
  t.is(up.code, 0, up.stderr);
});

test.after.always(async () => {
  await nestfront('down', name); // refused when it is down, which the last test asks for
  rmSync(runtime, { recursive: true, force: true });
});

isolated('top --once: every end of every device in 80 columns', async (t) => {
  const shown = await nestfront('top', name, '--once', '--interval', '0.2');
  t.deepEqual([shown.code, shown.stderr], [0, '']);
  for (const part of ['=translate', '>translate', '<translate', '<single', '<d'])
    t.true(shown.stdout.includes(part), `${part} in\n${shown.stdout}`);
  for (const line of shown.stdout.split('\n')) t.true(line.length <= 80, line);
});

isolated('top --json: one object an interval, a row a device and layer', async (t) => {
  const { stdout } = await nestfront('top', '--json', '--count', '2', '--interval', '0.1');
  const ticks = stdout
    .trim()
    .split('\n')
    .map((line) => JSON.parse(line) as { rows: Row[]; ended: string[] });
  t.is(ticks.length, 2);
  const of = (kind: string): string[] =>
    ticks[1]!.rows.filter((row) => row.kind === kind).map((r) => `${r.layer} ${r.device}`);
  t.deepEqual(of('netrelay').sort(), ['H1 tap', 'H1 translate']);
  t.deepEqual(of('netback').sort(), ['H0 single', 'H0 tap', 'H0 translate']);
  t.deepEqual(of('blkfront'), ['H0 d']);
  const relay = ticks[1]!.rows.find((row) => row.kind === 'netrelay' && row.mode === 'translate');
  t.is(relay?.ring.rxPosted, 256, 'the guest posted its buffers, the relay handed them on');
});

for (const [keys, code] of [
  ['q', 0],
  ['\\x03', 130],
  ['TERM', 130],
] as const)
  (hasPty ? isolated : test.serial.skip)(
    `top leaves the terminal as it was: ${keys}`,
    async (t) => {
      const argv = ['-c', PTY, keys, process.execPath, cli, 'top', name, '--interval', '0.1'];
      const pty = await collected(spawn('python3', argv, { env }));
      t.deepEqual([pty.stdout.trim(), pty.stderr], [`${code} True 1 1 1`, '']);
    },
  );

test.serial('ping without raw-socket: one line with the remedy, and 3', async (t) => {
  const hook = join(runtime, 'hook.cjs');
  const code = `const M = require('node:module'); const load = M._load;
    M._load = (name, ...rest) => {
      if (name.includes('raw-socket')) throw new Error('gone');
      return load(name, ...rest);
    };`;
  writeFileSync(hook, code);
  const more = { env: { ...env, NODE_OPTIONS: `--require=${hook}` } };
  const { code: exit, stderr } = await collected(spawn(process.execPath, [cli, 'ping', 'x'], more));
  t.is(exit, 3);
  t.regex(stderr, /^nestfront: ping: npm raw-socket is not built here: .*npm install.*\n$/);
});

(canPing() ? isolated : test.serial.skip)('ping: latency, and probes that can fail', async (t) => {
  const without = await nestfront('ping', 'tap');
  t.is(without.code, 2);
  t.regex(without.stderr, /v0 of L0 has no address; give both ends one:\n {2}nestfront exec/);
  for (const [domain, host] of [
    ['L0', 1],
    ['L2', 2],
  ] as const) {
    const script = `ip addr add 10.9.0.${host}/24 dev v0 && ip link set v0 up`;
    const given = await nestfront('exec', `${name}/${domain}`, '--', 'sh', '-c', script);
    t.is(given.code, 0, given.stderr);
  }
  const good = await nestfront('ping', 'tap', '--count', '50', '--json', '--timeout', '20');
  t.is(good.code, 0, good.stdout + good.stderr);
  const result = JSON.parse(good.stdout) as {
    received: number;
    latencyNs: Record<string, number>;
    probes: { probe: string; ok: boolean }[];
  };
  t.is(result.received, 50);
  t.true(result.latencyNs['p50']! > 1000 && result.latencyNs['max']! >= result.latencyNs['p99']!);
  t.is(result.probes.length, 12);
  const allow =
    'cd /proc/sys/net/ipv4/conf; for i in all v0; do echo 1 > $i/accept_source_route; done';
  await nestfront('exec', `${name}/L0`, '--', 'sh', '-c', allow);
  const bad = await nestfront('ping', 'tap', '--count', '1', '--json', '--timeout', '20');
  t.is(bad.code, 1, 'a packet that must be dropped is answered now');
  const { probes } = JSON.parse(bad.stdout) as typeof result;
  t.deepEqual(
    probes.filter((probe) => !probe.ok).map((probe) => probe.probe),
    ['source-route'],
  );
});

isolated('report: everything in one file, and nobody in it', async (t) => {
  const file = join(runtime, 'report.txt');
  const made = await nestfront('report', '-o', file);
  t.deepEqual([made.code, made.stdout], [0, `${file}\n`], made.stderr);
  t.is(statSync(file).mode & 0o777, 0o600);
  const text = readFileSync(file, 'utf8');
  for (const part of ['versions and machine', 'doctor', 'ls --tree', `stack ${name}: H1`])
    t.true(text.includes(`\n== ${part}`), part);
  t.regex(text, /device\/vif\/0\/state = "4"/);
  t.regex(text, /H1 L1 netrelay/);
  t.regex(text, /last log lines\n20.*domain 0 \(L0\) created/);
  t.notRegex(text, /could not be had/);
  t.notRegex(text, /00:16:3e(:[0-9a-f]{2}){3}/, 'a whole MAC');
  t.notRegex(text, new RegExp(`(?<![\\w-])${hostname()}(?![\\w-])`), 'the name of this machine');
  const again = await nestfront('report', '-o', file);
  t.is(again.code, 2);
  t.regex(again.stderr, /is there already; give another --output/);
});

test.serial('bench:js: every case is timed', async (t) => {
  const file = join(runtime, 'js.json');
  const program = join(packageRoot(), 'dist/bench/js.js');
  const argv = [program, '--seconds', '0.02', '--json', file];
  const run = await collected(spawn(process.execPath, argv, { env }));
  t.is(run.code, 0, run.stderr);
  const report = JSON.parse(readFileSync(file, 'utf8')) as {
    environment: { node: string };
    results: { name: string; eachNs: number; callNs: { samples: number } }[];
  };
  t.is(report.environment.node, process.version);
  for (const what of ['counters: ', 'config: ', 'crossing: '])
    t.true(report.results.filter((r) => r.name.startsWith(what)).length >= 3, what);
  for (const { name: one, eachNs, callNs } of report.results)
    t.true(eachNs > 0 && callNs.samples >= 5, one);
});

isolated('top ends when its reader goes, and says when the stack ends', async (t) => {
  const argv = [cli, 'top', name, '--json', '--interval', '0.1'];
  const watcher = spawn(process.execPath, argv, { env });
  const watched = collected(watcher);
  await onceHeard(watcher);
  const reader = spawn(process.execPath, [cli, 'top', name, '--interval', '0.1'], { env });
  const left = collected(reader);
  await onceHeard(reader);
  reader.stdout.destroy(); // EPIPE
  const { code, stderr } = await left;
  t.deepEqual([code, stderr], [0, '']);

  t.is((await nestfront('down', name)).code, 0);
  const end = await watched;
  t.deepEqual([end.code, end.stderr], [0, `nestfront: ${name} has ended\n`]);
  const last = JSON.parse(end.stdout.trim().split('\n').at(-1)!) as { ended: string[] };
  t.deepEqual(last.ended, [name]);
});
