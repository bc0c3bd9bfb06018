// SPDX-License-Identifier: MIT
// Set-ups to compare: one stack a path, all up at once, their pollers asleep but for the one whose
// window it is; and the two limits without a driver.
import { availableParallelism } from 'node:os';
import { Stack } from '../../lib/stack/stack.js';
import type { StackDevice } from '../../lib/stack/devices.js';
import type { DevicePath, StackConfig } from '../../lib/stack/schema.js';
import type { StackDomain } from '../../lib/stack/domain.js';
import type { Skipped } from './schema.js';
import { WindowSession, type WindowDomain, type WindowVariant } from './windows.js';

/** One set-up to measure. `name` tells it from the others in the windows. */
export interface VariantSpec {
  name: string;
  path: DevicePath;
  grants?: 'static' | 'copy';
  queues?: number;
}

export interface Variant extends VariantSpec {
  stack: Stack;
  device: StackDevice;
  window: WindowVariant;
}

/** Which CPU each role's poller is on: two share one where there are only two. */
export interface Placement {
  front: number;
  back: number;
  relay: number;
}

/** @param wanted the user's `--cpus`, in the order front, back, relay */
export function placement(wanted: readonly number[] = []): Placement {
  const cores = availableParallelism();
  const [front = 0, back = Math.min(1, cores - 1), relay = cores > 2 ? 2 : back] = wanted;
  return { front, back, relay };
}

export const LIMITS = ['bare_ring', 'copy_limit'] as const;

export interface RigOptions {
  placement: Placement;
  notify?: 'poll' | 'adaptive' | 'event';
  limits?: boolean;
  signal?: AbortSignal;
  notice?: (line: string) => void;
  /** Each line the stacks' processes log. */
  log?: (line: string) => void;
}

/** How many processes move the data of a path. */
export const processesOf = (path: DevicePath): number =>
  path === 'single' || path === 'direct' ? 2 : 3;

let serial = 0;

function configOf(spec: VariantSpec, o: RigOptions): StackConfig {
  const { front, back, relay } = o.placement;
  serial += 1;
  return {
    name: `bench-${process.pid}-${serial}`,
    notify: o.notify ?? 'poll',
    cpus: { front, back, relay },
    devices: [
      { name: 'net0', path: spec.path, grants: spec.grants ?? 'static', queues: spec.queues ?? 1 },
    ],
  };
}

const windowDomain = (d: StackDomain): WindowDomain => ({
  name: d.name,
  pid: d.pid,
  controlFd: d.controlFd,
  countersFd: d.countersFd,
});

async function bringUp(spec: VariantSpec, o: RigOptions): Promise<Variant> {
  const options = {
    ...(o.signal && { signal: o.signal }),
    ...(o.notice && { notice: o.notice }),
    ...(o.log && { log: o.log }),
  };
  const stack = await Stack.up(configOf(spec, o), options);
  const device = stack.device('net0');
  const domains = new Map(stack.domains.map((d) => [d, windowDomain(d)]));
  const front = domains.get(device.front);
  const back = domains.get(device.back);
  if (!front || !back) throw new TypeError('a device has no ends');
  const { placement } = o;
  const cpus = [placement.front, placement.back];
  if (processesOf(spec.path) === 3) cpus.push(placement.relay);
  const busy = new Set(cpus).size;
  const window = { name: spec.name, front, back, domains: [...domains.values()], busy };
  for (const d of stack.domains) d.control.park(true);
  return { ...spec, stack, device, window };
}

function whySkipped(spec: VariantSpec, s: PromiseSettledResult<Variant> | undefined): Skipped[] {
  if (s?.status !== 'rejected') return [];
  const reason = s.reason instanceof Error ? s.reason.message : String(s.reason);
  return [{ bench: 'pps', path: spec.name, reason, remedy: 'nestfront doctor; NESTFRONT_DEBUG=1' }];
}

/** Stacks that are up and the session that measures them. Everything goes with {@link close}. */
export class Rig implements AsyncDisposable {
  readonly variants: ReadonlyMap<string, Variant>;
  readonly session: WindowSession;
  readonly placement: Placement;
  readonly limits: boolean;
  readonly notify: 'poll' | 'adaptive' | 'event';
  /** Set-ups that did not come up. */
  readonly skipped: Skipped[] = [];

  private constructor(variants: Variant[], session: WindowSession, o: RigOptions) {
    this.variants = new Map(variants.map((v) => [v.name, v]));
    this.session = session;
    this.placement = o.placement;
    this.limits = o.limits !== false;
    this.notify = o.notify ?? 'poll';
  }

  /**
   * Set-ups that do not come up are told in `skipped`; the others run.
   * @throws the first failure when none comes up, or on abort; nothing is left behind
   */
  static async up(specs: readonly VariantSpec[], o: RigOptions): Promise<Rig> {
    const settled = await Promise.allSettled(specs.map((s) => bringUp(s, o)));
    const variants = settled.flatMap((s) => (s.status === 'fulfilled' ? [s.value] : []));
    try {
      const failed = settled.find((s) => s.status === 'rejected');
      if (failed && (variants.length === 0 || o.signal?.aborted === true)) throw failed.reason;
      const { front, back } = o.placement;
      const session = await WindowSession.start(
        variants.map((v) => v.window),
        [front, back],
      );
      const rig = new Rig(variants, session, o);
      rig.skipped.push(...specs.flatMap((spec, i) => whySkipped(spec, settled[i])));
      if (rig.limits) for (const name of LIMITS) await session.addLocal(name);
      return rig;
    } catch (error) {
      await Promise.allSettled(variants.map((v) => v.stack.close()));
      throw error;
    }
  }

  async close(): Promise<void> {
    await this.session.close();
    await Promise.all([...this.variants.values()].map((v) => v.stack.close()));
  }

  [Symbol.asyncDispose](): Promise<void> {
    return this.close();
  }
}
