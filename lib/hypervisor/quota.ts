// SPDX-License-Identifier: MIT
import { Refusal } from './refusal.js';

/**
 * What one domain may hold. Pages taken back from it that it still maps count as its own. Arenas,
 * unbound ports and donations cost the hypervisor a descriptor each: about 1,100 at most.
 */
export const QUOTA = {
  arenas: 512,
  /** 256 MiB */
  pages: 65536,
  grefs: 16384,
  /** Grants of others it maps; each counts as often as it is mapped. */
  mappings: 65536,
  ports: 256,
  connections: 16,
  storeConnections: 16,
  donations: 256,
  /** Sustained requests per second, and how many may come at once. */
  messagesPerSecond: 20000,
  messagesBurst: 40000,
} as const;

/** A driver domain maps what all its guests grant it, and has an end of all their channels. */
const DRIVER = { mappings: 32, ports: 32 } as const;

/** How much of it a domain may have. */
export function quotaOf(what: keyof typeof QUOTA, privileged: boolean): number {
  const times = what === 'mappings' || what === 'ports' ? DRIVER[what] : 1;
  return QUOTA[what] * (privileged ? times : 1);
}

/** Throws EDQUOT when `used + more` exceeds the quota. */
export function charge(what: keyof typeof QUOTA, used: number, more = 1, privileged = false): void {
  const most = quotaOf(what, privileged);
  if (used + more <= most) return;
  throw new Refusal('EDQUOT', `${what}: ${used} of ${most} in use, ${more} more wanted`);
}

/** A token bucket: how long a domain that talks too much must wait. */
export class Throttle {
  #tokens: number = QUOTA.messagesBurst;
  #at = performance.now();

  /** Takes one token; > 0: milliseconds to stop listening for. */
  take(): number {
    const now = performance.now();
    const gained = ((now - this.#at) / 1000) * QUOTA.messagesPerSecond;
    this.#tokens = Math.min(QUOTA.messagesBurst, this.#tokens + gained);
    this.#at = now;
    this.#tokens -= 1;
    return this.#tokens >= 0 ? 0 : 50;
  }
}
