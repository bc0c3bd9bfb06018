// SPDX-License-Identifier: MIT
import { NestfrontError } from '../errors.js';
import type { Builder } from './builder.js';
import type { StackDomain } from './domain.js';
import type { LayerName } from './plan.js';
import { Supervisor, type SupervisorListener } from './supervisor.js';

/** Notices what ends in a stack, and starts it again: one at a time of each name. */
export class Restarts {
  readonly #builder: Builder;
  readonly #listener: SupervisorListener;
  readonly #drivers: boolean;
  readonly #again: (name: string) => Promise<void>;
  readonly #supervisor: Supervisor;
  readonly #running = new Map<string, Promise<void>>();
  #isClosed = false;

  /**
   * @param listener hears what ended, what was started again, what is given up
   * @param drivers start drivers that end again; hypervisors are, as long as their keeper lives
   * @param again how the stack starts one again, by its name
   */
  constructor(
    builder: Builder,
    listener: SupervisorListener,
    drivers: boolean,
    again: (name: string) => Promise<void>,
  ) {
    this.#builder = builder;
    this.#listener = listener;
    this.#drivers = drivers;
    this.#again = again;
    this.#supervisor = new Supervisor(listener);
  }

  /** Tells when its present process ends. */
  watch(what: StackDomain | LayerName): void {
    if (typeof what === 'string') this.#watchHypervisor(what);
    else this.#watchDomain(what);
  }

  /** @throws NestfrontError `NF_EBUSY` it is being restarted already, or all is closing */
  async run(what: StackDomain | LayerName): Promise<void> {
    const name = typeof what === 'string' ? what : what.name;
    if (this.#isClosed || this.#running.has(name))
      throw new NestfrontError('NF_EBUSY', 'stack.restart', `${name} is being restarted or closed`);
    const work =
      typeof what === 'string'
        ? this.#builder.restartHypervisor(what)
        : this.#builder.restart(what);
    this.#running.set(name, work);
    try {
      await work;
    } finally {
      this.#running.delete(name);
    }
    this.watch(what);
  }

  /** Nothing is started any more once this resolves. */
  async close(): Promise<void> {
    this.#isClosed = true;
    this.#supervisor.close();
    await Promise.allSettled(this.#running.values());
  }

  #watchDomain(domain: StackDomain): void {
    const { pid, name } = domain;
    void domain.exited.then((how) => {
      if (this.#isClosed || this.#running.has(name)) return;
      this.#listener.notice(`domain ${name} ended (${how})`);
      if (this.#drivers && domain.pid === pid) this.#supervisor.run(name, () => this.#again(name));
    });
  }

  #watchHypervisor(name: LayerName): void {
    const { process, keeper } = this.#builder.hypervisor(name);
    void process?.exited.then((how) => {
      if (this.#isClosed || this.#running.has(name)) return;
      const isLost = keeper?.running !== true;
      this.#listener.notice(
        `hypervisor ${name} ended (${how})${isLost ? ', and has no keeper' : ''}`,
      );
      if (!isLost) this.#supervisor.run(name, () => this.#again(name));
    });
  }
}
