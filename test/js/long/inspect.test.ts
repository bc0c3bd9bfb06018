// SPDX-License-Identifier: MIT
// The commands that look into one running stack: shell, grants, evtchn, store, restart.
import { existsSync } from 'node:fs';
import { join } from 'node:path';
import test from 'ava';
import type { ExecutionContext } from 'ava';
import { RemoteStack } from '../../../lib/index.js';
import { isolationRefused } from '../../../lib/stack/mounts.js';
import { CommandLine } from '../helpers/cli.js';
import type { Running } from '../helpers/cli.js';
import * as e from '../helpers/stacks.js';

const isolated = isolationRefused() === undefined ? test.serial : test.serial.skip;
const SCRIPT = '/usr/bin/script'; // of bsdutils: a terminal for what it runs
const cli = new CommandLine();
/** A command line no other test has. */
const SLEEP = `sleep\x009${process.pid}`;
const name = `look-${process.pid}`;

test.before(async (t) => {
  if (isolationRefused() !== undefined) return;
  const devices = e.genDevices(e.PATHS);
  const { code, stderr } = await cli.run([
    'up',
    cli.file({ name, isolation: 'on', devices } as { name: string }),
    '--detach',
  ]);
  t.is(code, 0, stderr);
});

test.after.always(async () => {
  await cli.run(['down', name]);
  cli.remove();
});

/** Types a line once it is asked for; what was written since. */
async function type(
  t: ExecutionContext,
  { child, answer }: Running,
  prompt: string,
  line: string,
): Promise<void> {
  const asks = (): boolean => answer.stdout.trimEnd().endsWith(prompt.trimEnd());
  await e.eventually(t, asks, `the prompt ${prompt} after ${answer.stdout.slice(-300)}`, 30_000);
  const from = answer.stdout.length;
  child.stdin!.write(line);
  await e.eventually(t, () => answer.stdout.length > from, 'its echo', 30_000);
}

isolated('shell: reads its input inside the domain and passes its exit code on', async (t) => {
  const { code, stdout, stderr } = await cli.run(['shell', `${name}/L2`], 'hostname; exit 3\n');
  t.deepEqual([code, stdout, stderr], [3, 'L2\n', '']);
  const json = await cli.run(['shell', 'L1', '--program', '/bin/sh', '--json'], 'exit 0\n');
  t.deepEqual(JSON.parse(json.stdout), { domain: 'L1', code: 0 });
  const none = await cli.run(['shell', 'L9']);
  t.is(none.code, 2);
  t.regex(none.stderr, new RegExp(`no domain "L9"; there are .*${name}/L2`));
  t.is((await cli.run(['shell', 'L2', '--program', '/bin/nothing'])).code, 127);
});

(existsSync(SCRIPT) ? isolated : test.serial.skip)(
  'shell on a terminal: a prompt that says where, Ctrl-C for what it runs, the terminal back',
  async (t) => {
    const words = [...cli.words, 'shell', 'L2', '--program', '/bin/sh'].join(' ');
    const after = 'read line < /dev/tty; echo "outside: $line"';
    const running = cli.spawn(SCRIPT, '-qefc', `${words}; echo "it was $?"; ${after}`, '/dev/null');
    t.teardown(() => running.child.kill('SIGKILL'));
    t.teardown(() => t.passed || t.log(running.answer));
    const prompt = `${name}/L2#`;
    await type(t, running, prompt, 'hostname\n');
    await type(t, running, prompt, `echo begun; sleep 9${process.pid}\n`);
    const { answer, child } = running;
    await e.eventually(t, () => /begun\r$/m.test(answer.stdout), 'it runs', 30_000);
    await e.eventually(t, () => e.processesWith(SLEEP).length > 0, 'sleep', 30_000);
    child.stdin!.write('\x03');
    await type(t, running, prompt, 'exit 7\n');
    await e.eventually(t, () => answer.stdout.includes('it was 7'), answer.stdout, 30_000);
    child.stdin!.write('typed\n');
    const { code, stdout } = await running.ended;
    t.is(code, 0, stdout);
    t.regex(stdout, /^L2\r$/m);
    t.regex(stdout, /^outside: typed\r$/m);
    t.deepEqual(e.processesWith(SLEEP), []);
  },
);

isolated('up says what to paste, and it works', async (t) => {
  const other = `paste-${process.pid}`;
  const devices = e.genDevices(['single']);
  const { stdout } = await cli.run(['up', cli.file({ name: other, devices } as never), '--detach']);
  const line = stdout.trimEnd().split('\n').at(-1)!.trim();
  t.regex(line, new RegExp(`^npx nestfront net set ${other} single --mode send`));
  const typed = line.replaceAll('npx nestfront', cli.words.join(' '));
  const sh = await cli.spawn('/bin/sh', '-c', typed).ended;
  t.is(sh.code, 0, sh.stderr);
  t.regex(sh.stdout, /sink_packets|tx_packets|netback 0/);
  t.is((await cli.run(['down', other])).code, 0);
});

interface Listed {
  layer: string;
  domain: string;
  from: string;
  to: string;
  use: string;
  pages: number;
  mapped: number;
  access: string;
  state: string;
  donated: boolean;
}

isolated('grants list, evtchn list: what devices have between their domains', async (t) => {
  const { grants } = await cli.json<{ grants: Listed[] }>('grants', 'list', `${name}/L2`);
  t.true(grants.length > 0);
  for (const grant of grants) t.deepEqual([grant.layer, grant.from, grant.to], ['H1', 'L2', 'L1']);
  const payload = grants.filter(({ use }) => use === 'tx-payload');
  t.is(payload.length, 3, 'copy, translate, direct');
  for (const { access, mapped, pages } of payload) {
    t.is(access, 'read', 'which L1 may not write');
    t.true(mapped <= pages);
  }
  t.deepEqual(payload.map(({ donated }) => donated).sort(), [false, true, true]);
  const both = await cli.json<{ grants: Listed[] }>('grants', 'list', 'L1');
  t.deepEqual([...new Set(both.grants.map((g) => g.layer))].sort(), ['H0', 'H1'], 'L1 has two');
  const { channels } = await cli.json<{ channels: Listed[] }>('evtchn', 'list');
  t.true(channels.some((c) => c.domain === 'guest' && c.to === 'L0' && c.state === 'bound'));
  t.regex((await cli.run(['grants', 'list'])).stdout, /^stack +on +from +to +device +for/);
  t.regex((await cli.run(['evtchn', 'list'])).stdout, /^stack +on +domain +port +to +state/);
  t.is((await cli.run(['grants', 'list', 'L9'])).code, 2);
});

isolated('store: ls, read, write, watch, rm, and what is refused', async (t) => {
  const node = `/local/domain/0/backend/vif`;
  const { nodes } = await cli.json<{ nodes: { path: string; value: string }[] }>(
    ...['store', 'ls', name, node],
  );
  t.is(nodes.filter(({ path, value }) => path.endsWith('/state') && value === '4').length, 4);
  const inner = await cli.run(['store', 'read', name, '/local/domain/1/name', '--layer', 'H1']);
  t.deepEqual([inner.code, inner.stdout], [0, 'L2\n'], inner.stderr);
  t.is((await cli.run(['store', 'write', name, '/tool/mine', 'a "b"'])).code, 0);
  t.is((await cli.run(['store', 'read', name, '/tool/mine'])).stdout, 'a "b"\n');
  t.is((await cli.run(['store', 'ls', name, '/tool/mine'])).stdout, '/tool/mine = "a \\"b\\""\n');
  const watching = cli.start('store', 'watch', name, '/tool/mine', '--count', '2');
  const first = (): boolean => watching.answer.stdout.startsWith('/tool/mine\n');
  await e.eventually(t, first, 'the first event', 30_000);
  t.is((await cli.run(['store', 'rm', name, '/tool/mine'])).code, 0);
  t.is((await watching.ended).stdout, '/tool/mine\n/tool/mine\n');
  for (const [args, said] of [
    [['rm', name, '/tool/mine'], /ENOENT/],
    [['read', name, 'tool'], /from the root/],
    [['read', 'nothing', '/tool'], /no stack "nothing"/],
    [['ls', name, '/', '--layer', 'H2'], /--layer is H2/],
    [['watch', name, '/tool', '--count', 'x'], /--count is x/],
  ] as const) {
    const { code, stderr } = await cli.run(['store', ...args]);
    t.is(code, 2, args.join(' '));
    t.regex(stderr, said);
  }
});

isolated('restart: drivers and hypervisors anew; devices come and go after that', async (t) => {
  for (const what of ['H0', 'H1', 'L1']) {
    const answer = await cli.json<{ pid: number }>('restart', name, what);
    t.true(answer.pid > 1, what);
    await using remote = await RemoteStack.connect(name, join(cli.runtime, 'nestfront'));
    for (const path of e.PATHS) {
      const { devid } = await remote.attach({ name: `x-${path}`, path });
      t.true(devid > 3, `${path} after ${what}`);
      await remote.detach(`x-${path}`);
    }
  }
  const none = await cli.run(['restart', name, 'L9']);
  t.is(none.code, 2);
  t.regex(none.stderr, /no domain "L9"; there are/);
});
