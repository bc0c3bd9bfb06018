// SPDX-License-Identifier: MIT
// Between `nestfront ping` and its prober inside a domain: a JSON line each way.

export type Order =
  | {
      readonly op: 'latency';
      readonly count: number;
      readonly intervalMs: number;
      readonly bytes: number;
      readonly timeoutMs: number;
    }
  | { readonly op: 'probe'; readonly name: string; readonly timeoutMs: number };

export interface LatencyAnswer {
  readonly sent: number;
  readonly duplicates: number;
  readonly corrupted: number;
  /** Replies that came after they were given up. */
  readonly late: number;
  readonly rttNs: readonly number[];
}

export interface ProbeAnswer {
  readonly seen: 'echo' | 'unreachable' | 'tcp' | 'none';
  /** An echo sent after the probe came back: the path was there. */
  readonly isFenced: boolean;
  /** The reply brought the bytes that were sent. */
  readonly isIntact: boolean;
  /** IP options of the reply. */
  readonly options: readonly number[];
}
