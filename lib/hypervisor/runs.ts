// SPDX-License-Identifier: MIT
// Lists of numbers that mostly go up by one, in few words of JSON.

export type Runs = [first: number, count: number][];

export function toRuns(numbers: Iterable<number>): Runs {
  const runs: Runs = [];
  for (const number of numbers) {
    const last = runs.at(-1);
    if (last && last[0] + last[1] === number) last[1]++;
    else runs.push([number, 1]);
  }
  return runs;
}

export function fromRuns(runs: Runs): Uint32Array {
  const total = runs.reduce((sum, [, count]) => sum + count, 0);
  const out = new Uint32Array(total);
  let at = 0;
  for (const [first, count] of runs) for (let i = 0; i < count; i++) out[at++] = first + i;
  return out;
}
