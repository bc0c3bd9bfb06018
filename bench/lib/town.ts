// SPDX-License-Identifier: MIT
// One layer with many domains: a hypervisor, a driver domain, guests. Every one a process.
import { Hypervisor, NetLink } from '../../lib/index.js';
import type { ControlPage, Counters, Domain, Store } from '../../lib/index.js';
import { addon } from '../../lib/api/memory.js';
import { decideIsolation, domainPaths } from '../../lib/stack/mounts.js';
import { Launched } from '../../lib/stack/launch.js';
import { executable } from '../../lib/stack/paths.js';

const GRACE_MS = 4_000;
const DEVIDS_A_BYTE = 256;

/** A domain with its driver. */
export interface Resident {
  readonly domain: Domain;
  readonly driver: Launched;
  readonly counters: Counters;
  readonly control: ControlPage;
}

export interface TownOptions {
  readonly guests: number;
  readonly notify?: 'poll' | 'adaptive' | 'event';
  readonly log?: (line: string) => void;
  readonly signal?: AbortSignal | undefined;
}

/** The town and all that runs in it; goes as a whole with {@link close}. */
export class Town implements AsyncDisposable {
  readonly hypervisor: Hypervisor;
  readonly isolated: boolean;
  readonly guests: Resident[] = [];
  #driver: Resident | undefined;
  #store: Store | undefined;
  readonly #options: TownOptions;

  private constructor(hypervisor: Hypervisor, isolated: boolean, options: TownOptions) {
    this.hypervisor = hypervisor;
    this.isolated = isolated;
    this.#options = options;
  }

  static async up(options: TownOptions): Promise<Town> {
    const { log, signal } = options;
    const isolated = await decideIsolation('auto', (line) => log?.(line));
    const given = { ...(log && { log }), ...(signal && { signal }) };
    const town = new Town(await Hypervisor.start({ keeper: true, ...given }), isolated, options);
    try {
      town.#store = await town.hypervisor.store();
      town.#driver = await town.#move('L0', true);
      for (let i = 1; i <= options.guests; i++)
        town.guests.push(await town.#move(`guest${i}`, false));
      return town;
    } catch (error) {
      await town.close();
      throw error;
    }
  }

  get driver(): Resident {
    return this.#driver!;
  }

  get store(): Store {
    return this.#store!;
  }

  /** All but this one: drivers, hypervisor, keeper. */
  get processes(): Launched[] {
    const { process, keeper } = this.hypervisor;
    const drivers = [this.driver, ...this.guests].map((resident) => resident.driver);
    return [process!, keeper!, ...drivers];
  }

  /** Writes a device's nodes; its ends then connect. */
  attach(guest: Resident, devid: number): Promise<NetLink> {
    const { domid } = guest.domain;
    const bytes = [domid >> 8, domid % DEVIDS_A_BYTE, devid % DEVIDS_A_BYTE];
    const mac = ['00', '16', '3e', ...bytes.map((b) => b.toString(16).padStart(2, '0'))].join(':');
    return NetLink.attach({
      store: this.store,
      devid,
      mac,
      front: { domain: guest.domain, port: 'gen' },
      back: { domain: this.driver.domain, port: 'gen' },
    });
  }

  async close(): Promise<void> {
    const stop = (resident: Resident): Promise<void> => resident.driver.stop(GRACE_MS);
    await Promise.all(this.guests.map(stop));
    if (this.#driver) await stop(this.#driver);
    await this.hypervisor.close();
  }

  [Symbol.asyncDispose](): Promise<void> {
    return this.close();
  }

  async #move(name: string, privileged: boolean): Promise<Resident> {
    const domain = await this.hypervisor.createDomain({
      name,
      privileged,
      ...(privileged && { domid: 0 }),
    });
    const { notify = 'adaptive', log, signal } = this.#options;
    const fd = await domain.connect();
    try {
      const driver = await Launched.start({
        role: name,
        program: executable('nestfrontd'),
        args: ['--layer', 'embedded:fd=3', '--notify', notify, '--name', name],
        fds: [fd],
        isolated: this.isolated,
        net: 'new',
        ro: domainPaths(),
        hostname: name,
        log,
        signal,
      });
      await driver.ready({ signal });
      return {
        domain,
        driver,
        counters: await domain.counters(),
        control: await domain.control(),
      };
    } finally {
      addon().close(fd);
    }
  }
}
