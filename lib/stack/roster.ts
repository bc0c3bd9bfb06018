// SPDX-License-Identifier: MIT
import type { WaitOptions } from '../api/until.js';
import { NestfrontError } from '../errors.js';
import { NF_CONTROL_DEVICES } from '../generated/layout.js';
import { checkConfig } from './config.js';
import { attachDevice, connectDevice } from './devices.js';
import type { Places, StackDevice } from './devices.js';
import type { StackDomain } from './domain.js';
import { named } from './named.js';
import { planDevice } from './plan.js';
import type { LayerName, PlannedDevice, PlannedDomain } from './plan.js';
import type { CheckedStackConfig, DeviceConfig } from './schema.js';

/** What may be changed of a device that is there; what is left out stays. */
export type DeviceChange = Partial<Omit<DeviceConfig, 'name' | 'guest' | 'path'>>;

/** Orders of a generator that has none. */
const IDLE = { mode: 'idle', frameBytes: 60, batch: 0, verifyEvery: 0, limit: 0 } as const;

const DEVIDS = 0x10000;

/** The first device on a shared outer one gives it its number; later ones find it made. */
function ownOuter(planned: PlannedDevice): PlannedDevice {
  const { shared, devid } = planned;
  return shared === undefined ? planned : { ...planned, shared: { ...shared, devid } };
}

/** What a roster needs of its stack. */
export interface RosterHost {
  /** Its domains, those started later too. */
  readonly domains: readonly StackDomain[];
  startGuest(planned: PlannedDomain): Promise<StackDomain>;
  /** Devices or domains are others now: state.json wants to know. */
  changed(): Promise<void>;
}

/**
 * The devices of a running stack. Each is attached, changed and detached by itself: nothing here
 * touches another device's nodes, rings or processes. A name and a number are taken the moment they
 * are asked for, so that requests may overlap.
 */
export class Roster {
  #config: CheckedStackConfig;
  readonly #host: RosterHost;
  readonly #places: Places;
  readonly #planned = new Map<string, PlannedDevice>();
  readonly #devices = new Map<string, StackDevice>();
  readonly #guests = new Map<string, Promise<StackDomain>>();
  #lastDevid = -1;
  #writing: Promise<unknown> = Promise.resolve();
  readonly #lastDomid: Record<LayerName, number> = { H0: 0, H1: 0 };

  constructor(config: CheckedStackConfig, host: RosterHost, places: Places) {
    this.#config = { ...config, devices: [] };
    this.#host = host;
    this.#places = places;
  }

  /** The stack's configuration as it is now. */
  get config(): CheckedStackConfig {
    return this.#config;
  }

  get devices(): readonly StackDevice[] {
    return [...this.#devices.values()];
  }

  /** @throws NestfrontError `NF_ENOENT` */
  device(name: string): StackDevice {
    return named('device', this.devices, name);
  }

  /** Attaches one device and waits until it is connected; when it fails nothing of it is left. */
  async attach(input: DeviceConfig, wait: WaitOptions): Promise<StackDevice> {
    const planned = this.#reserve(input);
    try {
      return await this.#connect(planned, wait);
    } catch (error) {
      this.#forget(planned.name);
      throw error;
    }
  }

  /** Closes both ends of a device, removes its nodes, gives its name and number back. */
  async detach(name: string, wait: WaitOptions): Promise<void> {
    const device = this.device(name);
    await (device.relay ?? device.link).detach(wait);
    if (this.#devices.get(name) !== device) return; // somebody else asked too
    this.#devices.delete(name);
    this.#unshare(name);
    this.#forget(name);
    await this.#host.changed();
  }

  /** Reconnects a device changed, with the address it has; back to what it was if that fails. */
  async set(name: string, change: DeviceChange, wait: WaitOptions): Promise<StackDevice> {
    const before = this.#planned.get(this.device(name).name)!;
    const devices = this.#config.devices.map((d) => (d.name === name ? { ...d, ...change } : d));
    const config = checkConfig({ ...this.#config, devices });
    const wanted = config.devices.find((d) => d.name === name)!;
    const mac = wanted.mac ?? before.mac;
    const after = ownOuter(planDevice(config, { ...wanted, mac }, this.#freeDevid()));
    const device = this.device(name);
    await (device.relay ?? device.link).detach(wait);
    this.#devices.delete(name);
    this.#unshare(name);
    try {
      const changed = await this.#connect(after, wait);
      this.#config = config;
      this.#planned.set(name, after);
      await this.#host.changed();
      return changed;
    } catch (error) {
      const back = { ...before, devid: this.#freeDevid() };
      this.#planned.set(name, back);
      await this.#connect(back, wait);
      throw error;
    }
  }

  /** Takes a name, a number and a place in the configuration, all or nothing. */
  #reserve(input: DeviceConfig): PlannedDevice {
    const config = checkConfig({ ...this.#config, devices: [...this.#config.devices, input] });
    const device = config.devices.at(-1)!;
    if (device.path !== 'single' && this.#places.tenantInside === undefined)
      throw new NestfrontError(
        'NF_EINVAL',
        'net.attach',
        `path "${device.path}" needs a tenant and this stack has one layer only; use "single", ` +
          'or bring the stack up with a nested device',
      );
    const planned = ownOuter(planDevice(config, device, this.#freeDevid()));
    this.#planned.set(planned.name, planned);
    this.#config = config;
    return planned;
  }

  /**
   * A number that no device had for long: drivers learn by watches that a node went, and one that
   * came back under its number before they did would be taken for it. Two devices that share an
   * entry of the control page would get each other's orders.
   */
  #freeDevid(): number {
    const taken = [...this.#planned.values(), ...this.#places.shared.values()];
    const used = new Set(taken.map(({ devid }) => devid % NF_CONTROL_DEVICES));
    do this.#lastDevid = (this.#lastDevid + 1) % DEVIDS;
    while (used.has(this.#lastDevid % NF_CONTROL_DEVICES));
    return this.#lastDevid;
  }

  /** An outer device goes with the last that shared it. */
  #unshare(name: string): void {
    const outer = this.#planned.get(name)?.shared?.name;
    const others = [...this.#devices.values()].map((d) => this.#planned.get(d.name)?.shared?.name);
    if (outer !== undefined && !others.includes(outer)) this.#places.shared.delete(outer);
  }

  #forget(name: string): void {
    this.#planned.delete(name);
    const devices = this.#config.devices.filter((device) => device.name !== name);
    this.#config = { ...this.#config, devices };
  }

  async #connect(planned: PlannedDevice, wait: WaitOptions): Promise<StackDevice> {
    const guest = await this.#guest(planned);
    // an earlier device of this number must not leave its orders behind
    for (const domain of [guest, this.#places.provider]) domain.control.order(planned.devid, IDLE);
    const device = await this.#write(() => attachDevice(planned, guest, this.#places));
    try {
      await connectDevice(device, wait);
    } catch (error) {
      await (device.relay ?? device.link).detach();
      throw error;
    }
    this.#devices.set(planned.name, device);
    await this.#host.changed();
    return device;
  }

  /** One after the other: transactions of ours need not conflict. */
  #write<T>(write: () => Promise<T>): Promise<T> {
    const written = this.#writing.then(write);
    this.#writing = written.catch(() => undefined); // its caller hears of it
    return written;
  }

  /** The guest of a device, started if the stack has none of that name yet. */
  #guest({ guest: name, path, config }: PlannedDevice): Promise<StackDomain> {
    const there = this.#host.domains.find((domain) => domain.name === name);
    const starting = this.#guests.get(name);
    if (there !== undefined) return Promise.resolve(there);
    if (starting !== undefined) return starting;
    const layer: LayerName = path === 'single' ? 'H0' : 'H1';
    const started = this.#host
      .startGuest({
        name,
        layer,
        role: 'front',
        domid: this.#freeDomid(layer),
        cpu: this.#config.cpus.front,
        tun: config.front.port.startsWith('tap:'),
      })
      .finally(() => this.#guests.delete(name));
    this.#guests.set(name, started);
    return started;
  }

  /** Above all that are there and all that are being started; none is used twice. */
  #freeDomid(layer: LayerName): number {
    const taken = this.#host.domains.filter((d) => d.layer === layer).map((d) => d.domid);
    const domid = Math.max(0, this.#lastDomid[layer], ...taken) + 1;
    this.#lastDomid[layer] = domid;
    return domid;
  }
}
