// SPDX-License-Identifier: MIT
// TCP towards L2: the receive test of the xCloud paper, with its 16,384-byte messages.
import { tcp } from './lib/tcp.js';
import type { Scenario } from './tcp_stream.js';

export const tcpMaerts: Scenario = (paths, session, o) =>
  tcp(paths, session, { messageBytes: 16_384, ...o, test: 'TCP_MAERTS' });
