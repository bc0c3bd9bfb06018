// SPDX-License-Identifier: MIT
// TCP from L2's kernel to the outside's, through a TAP with offloads at each end.
import { tcp, type TcpOptions } from './lib/tcp.js';
import type { Result, Skipped } from './lib/schema.js';
import type { TcpPath } from './lib/tcppaths.js';
import type { WindowSession } from './lib/windows.js';

export type Scenario = (
  paths: readonly TcpPath[],
  session: WindowSession,
  o: Omit<TcpOptions, 'test'>,
) => Promise<{ results: Result[]; skipped: Skipped[] }>;

export const tcpStream: Scenario = (paths, session, o) =>
  tcp(paths, session, { messageBytes: 16_384, ...o, test: 'TCP_STREAM' });
