// SPDX-License-Identifier: MIT
import { setTimeout as sleep } from 'node:timers/promises';
import { throwIfAborted } from '../api/check.js';
import type { Domain } from '../api/domain.js';
import { NetLink } from '../api/net.js';
import type { NetOptions } from '../api/netnodes.js';
import { Relay } from '../api/relay.js';
import type { WaitOptions } from '../api/until.js';
import { NestfrontError } from '../errors.js';
import type { StoreClient } from '../store/client.js';
import type { StackDomain } from './domain.js';
import type { PlannedDevice } from './plan.js';
import type { DomainRecord, LinkRecord } from './registry.js';
import { parseRate } from './rate.js';
import type { DevicePath } from './schema.js';

/** A device of a running stack. */
export interface StackDevice {
  readonly name: string;
  readonly path: DevicePath;
  /** Its number in every domain it touches; also its entry in their control pages. */
  readonly devid: number;
  readonly mac: string;
  /** Domain at the guest's end, and at the provider's. */
  readonly front: StackDomain;
  readonly back: StackDomain;
  /** Between the two, unless the path is `single`. */
  readonly relay: Relay | undefined;
  /** The link whose front is the guest's: the inner one of a nested device. */
  readonly link: NetLink;
}

/** What devices are attached to. */
export interface Places {
  readonly outerStore: StoreClient;
  readonly innerStore: StoreClient | undefined;
  readonly provider: StackDomain;
  /** L1 as H0 sees it, and as H1 does. */
  readonly tenantOutside: Domain | undefined;
  readonly tenantInside: Domain | undefined;
  /** Outer links that muxed devices share, by name. */
  readonly shared: Map<string, NetLink>;
}

/** Writes a device's nodes on one layer or on both; its drivers then connect. */
export async function attachDevice(
  planned: PlannedDevice,
  guest: StackDomain,
  places: Places,
): Promise<StackDevice> {
  const { config, devid, mac, name, path } = planned;
  const { mtu, queues, grants } = config;
  const front = { domain: guest.domain, port: config.front.port };
  const back = { domain: places.provider.domain, port: config.back.port };
  const same = { devid, mac, mtu, queues };
  const device = { name, path, devid, mac, front: guest, back: places.provider };
  const provided = { store: places.outerStore, grants, staticOnly: planned.staticOnly, ...same };
  if (path === 'single') {
    const link = await NetLink.attach({ ...provided, front, back });
    return { ...device, relay: undefined, link };
  }
  const { innerStore, tenantInside, tenantOutside } = places;
  if (innerStore === undefined || tenantInside === undefined || tenantOutside === undefined)
    throw new Error('a nested device in a stack without a tenant');
  const { shared } = planned;
  const found = shared === undefined ? undefined : places.shared.get(shared.name);
  const own: NetOptions = { ...provided, front: { domain: tenantOutside }, back };
  const outer =
    found ?? (shared === undefined ? own : { ...own, devid: shared.devid, mac: shared.mac });
  const rate = config.rate === undefined ? undefined : parseRate(config.rate);
  const inner: NetOptions = {
    store: innerStore,
    ...same,
    front,
    back: { domain: tenantInside },
    rate,
    ip: config.ip,
  };
  const relay = await Relay.attach({ mode: path, trustInner: config.trustInner, outer, inner });
  if (shared !== undefined) places.shared.set(shared.name, relay.outer);
  return { ...device, relay, link: relay.inner };
}

/**
 * Waits until a device's ends are Connected and the guest's driver has opened its port: it does so
 * last, so that a TAP is there for whoever was told that the device is.
 */
export async function connectDevice(device: StackDevice, options: WaitOptions): Promise<void> {
  const deadline = performance.now() + (options.timeoutMs ?? Infinity);
  await (device.relay ?? device.link).connected(options);
  const filter = { kind: 'netfront', devid: device.devid } as const;
  const runs = (): boolean =>
    device.front.counters.blocks(filter).some((block) => block.state === 'Connected');
  while (!runs()) {
    throwIfAborted(options.signal, 'stack.connect');
    if (performance.now() > deadline) {
      const what = `device ${device.name}: its driver has not opened its port`;
      throw new NestfrontError('NF_ETIMEDOUT', 'stack.connect', what);
    }
    await sleep(2);
  }
}

/** state.json's record of a domain. */
export function domainRecord(domain: StackDomain): DomainRecord {
  const { name, layer, domid, pids } = domain;
  return { name, layer, domid, pids, inside: domain.domain.domid };
}

/** state.json's records of a device's links, from the guest outward. */
export function linkRecords(device: StackDevice): LinkRecord[] {
  const record = (link: NetLink, layer: 'H0' | 'H1'): LinkRecord => ({
    device: device.name,
    path: device.path,
    layer,
    devid: link.devid,
    front: { domain: link.front.domain.name, domid: link.front.domain.domid },
    back: { domain: link.back.domain.name, domid: link.back.domain.domid },
  });
  if (device.relay === undefined) return [record(device.link, 'H0')];
  return [record(device.relay.inner, 'H1'), record(device.relay.outer, 'H0')];
}
