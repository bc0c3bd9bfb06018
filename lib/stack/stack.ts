// SPDX-License-Identifier: MIT
import { join } from 'node:path';
import { throwIfAborted } from '../api/check.js';
import type { Hypervisor } from '../api/hypervisor.js';
import type { NetLink } from '../api/net.js';
import type { WaitOptions } from '../api/until.js';
import { NestfrontError, toNestfrontError } from '../errors.js';
import { Builder } from './builder.js';
import { checkConfig } from './config.js';
import { domainRecord, linkRecords } from './devices.js';
import type { StackDevice } from './devices.js';
import { attachDisks, connectDisk, diskLinkRecords } from './disks.js';
import type { StackDisk } from './disks.js';
import type { StackDomain } from './domain.js';
import { LineServer } from './lineserver.js';
import { Logbook } from './logbook.js';
import { decideIsolation } from './mounts.js';
import { named } from './named.js';
import { operationsOf } from './operations.js';
import { metadataOf } from './metadata.js';
import { listenerOf } from './options.js';
import type { StackMetadata, StackOptions } from './options.js';
import { planStack, type LayerName, type PlannedDomain, type StackPlan } from './plan.js';
import { Claim } from './registry.js';
import { CONTROL_SOCKET } from './remote.js';
import { Restarts } from './restarts.js';
import { Roster } from './roster.js';
import type { DeviceChange } from './roster.js';
import type { CheckedStackConfig, DeviceConfig, StackConfig } from './schema.js';

/** A running stack: hypervisors, domains, devices. Everything goes with {@link close}. */
export class Stack implements AsyncDisposable {
  readonly name: string;
  /** Each domain is a process in namespaces of its own. */
  readonly isolated: boolean;
  readonly #builder: Builder;
  readonly #claim: Claim;
  readonly #plan: StackPlan;
  readonly #logbook: Logbook;
  readonly #given: CheckedStackConfig;
  readonly #restarts: Restarts;
  #roster: Roster | undefined;
  #disks: ReadonlyMap<string, StackDisk> = new Map();
  #server: LineServer | undefined;
  #up = false;
  #closing: Promise<void> | undefined;

  private constructor(
    config: CheckedStackConfig,
    claim: Claim,
    isolated: boolean,
    o: StackOptions & { readonly notice: (line: string) => void },
  ) {
    this.name = config.name;
    this.#given = config;
    this.#logbook = new Logbook(o.log);
    this.isolated = isolated;
    this.#claim = claim;
    this.#plan = planStack(config);
    const log = this.#logbook.add;
    this.#builder = new Builder({ config, claim, isolated, log, signal: o.signal });
    const again = (name: string): Promise<void> => this.restart(name);
    this.#restarts = new Restarts(this.#builder, listenerOf(o), config.restart === 'always', again);
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
    const isolated = await decideIsolation(config.isolation, notice);
    const claim = await Claim.take(config);
    const stack = new Stack(config, claim, isolated, { ...options, notice });
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

  /** Its configuration as it is now: devices come and go. */
  get config(): CheckedStackConfig {
    return this.#roster?.config ?? this.#given;
  }

  get devices(): readonly StackDevice[] {
    return this.#roster?.devices ?? [];
  }

  /** @param name `L0`, `L1`, or a guest. @throws NestfrontError `NF_ENOENT` */
  domain(name: string): StackDomain {
    return named('domain', this.domains, name);
  }

  /** @throws NestfrontError `NF_ENOENT` */
  device(name: string): StackDevice {
    return this.#live('stack.device').device(name);
  }

  get disks(): readonly StackDisk[] {
    return [...this.#disks.values()];
  }

  /** @throws NestfrontError `NF_ENOENT` */
  disk(name: string): StackDisk {
    return named('disk', this.disks, name);
  }

  /**
   * Attaches one more device while the others go on, and waits until it is connected. A guest of a
   * name the stack does not have yet is started for it, and stays.
   * @throws NestfrontError `NF_ECONFIG`; `NF_EINVAL` a nested device in a stack of one layer;
   *   `NF_ETIMEDOUT`, `NF_EPROTO` it did not connect: nothing of it is left
   */
  attach(device: DeviceConfig, options: WaitOptions = {}): Promise<StackDevice> {
    return this.#live('net.attach').attach(device, options);
  }

  /** Detaches one device while the others go on. @throws NestfrontError `NF_ENOENT` */
  detach(name: string, options: WaitOptions = {}): Promise<void> {
    return this.#live('net.detach').detach(name, options);
  }

  /**
   * Changes a device: detached and attached again, with its address and another number. A change
   * that does not work is taken back.
   * @throws NestfrontError `NF_ENOENT`; `NF_ECONFIG`; whatever stopped the changed device
   */
  set(name: string, change: DeviceChange, options: WaitOptions = {}): Promise<StackDevice> {
    return this.#live('net.set').set(name, change, options);
  }

  /**
   * Starts a driver or hypervisor process anew; one that runs is killed. Devices reconnect after a
   * driver's restart and go on through a hypervisor's (docs/relay.md). A domain that is its
   * driver's container (all but L1) starts with fresh namespaces.
   * @param name `L0`, `L1`, or a guest; `H0`, `H1`
   * @throws NestfrontError `NF_ENOENT`; `NF_EBUSY` it is restarting, or the stack closing;
   *   `NF_ENOSYS`, `NF_ENODEV` no keeper, or it ended; `NF_ECONNRESET` no hypervisor
   */
  async restart(name: string): Promise<void> {
    const isHypervisor = name === 'H0' || (name === 'H1' && this.#plan.nested);
    await this.#restarts.run(isHypervisor ? name : this.domain(name));
    await this.#record();
  }

  /** What results carry about this stack. */
  metadata(): StackMetadata {
    return metadataOf(this, this.#builder.hypervisorPids());
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

  #live(op: string): Roster {
    if (this.#roster !== undefined && this.#closing === undefined) return this.#roster;
    throw new NestfrontError('NF_ENODEV', op, `stack "${this.name}" is not running`);
  }

  async #close(): Promise<void> {
    this.#server?.close();
    this.#claim.update({ phase: 'closing' });
    await this.#restarts.close();
    await this.#builder.stop();
    await this.#claim.release();
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
    this.domains.forEach((domain) => this.#restarts.watch(domain));
    this.#restarts.watch('H0');
    if (nested) this.#restarts.watch('H1');
    const host = {
      domains: this.domains,
      startGuest: async (planned: PlannedDomain) => {
        const guest = await this.#builder.startGuest(planned);
        this.#restarts.watch(guest);
        return guest;
      },
      changed: () => this.#record(),
    };
    const roster = new Roster(this.#given, host, places);
    this.#roster = roster;
    const wait = { signal: options.signal, timeoutMs: options.connectTimeoutMs };
    const find = (name: string): StackDomain => this.domain(name);
    this.#disks = await attachDisks(this.#plan, find, places, this.#claim.directory);
    await Promise.all([
      ...this.#given.devices.map((device) => roster.attach(device, wait)),
      ...this.disks.map((disk) => connectDisk(disk, wait)),
    ]);
    const socket = join(this.#claim.directory, CONTROL_SOCKET);
    const operations = operationsOf(this, () => this.#logbook.lines);
    this.#server = await LineServer.listen(socket, operations);
    this.#up = true;
    await this.#record();
  }

  /** state.json follows what runs. */
  async #record(): Promise<void> {
    if (!this.#up || this.#closing !== undefined) return;
    const domains = this.domains.map(domainRecord);
    const links = [...this.devices.flatMap(linkRecords), ...this.disks.flatMap(diskLinkRecords)];
    this.#claim.update({ phase: 'running', config: this.config, domains, links });
    await this.#claim.written();
  }
}
