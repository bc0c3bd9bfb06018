// SPDX-License-Identifier: MIT
import { createHash } from 'node:crypto';
import { guestOf, outerOf } from './config.js';
import type { CheckedDevice, CheckedDisk, CheckedStackConfig, DevicePath } from './schema.js';

/** A hypervisor of a stack: the provider's, or the tenant's own. */
export type LayerName = 'H0' | 'H1';

/** A domain of a stack before it runs. */
export interface PlannedDomain {
  readonly name: string;
  readonly layer: LayerName;
  /** Which end of devices it holds; the relay is L1, whose second face is domid 0 on H1. */
  readonly role: 'back' | 'relay' | 'front';
  readonly domid: number;
  readonly cpu: number | undefined;
  /** It opens a TAP. */
  readonly tun: boolean;
}

/** A device of a stack before it runs. */
export interface PlannedDevice {
  readonly name: string;
  readonly path: DevicePath;
  /** Number of the device in every domain it touches. */
  readonly devid: number;
  readonly guest: string;
  readonly mac: string;
  readonly staticOnly: boolean;
  /** Path mux: the outer device it shares, named by the first that does. */
  readonly shared: SharedOuter | undefined;
  readonly config: CheckedDevice;
}

/** A disk of a stack before it runs. */
export interface PlannedDisk {
  readonly name: string;
  readonly path: DevicePath;
  /** Number of the device in every domain it touches: after those of the network devices. */
  readonly devid: number;
  readonly guest: string;
  readonly registeredOnly: boolean;
  readonly config: CheckedDisk;
}

/** An outer device of several guests. */
export interface SharedOuter {
  readonly name: string;
  readonly devid: number;
  readonly mac: string;
}

/** What a stack takes, before anything is started. */
export interface StackPlan {
  readonly name: string;
  readonly nested: boolean;
  readonly domains: readonly PlannedDomain[];
  readonly devices: readonly PlannedDevice[];
  readonly disks: readonly PlannedDisk[];
  readonly resources: {
    readonly hypervisors: number;
    /** Hypervisors, keepers, drivers, what holds L1's namespaces; each has a launcher beside. */
    readonly processes: number;
    /** Processes that move each device's data. */
    readonly dataProcesses: Readonly<Record<string, number>>;
    /** Shared pages of 4,096 bytes, both layers. */
    readonly pages: number;
    /** Grant references, by hypervisor. */
    readonly grefs: Readonly<Record<LayerName, number>>;
    /** Descriptors of shared memory and event channels that all domains hold together. */
    readonly descriptors: number;
    readonly cpus: readonly number[];
  };
}

const PAYLOAD_PAGES = 512; // of a queue, both directions
const RING_PAGES = 2; // of a queue
const CTRL_PAGES = 2; // of a device: ring and data
const ARENAS = 4; // of a queue: tx ring, rx ring, tx payload, rx payload
const CHANNELS = 2; // of a queue, and one for the control ring
const REQUESTS = 32; // in a page of a disk's ring
const DIRECT_SEGMENTS = 11; // of a disk's request without an indirect page
const GREFS_A_PAGE = 1024; // of the table a disk registers

/** Processes that move a device's data. */
export function dataProcesses(path: DevicePath): number {
  return path === 'single' || path === 'direct' ? 2 : 3;
}

/** Xen's vendor prefix and three bytes of the stack's and device's names. */
function madeMac(stack: string, device: string): string {
  const hash = createHash('sha256').update(`${stack}/${device}`).digest();
  const tail = [...hash.subarray(0, 3)].map((byte) => byte.toString(16).padStart(2, '0'));
  return ['00', '16', '3e', ...tail].join(':');
}

/** What a device of a stack is to be, under the number it has been given. */
export function planDevice(
  config: CheckedStackConfig,
  device: CheckedDevice,
  devid: number,
): PlannedDevice {
  return {
    name: device.name,
    path: device.path,
    devid,
    guest: guestOf(device),
    mac: (device.mac ?? madeMac(config.name, device.name)).toLowerCase(),
    staticOnly: device.path === 'direct' && device.grants === 'static',
    shared: device.path === 'mux' ? sharedOuter(config, outerOf(device)) : undefined,
    config: device,
  };
}

function planDisk(disk: CheckedDisk, devid: number): PlannedDisk {
  return {
    name: disk.name,
    path: disk.path,
    devid,
    guest: guestOf(disk),
    registeredOnly: disk.path === 'direct' && disk.grants === 'static',
    config: disk,
  };
}

function sharedOuter(config: CheckedStackConfig, name: string): SharedOuter {
  const devid = config.devices.findIndex((d) => d.path === 'mux' && outerOf(d) === name);
  return { name, devid, mac: madeMac(config.name, `outer/${name}`) };
}

function planDomains(
  config: CheckedStackConfig,
  devices: readonly PlannedDevice[],
  disks: readonly PlannedDisk[],
): PlannedDomain[] {
  const { cpus } = config;
  const tap = (end: 'front' | 'back', of: readonly PlannedDevice[]): boolean =>
    of.some((device) => device.config[end].port.startsWith('tap:'));
  const all = [...devices, ...disks];
  const nested = all.some((device) => device.path !== 'single');
  const domains: PlannedDomain[] = [
    { name: 'L0', layer: 'H0', role: 'back', domid: 0, cpu: cpus.back, tun: tap('back', devices) },
  ];
  if (nested)
    domains.push({ name: 'L1', layer: 'H0', role: 'relay', domid: 1, cpu: cpus.relay, tun: false });
  const next: Record<LayerName, number> = { H0: domains.length, H1: 1 };
  for (const guest of new Set(all.map((device) => device.guest))) {
    const own = devices.filter((device) => device.guest === guest);
    const layer = all.find((device) => device.guest === guest)?.path === 'single' ? 'H0' : 'H1';
    const domid = next[layer]++;
    domains.push({
      name: guest,
      layer,
      role: 'front',
      domid,
      cpu: cpus.front,
      tun: tap('front', own),
    });
  }
  return domains;
}

interface Sums {
  readonly grefs: Record<LayerName, number>;
  pages: number;
  descriptors: number;
}

/** Adds a device of so many granted pages a link, of which the two links share some. */
function add(sums: Sums, path: DevicePath, link: number, shared: number, fds: number): void {
  const links = path === 'single' ? 1 : 2;
  sums.grefs.H0 += link;
  if (links === 2) sums.grefs.H1 += link;
  sums.pages += link * links - shared;
  sums.descriptors += links * 2 * fds;
}

function addDevice(sums: Sums, planned: PlannedDevice): void {
  const { path, config: device } = planned;
  const payload = PAYLOAD_PAGES * device.queues;
  const link = payload + RING_PAGES * device.queues + CTRL_PAGES;
  if (planned.shared !== undefined) {
    addMuxed(sums, planned, link);
    return;
  }
  const shared = path === 'direct' ? link - CTRL_PAGES : path === 'translate' ? payload : 0;
  add(sums, path, link, shared, (ARENAS + CHANNELS) * device.queues + 2);
}

/** Its outer device comes with the first; its tx pages are granted outside beside that one's. */
function addMuxed(sums: Sums, { devid, shared }: PlannedDevice, link: number): void {
  const links = shared?.devid === devid ? 2 : 1;
  sums.grefs.H0 += (links === 2 ? link : 0) + PAYLOAD_PAGES / 2;
  sums.grefs.H1 += link;
  sums.pages += link * links;
  sums.descriptors += links * 2 * (ARENAS + CHANNELS + 2) + 3;
}

function addDisk(sums: Sums, { path, config: disk }: PlannedDisk): void {
  const lists = disk.indirect > DIRECT_SEGMENTS ? REQUESTS * disk.ringPages : 0;
  const table = Math.ceil((disk.poolPages + lists) / GREFS_A_PAGE);
  const link = (disk.ringPages + disk.poolPages + lists + table) * disk.queues;
  const payload = disk.poolPages * disk.queues;
  const shared = path === 'direct' ? link : path === 'translate' ? payload : 0;
  add(sums, path, link, shared, (ARENAS + 1) * disk.queues);
}

/** Works out what a configuration takes; touches nothing. */
export function planStack(config: CheckedStackConfig): StackPlan {
  const devices = config.devices.map((device, index) => planDevice(config, device, index));
  const disks = config.disks.map((disk, index) => planDisk(disk, devices.length + index));
  const domains = planDomains(config, devices, disks);
  const nested = domains.some((domain) => domain.role === 'relay');
  const sums: Sums = { grefs: { H0: 0, H1: 0 }, pages: 0, descriptors: 0 };
  for (const device of devices) addDevice(sums, device);
  for (const disk of disks) addDisk(sums, disk);
  return {
    name: config.name,
    nested,
    domains,
    devices,
    disks,
    resources: {
      hypervisors: nested ? 2 : 1,
      processes: (nested ? 3 : 1) + (config.keepers ? (nested ? 2 : 1) : 0) + domains.length,
      dataProcesses: Object.fromEntries(
        [...devices, ...disks].map((d) => [d.name, dataProcesses(d.path)]),
      ),
      ...sums,
      cpus: [...new Set(Object.values(config.cpus).filter((cpu) => cpu !== undefined))].sort(),
    },
  };
}
