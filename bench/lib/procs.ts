// SPDX-License-Identifier: MIT
// What /proc says of running processes.
import { readFileSync, readdirSync } from 'node:fs';

/** Memory of a process in KiB, what it shares divided among those that share it. */
export function pssKib(pid: number): number {
  const text = readFileSync(`/proc/${pid}/smaps_rollup`, 'utf8');
  return Number(/^Pss:\s+(\d+)/m.exec(text)?.[1] ?? NaN);
}

export function descriptors(pid: number): number {
  return readdirSync(`/proc/${pid}/fd`).length;
}

/** What all threads of some processes have run since each started. */
export interface Activity {
  /** Clock ticks of user and system time, hundredths of a second. */
  readonly ticks: number;
  readonly cpuNs: number;
  /** How often a thread gave its CPU up by itself: each wake-up that does not stay is one. */
  readonly sleeps: number;
}

function activityOf(pid: number): Activity {
  const sum = { ticks: 0, cpuNs: 0, sleeps: 0 };
  const stat = readFileSync(`/proc/${pid}/stat`, 'utf8');
  const fields = stat.slice(stat.lastIndexOf(')') + 2).split(' ');
  sum.ticks = Number(fields[11]) + Number(fields[12]);
  for (const task of readdirSync(`/proc/${pid}/task`)) {
    const of = (file: string): string => readFileSync(`/proc/${pid}/task/${task}/${file}`, 'utf8');
    sum.cpuNs += Number(of('schedstat').split(' ')[0]);
    sum.sleeps += Number(/^voluntary_ctxt_switches:\s+(\d+)/m.exec(of('status'))?.[1] ?? NaN);
  }
  return sum;
}

/** By process, in their order. */
export function activity(pids: readonly number[]): Activity[] {
  return pids.map(activityOf);
}

/** What happened between two looks, all together. */
export function between(before: readonly Activity[], after: readonly Activity[]): Activity {
  const sum = (key: keyof Activity): number =>
    after.reduce((total, a, i) => total + a[key] - before[i]![key], 0);
  return { ticks: sum('ticks'), cpuNs: sum('cpuNs'), sleeps: sum('sleeps') };
}
