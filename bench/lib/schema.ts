// SPDX-License-Identifier: MIT
// The results file others parse. Names and meanings are stable; fields may be added.
import { z } from 'zod';

const count = z.number().nonnegative();

const spread = z.object({ median: count, min: count, max: count, samples: z.int().positive() });

const interval = z.object({
  median: count,
  low: count,
  high: count,
  pairs: z.int().nonnegative(),
});

const ratio = interval.extend({
  class: z.enum(['near', 'far']).optional(),
  byClass: z.object({ near: interval.optional(), far: interval.optional() }).optional(),
});

const latency = z.object({ p50: count, p99: count, p999: count, max: count });

export const BENCHES = [
  'pps',
  'bare_ring',
  'copy_limit',
  'rtt',
  'tcp_stream',
  'tcp_maerts',
  'tcp_rr',
  'line',
  'seq_write',
  'seq_read',
  'rand_write',
  'rand_read',
] as const;
export const PATHS = ['native', 'splice', 'single', 'copy', 'translate', 'direct', 'mux'] as const;

export const resultSchema = z.object({
  bench: z.enum(BENCHES),
  /** Absent on bare_ring and copy_limit, which go through no device. */
  path: z.enum(PATHS).optional(),
  depth: z.int().min(0).max(2),
  provider: z.enum(['nestfront', 'stock']).optional(),
  grants: z.enum(['static', 'persistent', 'copy', 'map']).optional(),
  direction: z.enum(['tx', 'rx']).optional(),
  frameBytes: z.int().positive().optional(),
  messageBytes: z.int().positive().optional(),
  blockBytes: z.int().positive().optional(),
  queueDepth: z.int().positive().optional(),
  queues: z.int().positive().optional(),
  /** Where a disk's sectors are. */
  port: z.enum(['file', 'block', 'mem', 'null', 'nbd']).optional(),
  cache: z.enum(['direct', 'buffered', 'none']).optional(),
  /** Whose loop `native` is. */
  nativeBy: z.enum(['fio', 'own']).optional(),
  batch: z.int().positive().optional(),
  notify: z.enum(['poll', 'adaptive', 'event']).optional(),
  tool: z.enum(['nf-window', 'nf-netperf', 'iperf3']).optional(),
  isolated: z.boolean().optional(),
  /** Every byte of every frame was checked, in place of one frame in 1,024. */
  verifyAll: z.boolean().optional(),
  confined: z.boolean().optional(),
  cpus: z.record(z.string(), z.array(z.int())),
  pids: z.record(z.string(), z.int()),
  dataProcesses: z.int().nonnegative(),
  packetsPerSecond: spread.optional(),
  bitsPerSecond: spread.optional(),
  bytesPerSecond: spread.optional(),
  operationsPerSecond: spread.optional(),
  transactionsPerSecond: spread.optional(),
  latencyNs: latency.optional(),
  latencyByClass: z.object({ near: latency.optional(), far: latency.optional() }).optional(),
  ratioToSingle: ratio.optional(),
  ratioToNative: ratio.optional(),
  /** `line`: of the rounds in which the plain sender filled the link. */
  ratioToNativeWhereFull: ratio.optional(),
  ratioToSplice: ratio.optional(),
  ratioToLimit: ratio.optional(),
  /** Which limit: the bare ring at 60 bytes, the copy limit otherwise. */
  limit: z.enum(['bare_ring', 'copy_limit']).optional(),
  noisy: z.boolean().optional(),
  /** Other programs had the CPUs in its windows: rates and ratios are not ours. */
  disturbed: z.boolean().optional(),
  class: z.enum(['near', 'far']).optional(),
  hopNs: count.optional(),
  copiesPerPacket: count.optional(),
  grantOpsPerPacket: count.optional(),
  notificationsPerPacket: count.optional(),
  cpuSecondsPerGigabyte: count.optional(),
  /** CPU time by process, ns a packet. */
  cpuNsPerPacket: z.record(z.string(), count).optional(),
  lost: z.int().nonnegative().optional(),
  duplicated: z.int().nonnegative().optional(),
  reordered: z.int().nonnegative().optional(),
  corrupted: z.int().nonnegative().optional(),
  verified: z.int().nonnegative().optional(),
  tapDrops: z.int().nonnegative().optional(),
  retransmits: z.int().nonnegative().optional(),
  seconds: z.number().positive(),
  repetitions: z.int().positive(),
  windowsDropped: z.record(z.string(), z.int()).optional(),
});
export type Result = z.infer<typeof resultSchema>;

export const skippedSchema = z.object({
  bench: z.string(),
  path: z.string().optional(),
  reason: z.string(),
  remedy: z.string(),
});
export type Skipped = z.infer<typeof skippedSchema>;

export const environmentSchema = z.object({
  revision: z.string(),
  version: z.string(),
  cpu: z.string(),
  cores: z.int().positive(),
  kernel: z.string(),
  node: z.string(),
  flags: z.array(z.string()),
  loadAverage: z.array(z.number()),
  start: z.string(),
  end: z.string(),
  user: z.enum(['root', 'ordinary']),
});
export type Environment = z.infer<typeof environmentSchema>;

export const reportSchema = z.object({
  schemaVersion: z.literal(1),
  environment: environmentSchema,
  results: z.array(resultSchema),
  skipped: z.array(skippedSchema),
});
export type Report = z.infer<typeof reportSchema>;
