// SPDX-License-Identifier: MIT
// The commands that look into one running stack: shell, grants, evtchn, store, restart.
import { existsSync } from 'node:fs';
import test from 'ava';
import type { ExecutionContext } from 'ava';
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
