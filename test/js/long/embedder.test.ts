// SPDX-License-Identifier: MIT
// What becomes of rings while the program that embeds us collects its garbage, or dies.
import { spawn, type ChildProcess } from 'node:child_process';
import { once } from 'node:events';
import { createInterface } from 'node:readline';
import { fileURLToPath } from 'node:url';
import test, { type ExecutionContext } from 'ava';
import { isolationRefused } from '../../../lib/stack/mounts.js';
import { drivenName, type Pause } from '../helpers/embedderfacts.js';
import * as e from '../helpers/stacks.js';

const isolated = isolationRefused() === undefined ? test.serial : test.serial.skip;
const PROGRAM = fileURLToPath(new URL('../helpers/embedder.js', import.meta.url));
const ENOUGH = 3;

/** Starts it; gone with the test. */
function embedder(t: ExecutionContext, ...args: readonly string[]): ChildProcess {
  const child = spawn(process.execPath, ['--expose-gc', PROGRAM, ...args], {
    stdio: ['pipe', 'pipe', 'inherit'],
  });
  const closed = once(child, 'close');
  t.teardown(async () => {
    child.kill('SIGKILL');
    await closed;
  });
  return child;
}

async function facts<T>(child: ChildProcess): Promise<T[]> {
  const all: T[] = [];
  for await (const line of createInterface({ input: child.stdout! }))
    all.push(JSON.parse(line) as T);
  return all;
}

isolated('collecting a large heap does not stall rings', async (t) => {
  t.timeout(300_000);
  const child = embedder(t, 'gc', `gc-${process.pid}`);
  const closed = once(child, 'close');
  const said = await facts<Pause & { name?: string; harm?: number }>(child);
  const [code] = (await closed) as [number | null];
  t.is(code, 0);
  const long = said.filter((fact) => fact.isLong);
  t.log(
    `${long.length} long pauses, the longest ${Math.max(...long.map((p) => p.ms)).toFixed(0)} ms`,
  );
  t.true(long.length >= ENOUGH, 'there were long pauses');
  e.PATHS.forEach((path, k) => {
    const flowed = long.filter((pause) => pause.moved[k]! > 100).length;
    t.true(flowed >= ENOUGH, `${path}: frames arrived in ${flowed} of ${long.length}`);
  });
  const ends = said.filter((fact) => fact.name !== undefined); // in the order in which they drained
  t.deepEqual(
    Object.fromEntries(ends.map(({ name, harm }) => [name!, harm])),
    Object.fromEntries(e.PATHS.map((path) => [path, 0])),
    'none lost, none wrong',
  );
});

isolated('a program that is killed does not stall the rings it drove', async (t) => {
  t.timeout(120_000);
  const stack = await e.up(t, { devices: e.genDevices(['translate']) });
  const child = embedder(t, 'drive', stack.name);
  const closed = once(child, 'close');
  const lines = createInterface({ input: child.stdout! });
  await once(lines, 'line');
  const device = stack.device(drivenName);
  await e.eventually(t, () => e.sunk(device) > 1000, 'its device flows', 30_000);
  child.kill('SIGKILL');
  await closed;
  const then = e.sunk(device);
  await e.eventually(t, () => e.sunk(device) > then + 10_000, 'and goes on', 30_000);
  await e.drain(t, device);
  const back = e.atBack(device);
  t.is(back.sink_lost + back.sink_corrupted, 0);
  await stack.detach(drivenName);
});
