// SPDX-License-Identifier: MIT
import { throwIfAborted } from '../api/check.js';
import type { Hypervisor } from '../api/hypervisor.js';
import type { NetLink } from '../api/net.js';
import { NestfrontError, toNestfrontError } from '../errors.js';
import { Builder } from './builder.js';
import { checkConfig } from './config.js';
import { attachDevice, connectDevice, domainRecord, linkRecords } from './devices.js';
import type { StackDevice } from './devices.js';
import { attachDisks, connectDisk, diskLinkRecords } from './disks.js';
import type { StackDisk } from './disks.js';
import type { StackDomain } from './domain.js';
import { decideIsolation } from './mounts.js';
import { dataProcesses, planStack, type LayerName, type StackPlan } from './plan.js';
import { Claim } from './registry.js';
import { Restarts } from './restarts.js';
import type { CheckedStackConfig, StackConfig } from './schema.js';

/** How a stack is brought up. */
export interface StackOptions {
  readonly signal?: AbortSignal;
  /** Gets what a user should know: that isolation was refused, that a domain died. */
  readonly notice?: (line: string) => void;
  /** Gets each line the stack's processes log. */
  readonly log?: (line: string) => void;
  /** Before devices are attached: puts interfaces into a domain's network. */
  readonly prepare?: (domain: (name: string) => StackDomain) => Promise<void>;
  /** Milliseconds the devices have to connect. Default 10,000. */
  readonly connectTimeoutMs?: number;
}

/** What results say about who did the work. */
export interface StackMetadata {
  readonly isolated: boolean;
  readonly notify: string;
  /** pid on the host by domain: the process that moves its data. */
  readonly pids: Readonly<Record<string, number>>;
  readonly hypervisors: Partial<Readonly<Record<LayerName, number>>>;
  /** How many processes move a device's data, by device. */
  readonly dataProcesses: Readonly<Record<string, number>>;
  readonly cpus: Readonly<Record<string, number>>;
}

/** A running stack: hypervisors, domains, devices. Everything goes with {@link close}. */
export class Stack implements AsyncDisposable {
  readonly name: string;
  readonly config: CheckedStackConfig;
  /** Each domain is a process in namespaces of its own. */
  readonly isolated: boolean;
  readonly #builder: Builder;
  readonly #claim: Claim;
  readonly #plan: StackPlan;
  readonly #devices = new Map<string, StackDevice>();
  #disks: ReadonlyMap<string, StackDisk> = new Map();
  readonly #restarts: Restarts;
  #closing: Promise<void> | undefined;

  private constructor(
    config: CheckedStackConfig,
    claim: Claim,
    isolated: boolean,
    o: StackOptions,
    notice: (line: string) => void,
  ) {
    this.name = config.name;
    this.config = config;
    this.isolated = isolated;
    this.#claim = claim;
    this.#plan = planStack(config);
    this.#builder = new Builder({ config, claim, isolated, log: o.log, signal: o.signal });
    this.#restarts = new Restarts(this.#builder, notice, config.restart === 'always', (name) =>
      this.restart(name),
    );
  }

  /**
   * Brings a stack up: hypervisors, domains, devices, all connected. When any part fails everything
   * is taken down again before this rejects.
   * @throws NestfrontError `NF_ECONFIG`; `NF_EEXIST` the name is taken; `NF_EPERM` isolation is
   *   `on` and refused; `NF_ETIMEDOUT`, `NF_EPROTO` a device did not connect; `NF_EABORTED`
   */
  static async up(input: StackConfig, options: StackOptions = {}): Promise<Stack> {
    const config = checkConfig(input);
    const notice = options.notice ?? ((line): void => process.emitWarning(line, 'NestfrontNotice'));
    throwIfAborted(options.signal, 'stack.up');
    const isolated = decideIsolation(config.isolation, notice);
    const claim = await Claim.take(config);
    const stack = new Stack(config, claim, isolated, options, notice);
    try {
      await stack.#start(options);
      return stack;
    } catch (error) {
      await stack
        .close()
        .catch((left: unknown) => notice(`taking down what had started: ${String(left)}`));
      throw toNestfrontError(error, 'stack.up');
    }
  }

  get domains(): readonly StackDomain[] {
    return this.#builder.domains;
  }

  get devices(): readonly StackDevice[] {
    return [...this.#devices.values()];
  }

  /** @param name `L0`, `L1`, or a guest. @throws NestfrontError `NF_ENOENT` */
  domain(name: string): StackDomain {
    return named('domain', this.domains, name);
  }

  /** @throws NestfrontError `NF_ENOENT` */
  device(name: string): StackDevice {
    return named('device', this.devices, name);
  }

  get disks(): readonly StackDisk[] {
    return [...this.#disks.values()];
  }

  /** @throws NestfrontError `NF_ENOENT` */
  disk(name: string): StackDisk {
    return named('disk', this.disks, name);
  }

  /** What results carry about this stack. */
  metadata(): StackMetadata {
    const pinned = Object.entries(this.config.cpus);
    const cpus = pinned.filter((pin): pin is [string, number] => pin[1] !== undefined);
    return {
      isolated: this.isolated,
      notify: this.config.notify,
      pids: Object.fromEntries(this.domains.map((domain) => [domain.name, domain.pid])),
      hypervisors: this.#builder.hypervisorPids(),
      dataProcesses: Object.fromEntries(
        [...this.devices, ...this.disks].map((d) => [d.name, dataProcesses(d.path)]),
      ),
      cpus: Object.fromEntries(cpus),
    };
  }

  /** One of its hypervisors. @throws Error the stack has no such layer */
  hypervisor(name: LayerName): Hypervisor {
    return this.#builder.hypervisor(name);
  }

  /**
   * Takes everything down in order: guests, relay, provider, hypervisors; a process that does not
   * answer is killed. Bounded in time, idempotent, leaves nothing behind.
   */
  close(): Promise<void> {
    this.#closing ??= this.#close();
    return this.#closing;
  }

  [Symbol.asyncDispose](): Promise<void> {
    return this.close();
  }

  async #close(): Promise<void> {
    this.#claim.update({ phase: 'closing' });
    await this.#restarts.close();
    await this.#builder.stop();
    this.#claim.release();
  }

  async #start(options: StackOptions): Promise<void> {
    this.#claim.update({ isolated: this.isolated });
    await this.#builder.start(this.#plan);
    await options.prepare?.((name) => this.domain(name));
    const outerStore = await this.hypervisor('H0').store();
    const nested = this.#plan.nested;
    const places = {
      outerStore,
      innerStore: nested ? await this.hypervisor('H1').store() : undefined,
      provider: this.domain('L0'),
      tenantOutside: this.#builder.tenantOutside,
      tenantInside: nested ? this.domain('L1').domain : undefined,
      shared: new Map<string, NetLink>(),
    };
    for (const planned of this.#plan.devices)
      this.#devices.set(
        planned.name,
        await attachDevice(planned, this.domain(planned.guest), places),
      );
    const find = (name: string): StackDomain => this.domain(name);
    this.#disks = await attachDisks(this.#plan, find, places, this.#claim.directory);
    const wait = { signal: options.signal, timeoutMs: options.connectTimeoutMs };
    await Promise.all([
      ...this.devices.map((device) => connectDevice(device, wait)),
      ...this.disks.map((disk) => connectDisk(disk, wait)),
    ]);
    const domains = this.domains.map(domainRecord);
    const links = [...this.devices.flatMap(linkRecords), ...this.disks.flatMap(diskLinkRecords)];
    this.#claim.update({ phase: 'running', domains, links });
    for (const domain of this.domains) this.#restarts.watch(domain);
    for (const name of nested ? (['H0', 'H1'] as const) : (['H0'] as const))
      this.#restarts.watch(name);
  }

  /**
   * Starts a domain's driver process, or a hypervisor process, anew; one that still runs is killed.
   * Devices reconnect by themselves after a driver's restart and go on through a hypervisor's: what
   * to expect of each mode is in docs/relay.md. A domain that is its driver's container (all but
   * L1) starts with fresh namespaces.
   * @param name `L0`, `L1`, or a guest; `H0`, `H1`
   * @throws NestfrontError `NF_ENOENT` there is none of that name; `NF_EBUSY` it is being restarted
   *   already, or the stack is closing; `NF_ENOSYS` a hypervisor without a keeper; `NF_ENODEV` its
   *   keeper has ended; `NF_ECONNRESET` the domain's hypervisor is gone
   */
  async restart(name: string): Promise<void> {
    const isHypervisor = name === 'H0' || (name === 'H1' && this.#plan.nested);
    const domain = isHypervisor ? undefined : this.domain(name);
    await this.#restarts.run(domain ?? (name as LayerName));
    this.#claim.update({ domains: this.domains.map(domainRecord) });
  }
}

function named<T extends { readonly name: string }>(
  noun: string,
  all: readonly T[],
  name: string,
): T {
  const found = all.find((one) => one.name === name);
  if (found !== undefined) return found;
  const names = all.map((one) => one.name).join(', ') || 'none';
  throw new NestfrontError(
    'NF_ENOENT',
    `stack.${noun}`,
    `no ${noun} "${name}"; there are ${names}`,
  );
}
