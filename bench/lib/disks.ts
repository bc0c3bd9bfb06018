// SPDX-License-Identifier: MIT
// Disks to compare: a stack a path and the same disk without one, all up at once; pollers are
// parked but for the one whose window it is.
import { execFileSync } from 'node:child_process';
import { rmSync } from 'node:fs';
import { join } from 'node:path';
import { setTimeout as sleep } from 'node:timers/promises';
import type { GeneratorMode } from '../../lib/api/control.js';
import { NestfrontError } from '../../lib/errors.js';
import type { CheckedDisk } from '../../lib/stack/schema.js';
import { Stack } from '../../lib/stack/stack.js';
import { defaultDirectory, makeRoom, roomFor } from './diskroom.js';
import { FioDisk } from './fiodisk.js';
import { NativeDisk } from './nativedisk.js';
import type { Placement } from './rig.js';
import type { Skipped } from './schema.js';

export interface DiskOrder {
  readonly mode: GeneratorMode;
  readonly blockBytes: number;
  readonly depth: number;
  readonly ms: number;
}

export interface DiskWindow {
  readonly operations: number;
  readonly seconds: number;
  readonly errors: number;
  /** Sent by both ends. */
  readonly notifications: number;
}

/** `fio` and `nbdkit` are what others do with such a file. */
export type DiskVariant = 'native' | 'fio' | 'nbdkit' | CheckedDisk['path'];

/** A disk without a stack. */
interface PlainDisk {
  readonly cache: string;
  readonly pid: number;
  window(order: DiskOrder): Promise<DiskWindow>;
  close(): Promise<void>;
}

/** What there is to compare with, when it is asked for. */
export const DISK_OTHERS: readonly DiskVariant[] = ['fio', 'nbdkit'];

export const DISK_PATHS: readonly DiskVariant[] = [
  'native',
  'single',
  'copy',
  'translate',
  'direct',
];

export interface DiskRigOptions {
  /** `file`, `mem` or `null`. */
  readonly port: 'file' | 'mem' | 'null';
  readonly bytes: number;
  /** Where files go, in a directory of their own. Default {@link defaultDirectory}. */
  readonly directory?: string | undefined;
  /** Files are as small as it takes to write all of them in this time. */
  readonly fillMs?: number;
  readonly paths: readonly DiskVariant[];
  readonly placement: Placement;
  readonly notify: 'poll' | 'adaptive' | 'event';
  readonly queues?: number;
  readonly signal?: AbortSignal;
  readonly notice?: (line: string) => void;
}

const SETTLE_MS = 20;
const DRAIN_MS = 10_000;
let serial = 0;

interface Member {
  readonly stack: Stack | undefined;
  readonly native: PlainDisk | undefined;
}

/** Disks that are up. Everything goes with {@link close}. */
export class DiskRig implements AsyncDisposable {
  readonly members = new Map<DiskVariant, Member>();
  readonly skipped: Skipped[] = [];
  readonly port: string;
  #directory: string | undefined;

  private constructor(port: string) {
    this.port = port;
  }

  /** Set-ups that do not come up are told in `skipped`. @throws when none does */
  static async up(o: DiskRigOptions): Promise<DiskRig> {
    const rig = new DiskRig(o.port);
    if (o.port === 'file') rig.#directory = makeRoom(o.directory ?? defaultDirectory());
    try {
      const bytes = rig.#room(o);
      for (const path of o.paths) {
        o.signal?.throwIfAborted();
        await rig.#add(path, { ...o, bytes }).catch((error: unknown) => {
          const reason = error instanceof Error ? error.message : String(error);
          rig.skipped.push({ bench: 'blk', path, reason, remedy: 'npx nestfront doctor' });
        });
      }
      if (rig.members.size === 0)
        throw new NestfrontError('NF_EIO', 'bench.blk', rig.skipped[0]?.reason ?? 'no path');
      return rig;
    } catch (error) {
      await rig.close();
      throw error;
    }
  }

  /** Cache and engine of the disk, as its native end says. */
  get native(): PlainDisk | undefined {
    return (this.members.get('native') ?? this.members.get('fio'))?.native;
  }

  /** One window of a set-up. */
  async window(name: DiskVariant, order: DiskOrder): Promise<DiskWindow> {
    const { native, stack } = this.members.get(name)!;
    return native === undefined ? stackWindow(stack!, order) : native.window(order);
  }

  async close(): Promise<void> {
    for (const { stack, native } of this.members.values()) {
      await stack?.close();
      await native?.close();
    }
    if (this.#directory !== undefined) rmSync(this.#directory, { recursive: true, force: true });
  }

  [Symbol.asyncDispose](): Promise<void> {
    return this.close();
  }

  #room(o: DiskRigOptions): number {
    if (this.#directory === undefined) return o.bytes;
    const mib = Math.ceil(o.bytes / (1 << 20));
    return roomFor(this.#directory, mib, o.paths.length, o.fillMs ?? Infinity) * (1 << 20);
  }

  /** A file of its own, written in full: what is sparse is faster than any disk. */
  #disk(name: string, o: DiskRigOptions): string {
    if (o.port !== 'file') return `${o.port}:${o.bytes}`;
    const path = join(this.#directory!, name);
    const mib = String(o.bytes >> 20);
    const dd = ['if=/dev/zero', `of=${path}`, 'bs=1M', `count=${mib}`, 'conv=fsync', 'status=none'];
    execFileSync('dd', dd);
    return `file:${path}`;
  }

  #plain(path: 'native' | 'fio' | 'nbdkit', disk: string, o: DiskRigOptions): Promise<PlainDisk> {
    const { front, back } = o.placement;
    if (path === 'native') return NativeDisk.start(disk, back, o.notify !== 'poll');
    if (this.#directory === undefined)
      throw new NestfrontError('NF_ENOSYS', 'bench.blk', `${path} is measured on files only`);
    const file = join(this.#directory, path);
    if (path === 'fio') return FioDisk.uring(file, back);
    return FioDisk.nbdkit(file, join(this.#directory, 'nbdkit.sock'), back, front);
  }

  async #add(path: DiskVariant, o: DiskRigOptions): Promise<void> {
    const disk = this.#disk(path, o);
    const { front, back, relay } = o.placement;
    if (path === 'native' || path === 'fio' || path === 'nbdkit') {
      this.members.set(path, { native: await this.#plain(path, disk, o), stack: undefined });
      return;
    }
    serial += 1;
    const stack = await Stack.up(
      {
        name: `bench-blk-${process.pid}-${serial}`,
        notify: o.notify,
        cpus: { front, back, relay },
        disks: [
          {
            name: 'd0',
            path,
            disk,
            user: 'gen',
            queues: o.queues ?? 1,
            poolPages: 2048,
            ringPages: 2,
          },
        ],
      },
      { ...(o.signal && { signal: o.signal }), ...(o.notice && { notice: o.notice }) },
    );
    for (const domain of stack.domains) domain.control.park(true);
    this.members.set(path, { stack, native: undefined });
  }
}

async function stackWindow(stack: Stack, order: DiskOrder): Promise<DiskWindow> {
  const disk = stack.disk('d0');
  const { devid, front, back } = disk;
  const read = (): { made: number; done: number; errors: number; told: number } => {
    const f = front.counters.total({ kind: 'blkfront', devid });
    const told = f.notify_sent + back.counters.total({ kind: 'blkback', devid }).notify_sent;
    return { made: f.gen_packets, done: f.sink_packets, errors: f.sink_lost, told };
  };
  const { mode, blockBytes, depth } = order;
  for (const domain of stack.domains) domain.control.park(false);
  front.control.order(devid, { mode, blockBytes, batch: depth, limit: 0 });
  await sleep(SETTLE_MS);
  const before = read();
  const start = performance.now();
  await sleep(order.ms);
  const after = read();
  const seconds = (performance.now() - start) / 1000;
  front.control.order(devid, { mode: 'idle' });
  const deadline = performance.now() + DRAIN_MS;
  for (let now = read(); now.done < now.made; now = read()) {
    if (performance.now() > deadline)
      throw new NestfrontError(
        'NF_ETIMEDOUT',
        'bench.blk',
        `${disk.path}: ${now.made - now.done} requests were never answered`,
      );
    await sleep(1);
  }
  for (const domain of stack.domains) domain.control.park(true);
  return {
    operations: after.done - before.done,
    seconds,
    errors: after.errors - before.errors,
    notifications: after.told - before.told,
  };
}
