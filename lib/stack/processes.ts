// SPDX-License-Identifier: MIT
import { readFileSync } from 'node:fs';
import { setTimeout as sleep } from 'node:timers/promises';

/** A process named so that a later one with the same pid is not taken for it. */
export interface ProcessId {
  readonly pid: number;
  /** Start time in clock ticks since boot, field 22 of /proc/PID/stat. */
  readonly start: string;
}

/** Start time of a process, `undefined` when there is none of that pid or it is a zombie. */
export function processStart(pid: number): string | undefined {
  let stat: string;
  try {
    stat = readFileSync(`/proc/${pid}/stat`, 'utf8');
  } catch {
    return undefined; // gone: the only answer this question has
  }
  const fields = stat.slice(stat.lastIndexOf(')') + 2).split(' ');
  return fields[0] === 'Z' || fields[0] === 'X' ? undefined : fields[19];
}

/** Names a running process; `undefined` when it has ended already. */
export function identify(pid: number): ProcessId | undefined {
  const start = processStart(pid);
  return start === undefined ? undefined : { pid, start };
}

export function isAlive(id: ProcessId): boolean {
  return processStart(id.pid) === id.start;
}

/** Sends a signal if the very same process still runs; false when it does not. */
export function signal(id: ProcessId, name: NodeJS.Signals): boolean {
  if (!isAlive(id)) return false;
  try {
    process.kill(id.pid, name);
    return true;
  } catch (error) {
    if ((error as NodeJS.ErrnoException).code === 'ESRCH') return false;
    throw error;
  }
}

/** Waits until all have ended; false when some are left after `milliseconds`. */
export async function waitGone(ids: readonly ProcessId[], milliseconds: number): Promise<boolean> {
  const deadline = performance.now() + milliseconds;
  for (;;) {
    if (!ids.some(isAlive)) return true;
    if (performance.now() >= deadline) return false;
    await sleep(10);
  }
}
