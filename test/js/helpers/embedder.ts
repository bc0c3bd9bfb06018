// SPDX-License-Identifier: MIT
// A program that embeds us, for tests to watch. `embedder.js gc NAME` runs a stack under load and
// collects a large heap, again and again; `embedder.js drive NAME` drives a stack that is there.
// Both say what they saw as JSON lines.
import { once } from 'node:events';
import { RemoteStack, Stack } from '../../../lib/index.js';
import { drivenName, type Pause } from './embedderfacts.js';
import { atBack, genDevices, generated, PATHS, sunk } from './stacks.js';

const OBJECTS = 2_000_000;
const PAUSES = 6;
/** Shorter ones show nothing: they are over before a busy machine gave every process its turn. */
const LONG_MS = 100;

function say(fact: unknown): void {
  process.stdout.write(`${JSON.stringify(fact)}\n`);
}

/** A heap that takes long to mark: a list, every entry of which is to be visited. */
function heap(): { next: unknown; i: number } {
  let last = { next: undefined as unknown, i: 0 };
  for (let i = 1; i < OBJECTS; i++) last = { next: last, i };
  return last;
}

async function collect(name: string): Promise<void> {
  const { gc } = globalThis as { gc?: () => void };
  if (gc === undefined) throw new Error('run with --expose-gc');
  await using stack = await Stack.up({ name, isolation: 'on', devices: genDevices(PATHS) });
  for (const device of stack.devices) {
    device.front.control.order(device.devid, { mode: 'send', frameBytes: 1500 });
    while (sunk(device) < 1000) await new Promise((resolve) => setTimeout(resolve, 20));
  }
  const kept = heap();
  for (let i = 0; i < PAUSES; i++) {
    const before = stack.devices.map(sunk);
    const begin = performance.now();
    gc();
    const ms = performance.now() - begin;
    const moved = stack.devices.map((device, k) => sunk(device) - before[k]!);
    say({ ms, moved, isLong: ms >= LONG_MS } satisfies Pause);
  }
  if (kept.i !== OBJECTS - 1) throw new Error('the heap is gone');
  for (const device of stack.devices) {
    device.front.control.order(device.devid, { mode: 'idle' });
    for (let last = -1; sunk(device) !== last || generated(device) !== last; ) {
      last = sunk(device);
      await new Promise((resolve) => setTimeout(resolve, 100));
    }
    const back = atBack(device);
    say({ name: device.name, harm: back.sink_lost + back.sink_corrupted });
  }
}

async function drive(name: string): Promise<void> {
  const remote = await RemoteStack.connect(name);
  await remote.attach({ name: drivenName, path: 'translate' });
  await remote.order(drivenName, 'front', { mode: 'send', frameBytes: 1500 });
  say({ driven: drivenName });
  await once(process.stdin.resume(), 'end');
}

const [what, name] = process.argv.slice(2);
await (what === 'gc' ? collect : drive)(name!);
