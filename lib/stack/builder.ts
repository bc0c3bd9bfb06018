// SPDX-License-Identifier: MIT
import { mkdirSync } from 'node:fs';
import { join } from 'node:path';
import type { Domain } from '../api/domain.js';
import { Hypervisor } from '../api/hypervisor.js';
import type { InnerLayer } from '../api/hypervisor.js';
import { addon } from '../api/memory.js';
import { StackDomain } from './domain.js';
import { Launched } from './launch.js';
import type { Isolation, LaunchOptions } from './launch.js';
import { diskMounts, prepareDisks } from './disks.js';
import { domainPaths } from './mounts.js';
import { executable } from './paths.js';
import { isAlive } from './processes.js';
import type { LayerName, PlannedDomain, StackPlan } from './plan.js';
import type { Claim, ProcessRecord } from './registry.js';
import type { CheckedStackConfig } from './schema.js';

const GRACE_MS = 4_000; // nestfrontd takes at most 3 s to shut its devices down

/** Starts a stack's processes one by one and ends all of them, however far it got. */
export class Builder {
  readonly #config: CheckedStackConfig;
  readonly #claim: Claim;
  #plan: StackPlan | undefined;
  readonly #isolated: boolean;
  readonly #log: ((line: string) => void) | undefined;
  readonly #signal: AbortSignal | undefined;
  readonly #hypervisors = new Map<LayerName, Hypervisor>();
  readonly #launched: Launched[] = [];
  #processes: ProcessRecord[] = [];
  readonly domains: StackDomain[] = [];
  /** L1 as H0 sees it. */
  tenantOutside: Domain | undefined;
  /** The container L1's two processes live in; it outlives either. */
  #container: Launched | undefined;
  /** A connection of L1 to H0, which each process of H1 gets. */
  #outerFd = -1;
  readonly #planned = new Map<string, PlannedDomain>();

  constructor(o: {
    config: CheckedStackConfig;
    claim: Claim;
    isolated: boolean;
    log: ((line: string) => void) | undefined;
    signal: AbortSignal | undefined;
  }) {
    this.#config = o.config;
    this.#claim = o.claim;
    this.#isolated = o.isolated;
    this.#log = o.log;
    this.#signal = o.signal;
  }

  hypervisor(name: LayerName): Hypervisor {
    const found = this.#hypervisors.get(name);
    if (found === undefined) throw new Error(`${name} was not started`);
    return found;
  }

  /** pid on the host of each hypervisor. */
  hypervisorPids(): Partial<Record<LayerName, number>> {
    const pids: Partial<Record<LayerName, number>> = {};
    for (const [name, { pid }] of this.#hypervisors) if (pid !== undefined) pids[name] = pid;
    return pids;
  }

  /** H0, L0; then L1 as a container of H1 and the relay; then the guests, all ready. */
  async start(plan: StackPlan): Promise<void> {
    this.#plan = plan;
    prepareDisks(plan, this.#claim.directory);
    await this.#startHypervisor('H0');
    for (const planned of plan.domains) {
      if (planned.role === 'relay') await this.#startTenant(planned);
      else await this.#startPlain(planned);
    }
  }

  /** Guests first, so that each end closes while its peer is there to answer. */
  async stop(): Promise<void> {
    for (const role of ['front', 'relay', 'back'] as const) await this.#stopRole(role);
    await this.#hypervisors.get('H1')?.close();
    await this.#container?.stop(GRACE_MS);
    if (this.#outerFd >= 0) addon().close(this.#outerFd);
    this.#outerFd = -1;
    await this.#hypervisors.get('H0')?.close();
    for (const launched of this.#launched) if (launched.running) await launched.kill();
    for (const domain of this.domains) domain.release();
  }

  async #stopRole(role: 'front' | 'relay' | 'back'): Promise<void> {
    const stopping = this.#launched.filter((launched) => launched.role.endsWith(`/${role}`));
    await Promise.all(stopping.map((launched) => launched.stop(GRACE_MS)));
  }

  /**
   * A new driver process for a domain, in place of the one that ended or of one that is killed
   * here. The domain lives on between the two: this process holds a connection of it.
   */
  async restart(domain: StackDomain): Promise<void> {
    const planned = this.#planned.get(domain.name)!;
    await domain.kill();
    const fds = [await domain.domain.connect()];
    const isRelay = planned.role === 'relay';
    if (isRelay) fds.push(await this.tenantOutside!.connect());
    const isolation = isRelay ? this.#inTenant() : this.#ownContainer(planned);
    domain.replaceDriver(await this.#driver(planned, fds, isolation));
  }

  async #startHypervisor(name: LayerName, inner?: InnerLayer): Promise<void> {
    const options = {
      name,
      directory: join(this.#claim.directory, name),
      keeper: this.#config.keepers,
      ...(this.#signal === undefined ? {} : { signal: this.#signal }),
      ...(this.#log === undefined ? {} : { log: this.#log }),
    };
    const hypervisor = await Hypervisor.start(options, inner);
    this.#hypervisors.set(name, hypervisor);
    if (hypervisor.keeper) this.#own(hypervisor.keeper);
    this.#own(hypervisor.process!);
  }

  /** A new hypervisor process, which goes on where the one before was. */
  async restartHypervisor(name: LayerName): Promise<void> {
    const hypervisor = this.hypervisor(name);
    await hypervisor.restart();
    this.#own(hypervisor.process!);
  }

  /** One more guest, while the stack runs. */
  async startGuest(guest: PlannedDomain): Promise<StackDomain> {
    await this.#startPlain(guest);
    return this.domains.find((domain) => domain.name === guest.name)!;
  }

  /** L0 and guests: one process in a container of its own. */
  async #startPlain(planned: PlannedDomain): Promise<void> {
    const hypervisor = this.hypervisor(planned.layer);
    const domain = await hypervisor.createDomain({
      name: planned.name,
      domid: planned.domid,
      privileged: planned.role === 'back',
    });
    const fd = await domain.connect();
    const driver = await this.#driver(planned, [fd], this.#ownContainer(planned));
    await this.#adopt(planned, domain, driver, undefined);
  }

  async #startTenant(planned: PlannedDomain): Promise<void> {
    const outer = await this.hypervisor('H0').createDomain({ name: 'L1', domid: planned.domid });
    this.tenantOutside = outer;
    const directory = join(this.#claim.directory, 'H1');
    mkdirSync(directory, { mode: 0o700 });
    this.#container = await this.#launch({
      role: 'L1/container',
      program: 'sleep',
      args: ['infinity'],
      fds: [],
      ...this.#ownContainer(planned),
      rw: [directory],
    });
    this.#outerFd = await outer.connect();
    await this.#startHypervisor('H1', { ...this.#inTenant(), outerFd: this.#outerFd });
    const inner = await this.hypervisor('H1').createDomain({
      name: 'L1',
      domid: 0,
      privileged: true,
    });
    const fds = [await inner.connect(), await outer.connect()];
    const driver = await this.#driver(planned, fds, this.#inTenant());
    await this.#adopt(planned, inner, driver, this.#container);
  }

  /** Starts nestfrontd with its layer's connections and waits until it watches the store. */
  async #driver(
    planned: PlannedDomain,
    fds: readonly number[],
    isolation: Isolation,
  ): Promise<Launched> {
    const args = ['--layer', 'embedded:fd=3'];
    if (fds.length > 1) args.push('--outer', 'embedded:fd=4');
    args.push('--notify', this.#config.notify, '--name', `${this.#config.name}/${planned.name}`);
    if (planned.cpu !== undefined) args.push('--cpu', String(planned.cpu));
    const launched = await this.#launch({
      role: `${planned.name}/${planned.role}`,
      program: executable('nestfrontd'),
      args,
      fds,
      ...isolation,
    });
    await launched.ready({ signal: this.#signal });
    return launched;
  }

  /** Launches, records and from then on owns a process; `fds` are closed here in any case. */
  async #launch(options: LaunchOptions): Promise<Launched> {
    try {
      const launched = await Launched.start({ ...options, log: this.#log, signal: this.#signal });
      this.#own(launched);
      return launched;
    } finally {
      for (const fd of options.fds) addon().close(fd);
    }
  }

  async #adopt(
    planned: PlannedDomain,
    domain: Domain,
    driver: Launched,
    holder: Launched | undefined,
  ): Promise<void> {
    const countersFd = await domain.countersFd();
    const controlFd = await domain.controlFd();
    // while we hold this, a driver that dies is a driver that died, not the end of its domain
    const heldFd = await domain.connect();
    const { name, layer, domid } = planned;
    const isolated = this.#isolated;
    this.#planned.set(name, planned);
    const shared = { domain, driver, heldFd, holder, isolated, countersFd, controlFd };
    this.domains.push(new StackDomain({ name, layer, domid, ...shared }));
  }

  #own(launched: Launched): void {
    const { role, id, launcher } = launched;
    this.#launched.push(launched);
    this.#processes.push({ role, ...id }, { role: `${role} launcher`, ...launcher });
    this.#processes = this.#processes.filter(isAlive); // those that were replaced are gone
    this.#claim.update({ processes: this.#processes });
  }

  #ownContainer(planned: PlannedDomain): Isolation {
    return {
      ...diskMounts(this.#plan!, planned, this.#claim.directory),
      isolated: this.#isolated,
      net: this.#config.network ? 'new' : 'host',
      ro: domainPaths(),
      hostname: planned.name,
    };
  }

  #inTenant(): Isolation {
    if (!this.#isolated) return { isolated: false };
    return { isolated: true, join: this.#container!.id.pid };
  }
}
