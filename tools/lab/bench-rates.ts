// SPDX-License-Identifier: MIT
/** What one frame costs, from counters: these figures do not depend on the emulator's speed. */
import type { PathName } from './bench.js';
import type { Sample } from './samples.js';

/** A frame is what crosses the vif, a GSO frame of 64 KB as one. */
export interface Rates {
  /** Events that arrived for the device, at both its ends, stock or ours: from /proc/interrupts. */
  eventsPerPacket?: number;
  /** Notifications our ends on Xen sent: one ioctl, one hypercall each. */
  notificationsPerPacket?: number;
  /** Grants copied, mapped and unmapped by our ends on Xen. */
  grantOpsPerPacket?: number;
  /** Hypercalls our ends on Xen caused on the data path: notifications, and copies by sixteen. */
  hypercallsPerPacket?: number;
  /** Processor time of our back. `system` is its system calls: TAP, grant copies, events. */
  backNanosecondsPerPacket?: { user: number; system: number };
}

const TICK_NS = 1e7; // USER_HZ is 100

/** Our ends that face Xen; the front of `nested` is on `embedded`. */
const FACING: Record<PathName, readonly string[]> = {
  'stock-stock': [],
  'stock-ours': ['back'],
  'ours-stock': ['front'],
  'ours-ours': ['front', 'back'],
  'no-tap': ['front', 'back'],
  nested: ['relay'],
};

/** Over all rounds of one path and bench. */
export function ratesOf(samples: readonly Sample[], path: PathName): Rates {
  const sum = (end: string, ...keys: readonly string[]): number =>
    samples.reduce((n, s) => n + keys.reduce((m, key) => m + (s.grown[end]?.[key] ?? 0), 0), 0);
  // without an interface our back's own count is what there is
  const frames = sum('vif', 'tx', 'rx') || sum('back', 'tx_packets', 'rx_packets');
  if (frames === 0) return {};
  const per = (n: number): number => Math.round((n / frames) * 1e4) / 1e4;
  const rates: Rates = { eventsPerPacket: per(sum('vif', 'events') + sum('guest', 'events')) };
  const ours = FACING[path];
  if (ours.length === 0) return rates;
  const total = (...keys: readonly string[]): number =>
    ours.reduce((n, end) => n + sum(end, ...keys), 0);
  rates.notificationsPerPacket = per(total('notify_sent'));
  rates.grantOpsPerPacket = per(total('grant_copies', 'grant_maps', 'grant_unmaps'));
  rates.hypercallsPerPacket = per(total('notify_sent', 'grant_copy_calls'));
  if (ours.includes('back'))
    rates.backNanosecondsPerPacket = {
      user: Math.round((sum('vif', 'user') * TICK_NS) / frames),
      system: Math.round((sum('vif', 'system') * TICK_NS) / frames),
    };
  return rates;
}
