// SPDX-License-Identifier: MIT
import { readFileSync, readdirSync } from 'node:fs';

/**
 * CPU time of all threads of a process so far, ns, user and system; undefined once it has ended.
 * From schedstat, which is exact where the kernel keeps it, else from stat in clock ticks.
 */
export function cpuNs(pid: number): number | undefined {
  try {
    let sum = 0;
    for (const task of readdirSync(`/proc/${pid}/task`)) {
      const text = readFileSync(`/proc/${pid}/task/${task}/schedstat`, 'utf8');
      sum += Number(text.split(' ')[0]);
    }
    return sum;
  } catch {
    return fromStat(pid);
  }
}

function fromStat(pid: number): number | undefined {
  try {
    const text = readFileSync(`/proc/${pid}/stat`, 'utf8');
    const fields = text.slice(text.lastIndexOf(')') + 2).split(' ');
    return (Number(fields[11]) + Number(fields[12])) * 1e7; // USER_HZ is 100 on Linux
  } catch {
    return undefined; // it has ended: nothing more to count
  }
}

/** Sum over processes that still run. */
export function cpuNsOf(pids: readonly number[]): number {
  return pids.reduce((sum, pid) => sum + (cpuNs(pid) ?? 0), 0);
}
