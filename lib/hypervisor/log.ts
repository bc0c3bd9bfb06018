// SPDX-License-Identifier: MIT

/** One line to stderr per event. What a peer wrote is cut and cleaned before it comes here. */
export type Log = (line: string) => void;

export function stderrLog(name: string): Log {
  return (line) => process.stderr.write(`${name}: ${line}\n`);
}

/** At most `perSecond` lines a second; tells how many it left out. */
export function limited(log: Log, perSecond: number): Log {
  let second = 0;
  let lines = 0;
  let dropped = 0;
  return (line) => {
    const now = Math.floor(performance.now() / 1000);
    if (now !== second) {
      if (dropped > 0) log(`${dropped} lines left out`);
      second = now;
      lines = 0;
      dropped = 0;
    }
    if (lines++ < perSecond) log(line);
    else dropped++;
  };
}
