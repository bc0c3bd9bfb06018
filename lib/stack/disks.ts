// SPDX-License-Identifier: MIT
import { closeSync, existsSync, ftruncateSync, mkdirSync, openSync, statSync } from 'node:fs';
import { dirname, join } from 'node:path';
import { BlkLink, BlkRelay } from '../api/blk.js';
import type { BlkOptions } from '../api/blknodes.js';
import type { Disk, DiskOptions } from '../api/disk.js';
import type { WaitOptions } from '../api/until.js';
import { NestfrontError, toNestfrontError } from '../errors.js';
import type { Places } from './devices.js';
import type { StackDomain } from './domain.js';
import type { PlannedDisk, PlannedDomain, StackPlan } from './plan.js';
import type { LinkRecord } from './registry.js';
import type { DevicePath } from './schema.js';

/** A disk of a running stack. */
export interface StackDisk {
  readonly name: string;
  readonly path: DevicePath;
  /** Its number in every domain it touches; also its entry in their control pages. */
  readonly devid: number;
  /** Domain at the guest's end, and at the provider's. */
  readonly front: StackDomain;
  readonly back: StackDomain;
  /** Between the two, unless the path is `single`. */
  readonly relay: BlkRelay | undefined;
  /** The link whose front is the guest's: the inner one of a nested disk. */
  readonly link: BlkLink;
  /** Path of its NBD server's socket on the host; `undefined`: its user is another. */
  readonly socket: string | undefined;
  /** Opens it for reading and writing from this process. @throws as `Blkfront.open` */
  readonly open: (options?: DiskOptions) => Promise<Disk>;
}

const UNITS = { K: 1024, M: 1024 ** 2, G: 1024 ** 3, T: 1024 ** 4 };

function sizeOf(text: string): number {
  const unit = UNITS[text.slice(-1) as keyof typeof UNITS];
  return unit === undefined ? Number(text) : Number(text.slice(0, -1)) * unit;
}

/** Path of the socket of a disk's NBD server, by default in the stack's own directory. */
export function socketOf(user: string, name: string, directory: string): string | undefined {
  if (user === 'nbd') return join(directory, 'nbd', `${name}.sock`);
  return /^nbd:([^,]+)/.exec(user)?.[1];
}

/** Makes what domains only see when it is there before they start: files, the sockets' folder. */
export function prepareDisks(plan: StackPlan, directory: string): void {
  if (plan.disks.length > 0) mkdirSync(join(directory, 'nbd'), { recursive: true, mode: 0o700 });
  for (const { name, config } of plan.disks) {
    const path = /^(?:file|block):([^,]+)/.exec(config.disk)?.[1];
    const size = /,create=([0-9]+[KMGT]?)/.exec(config.disk)?.[1];
    if (path === undefined) continue;
    try {
      if (size !== undefined && !existsSync(path)) {
        const fd = openSync(path, 'wx', 0o600);
        ftruncateSync(fd, sizeOf(size));
        closeSync(fd);
      }
      statSync(path);
    } catch (error) {
      const { code, message } = toNestfrontError(error, 'stack.up');
      const hint = code === 'NF_ENOENT' ? '; add ,create=SIZE to have it made' : '';
      throw new NestfrontError(code, 'stack.up', `disk "${name}": ${message}${hint}`);
    }
  }
}

/** What of the host's files a domain needs for its disks. */
export function diskMounts(
  plan: StackPlan,
  domain: PlannedDomain,
  directory: string,
): { rw: string[]; dev: string[] } {
  const rw = new Set<string>();
  const dev = new Set<string>();
  for (const { name, guest, config } of plan.disks) {
    const [, kind, path] = /^(file|block):([^,]+)/.exec(config.disk) ?? [];
    if (domain.role === 'back' && path !== undefined) (kind === 'file' ? rw : dev).add(path);
    const socket = socketOf(config.user, name, directory);
    if (domain.name === guest && socket !== undefined) rw.add(dirname(socket));
  }
  return { rw: [...rw], dev: [...dev] };
}

/** Writes a disk's nodes on one layer or on both; its drivers then connect. */
async function attachDisk(
  planned: PlannedDisk,
  guest: StackDomain,
  places: Places,
  directory: string,
): Promise<StackDisk> {
  const { config, devid, name, path } = planned;
  const socket = socketOf(config.user, name, directory);
  const port = config.user === 'nbd' ? `nbd:${socket}` : config.user;
  const front = { domain: guest.domain, port };
  const back = { domain: places.provider.domain, port: config.disk };
  const { queues, ringPages, indirect, poolPages, readonly } = config;
  const same = { devid, queues, ringPages, indirect, poolPages, readonly };
  const provided = {
    store: places.outerStore,
    grants: config.grants,
    registeredOnly: planned.registeredOnly,
    ...same,
  };
  const disk = { name, path, devid, front: guest, back: places.provider, socket };
  if (path === 'single') {
    const link = await BlkLink.attach({ ...provided, front, back });
    return { ...disk, relay: undefined, link, open: (o) => link.front.open(o) };
  }
  const { innerStore, tenantInside, tenantOutside } = places;
  if (innerStore === undefined || tenantInside === undefined || tenantOutside === undefined)
    throw new Error('a nested disk in a stack without a tenant');
  const outer: BlkOptions = { ...provided, front: { domain: tenantOutside }, back };
  const inner: BlkOptions = { store: innerStore, ...same, front, back: { domain: tenantInside } };
  const relay = await BlkRelay.attach({ mode: path, trustInner: config.trustInner, outer, inner });
  const link = relay.inner;
  return { ...disk, relay, link, open: (o) => link.front.open(o) };
}

/** Attaches every disk of a plan; `guest` finds a front's domain. */
export async function attachDisks(
  plan: StackPlan,
  guest: (name: string) => StackDomain,
  places: Places,
  directory: string,
): Promise<Map<string, StackDisk>> {
  const disks = new Map<string, StackDisk>();
  for (const planned of plan.disks)
    disks.set(planned.name, await attachDisk(planned, guest(planned.guest), places, directory));
  return disks;
}

/** Waits until a disk's ends are Connected. */
export function connectDisk(disk: StackDisk, options: WaitOptions): Promise<void> {
  return (disk.relay ?? disk.link).connected(options);
}

/** state.json's records of a disk's links, from the guest outward. */
export function diskLinkRecords(disk: StackDisk): LinkRecord[] {
  const record = (link: BlkLink, layer: 'H0' | 'H1'): LinkRecord => ({
    kind: 'disk',
    device: disk.name,
    path: disk.path,
    layer,
    devid: link.devid,
    front: { domain: link.front.domain.name, domid: link.front.domain.domid },
    back: { domain: link.back.domain.name, domid: link.back.domain.domid },
    ...(disk.socket === undefined ? {} : { socket: disk.socket }),
  });
  if (disk.relay === undefined) return [record(disk.link, 'H0')];
  return [record(disk.relay.inner, 'H1'), record(disk.relay.outer, 'H0')];
}
