// SPDX-License-Identifier: MIT
import { spawn } from 'node:child_process';
import type { ChildProcess } from 'node:child_process';
import { once } from 'node:events';
import { existsSync } from 'node:fs';
import { join } from 'node:path';
import { NestfrontError } from '../errors.js';
import type { NativeLayer } from '../native.cjs';
import { eachLine } from '../stack/launch.js';
import { executable } from '../stack/paths.js';
import { StoreClient } from '../store/client.js';
import { guarded, within } from './check.js';
import { Counters } from './counters.js';
import { GrantTable } from './grant.js';
import { addon } from './memory.js';

/** Where real Xen is. */
export interface AttachOptions {
  readonly layer: 'xen';
  /** Of the kernel's Xen devices. Default `/dev/xen`. */
  readonly directory?: string;
  /**
   * xenstored's socket; only the domain it runs in has one. Default: `/run/xenstored/socket` where
   * that is, else the `xenbus` in `directory`.
   */
  readonly storeSocket?: string;
}

/** How the drivers of this domain are to run. */
export interface DriverOptions {
  readonly notify?: 'poll' | 'adaptive' | 'event';
  /** Gets each line of their log. */
  readonly log?: (line: string) => void;
  readonly signal?: AbortSignal;
  readonly timeoutMs?: number;
}

const KERNEL = '/dev/xen';
const STORE_SOCKET = '/run/xenstored/socket';
const READY_TIMEOUT_MS = 20_000;
const STOP_TIMEOUT_MS = 5_000;
const COUNTERS_PAGES = 32; // room for 255 queues

/**
 * The Xen domain this process runs in: its grants, its store, and drivers for the devices that the
 * toolstack (`xl`) gives it. Xen itself, guests and devices stay the toolstack's.
 */
export class XenDomain implements AsyncDisposable {
  /** As Xen numbered it; 0 is the driver domain as a rule. */
  readonly domid: number;
  readonly grants: GrantTable;
  readonly #layer: NativeLayer;
  readonly #options: AttachOptions;
  readonly #drivers = new Set<XenDrivers>();
  #store: Promise<StoreClient> | undefined;
  #closed: Promise<void> | undefined;

  private constructor(layer: NativeLayer, options: AttachOptions) {
    this.#layer = layer;
    this.#options = options;
    this.domid = layer.domid;
    this.grants = new GrantTable(layer);
  }

  /** @internal Use {@link attach}. */
  static async attach(options: AttachOptions): Promise<XenDomain> {
    const directory = options.directory ?? KERNEL;
    if (!existsSync(join(directory, 'xenbus')))
      throw new NestfrontError(
        'NF_ENODEV',
        'xen.attach',
        `${directory} has no xenbus: run this inside a Xen domain, as root, with xen-evtchn, ` +
          'xen-gntdev, xen-gntalloc and xenfs loaded (modprobe)',
      );
    const layer = await guarded('xen.attach', () => addon().openXenLayer(directory));
    return new XenDomain(layer, options);
  }

  /**
   * A connection to xenstored, one a domain, closed with it; in a guest through the kernel. A
   * xenstored that died answers nothing there: give calls a signal.
   */
  async store(): Promise<StoreClient> {
    this.#open('xen.store');
    this.#store ??= this.#openStore();
    return this.#store;
  }

  /**
   * Starts this domain's drivers: a netback for every vif whose backend it is, a netfront for every
   * vif it has. The kernel's own drivers must not hold those devices.
   * @throws NestfrontError with what they said last, when they end before they are ready
   */
  async startDrivers(options: DriverOptions = {}): Promise<XenDrivers> {
    this.#open('xen.startDrivers');
    const drivers = await XenDrivers.start(this.#options.directory ?? KERNEL, options);
    this.#drivers.add(drivers);
    return drivers;
  }

  /** Stops the drivers it started, ends its grants. Idempotent. */
  close(): Promise<void> {
    this.#closed ??= this.#close();
    return this.#closed;
  }

  [Symbol.asyncDispose](): Promise<void> {
    return this.close();
  }

  #open(op: string): void {
    if (this.#closed !== undefined)
      throw new NestfrontError('NF_ENODEV', op, 'this domain was detached from');
  }

  async #openStore(): Promise<StoreClient> {
    const { storeSocket, directory = KERNEL } = this.#options;
    if (storeSocket !== undefined) return StoreClient.connect(storeSocket);
    if (directory === KERNEL && existsSync(STORE_SOCKET)) return StoreClient.connect(STORE_SOCKET);
    return new StoreClient(await guarded('xen.store', () => this.#layer.storeFd()));
  }

  async #close(): Promise<void> {
    for (const drivers of this.#drivers) await drivers.stop();
    const store = await this.#store?.catch(() => undefined);
    await store?.close();
    await this.#layer.close();
  }
}

/** The drivers of one Xen domain: a `nestfrontd`, with its counters. */
export class XenDrivers implements AsyncDisposable {
  readonly pid: number;
  /** Live; keeps its last values after {@link stop}. */
  readonly counters: Counters;
  readonly #child: ChildProcess;
  readonly #exited: Promise<unknown>;

  private constructor(child: ChildProcess, counters: Counters, exited: Promise<unknown>) {
    this.pid = child.pid!;
    this.counters = counters;
    this.#child = child;
    this.#exited = exited;
  }

  /** @internal Use {@link XenDomain.startDrivers}. */
  static async start(directory: string, options: DriverOptions): Promise<XenDrivers> {
    const memory = addon().memfdCreate('nf-counters-xen', COUNTERS_PAGES);
    try {
      return await XenDrivers.#launch(memory, directory, options);
    } finally {
      addon().close(memory); // both sides have it mapped
    }
  }

  static async #launch(
    memory: number,
    directory: string,
    options: DriverOptions,
  ): Promise<XenDrivers> {
    const where = directory === KERNEL ? 'xen' : `xen:${directory}`;
    const args = ['--layer', where, '--counters', 'fd=3', '--notify', options.notify ?? 'adaptive'];
    const stdio = ['ignore', 'pipe', 'pipe', memory] as const;
    const child = spawn(executable('nestfrontd'), args, { stdio: [...stdio] });
    const exited = once(child, 'exit');
    exited.catch(() => undefined); // it did not start: told below
    try {
      await within(ready(child, exited, options.log), 'xen.startDrivers', {
        signal: options.signal,
        timeoutMs: options.timeoutMs ?? READY_TIMEOUT_MS,
        what: 'nestfrontd was not ready',
      });
      return new XenDrivers(child, Counters.open(memory), exited);
    } catch (error) {
      child.kill('SIGKILL');
      throw error;
    }
  }

  /** Closes every device in order, then ends the process. Idempotent, bounded. */
  async stop(): Promise<void> {
    if (this.#child.exitCode !== null || this.#child.signalCode !== null) return;
    this.#child.kill('SIGTERM');
    const timer = setTimeout(() => this.#child.kill('SIGKILL'), STOP_TIMEOUT_MS);
    await this.#exited;
    clearTimeout(timer);
  }

  [Symbol.asyncDispose](): Promise<void> {
    return this.stop();
  }
}

function ready(
  child: ChildProcess,
  exited: Promise<unknown>,
  log: ((line: string) => void) | undefined,
): Promise<void> {
  return new Promise((resolve, reject) => {
    let said = 'nothing';
    eachLine(child.stdout!, (line) => line === 'ready' && resolve());
    eachLine(child.stderr!, (line) => {
      said = line;
      log?.(line);
    });
    const failed = (how: string): void =>
      reject(new NestfrontError('NF_ENODEV', 'xen.startDrivers', `nestfrontd ${how}: ${said}`));
    exited.then(
      () => failed('ended'),
      (error: Error) => failed(`does not start (${error.message})`),
    );
  });
}

/**
 * Attaches to the hypervisor this process runs on. Only real Xen needs this: the embedded layer's
 * hypervisors are started by {@link Stack} and {@link Hypervisor}.
 * @throws NestfrontError `NF_ENODEV` this is no Xen domain; `NF_EACCES` not root
 */
export function attach(options: AttachOptions): Promise<XenDomain> {
  if (options.layer !== 'xen')
    throw new TypeError(`layer is ${JSON.stringify(options.layer)}; attach() knows 'xen'`);
  return XenDomain.attach(options);
}
