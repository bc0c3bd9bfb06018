// SPDX-License-Identifier: MIT
// iperf3, where it is installed: an outside opinion beside our own harness. It verifies nothing.
import { once } from 'node:events';
import { setTimeout as sleep } from 'node:timers/promises';
import { z } from 'zod';
import { NestfrontError } from '../errors.js';
import type { Runner } from './netperf.js';

const sum = z.object({ bits_per_second: z.number(), retransmits: z.number().optional() });
const reportSchema = z.object({
  error: z.string().optional(),
  end: z.object({ sum_sent: sum.optional(), sum_received: sum.optional() }),
});

export interface Iperf3Result {
  bitsPerSecond: number;
  retransmits: number;
}

const START_TRIES = 20;

/** False where iperf3 is not installed. */
export async function hasIperf3(runner: Runner): Promise<boolean> {
  const { code } = await runner.exec(['/bin/sh', '-c', 'command -v iperf3'], { timeoutMs: 5000 });
  return code === 0;
}

/**
 * One TCP stream from `client` to `server`, or back with `reverse`.
 * @param host the server's address
 * @throws NestfrontError `NF_EIO` with iperf3's own words
 */
export async function iperf3(
  client: Runner,
  server: Runner,
  host: string,
  options: { seconds: number; reverse?: boolean },
): Promise<Iperf3Result> {
  const daemon = server.spawn(['iperf3', '--server', '--one-off', '--json']);
  daemon.stdout?.resume();
  const gone = once(daemon, 'exit');
  try {
    const argv = ['iperf3', '--client', host, '--json', '--time', String(options.seconds)];
    if (options.reverse === true) argv.push('--reverse');
    let said = '';
    for (let tries = 0; tries < START_TRIES; tries++) {
      const timeoutMs = options.seconds * 1000 + 10_000;
      const { stdout, stderr } = await client.exec(argv, { timeoutMs });
      const report = reportSchema.safeParse(JSON.parse(stdout || '{"end":{}}'));
      const end = report.success ? report.data.end : {};
      if (end.sum_received)
        return {
          bitsPerSecond: end.sum_received.bits_per_second,
          retransmits: end.sum_sent?.retransmits ?? 0,
        };
      said = (report.success ? report.data.error : undefined) ?? stderr;
      if (!/refused|unable to connect/i.test(said)) break; // it listens a moment after it started
      await sleep(50);
    }
    throw new NestfrontError('NF_EIO', 'iperf3', said.trim() || 'it reported nothing');
  } finally {
    if (daemon.exitCode === null && daemon.signalCode === null) daemon.kill('SIGTERM');
    await gone;
  }
}
