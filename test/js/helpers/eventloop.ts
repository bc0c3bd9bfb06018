// SPDX-License-Identifier: MIT
// For how long an API call keeps the event loop from turning.

/** Now, and the CPU time of this process so far, ms. */
function look(): { readonly wall: number; readonly cpu: number } {
  const { user, system } = process.cpuUsage();
  return { wall: performance.now(), cpu: (user + system) / 1000 };
}

/** The longest turn of the loop, ms: by the clock, and what this process computed in one. */
export interface Blocked {
  readonly wall: number;
  readonly cpu: number;
}

/** Runs a call while the loop turns without a pause, and looks at each turn. */
export async function blocks(call: () => unknown): Promise<Blocked> {
  const longest = { wall: 0, cpu: 0 };
  let going = true;
  await new Promise((resolve) => setImmediate(resolve));
  let last = look();
  const turn = (): void => {
    const next = look();
    longest.wall = Math.max(longest.wall, next.wall - last.wall);
    longest.cpu = Math.max(longest.cpu, next.cpu - last.cpu);
    last = next;
    if (going) setImmediate(turn);
  };
  setImmediate(turn);
  try {
    await call();
    await new Promise((resolve) => setImmediate(resolve)); // the turn it ended in
  } finally {
    going = false;
  }
  return longest;
}

/** The best of several: what a call costs when nobody disturbs it. */
export function best(all: readonly Blocked[]): Blocked {
  return {
    wall: Math.min(...all.map(({ wall }) => wall)),
    cpu: Math.min(...all.map(({ cpu }) => cpu)),
  };
}
