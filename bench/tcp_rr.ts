// SPDX-License-Identifier: MIT
// Request and response of one byte each over one TCP connection: what a wake-up costs.
import { tcp } from './lib/tcp.js';
import type { Scenario } from './tcp_stream.js';

export const tcpRr: Scenario = (paths, session, o) =>
  tcp(paths, session, { messageBytes: 1, ...o, test: 'TCP_RR' });
