// SPDX-License-Identifier: MIT
import type { NestfrontError } from '../errors.js';
import type { StackDomain } from './domain.js';
import type { LayerName } from './plan.js';
import type { SupervisorListener } from './supervisor.js';

/** How a stack is brought up. */
export interface StackOptions {
  readonly signal?: AbortSignal;
  /** Gets what a user should know: that isolation was refused, that a domain died. */
  readonly notice?: (line: string) => void;
  /**
   * Gets the error of a hypervisor or driver that could not be started again so often that it is
   * not tried any more. Running rings go on; {@link Stack.restart} tries it once more. Without it
   * the error's message is a notice.
   */
  readonly gaveUp?: (name: string, error: NestfrontError) => void;
  /** Gets each line the stack's processes log. */
  readonly log?: (line: string) => void;
  /** Called before devices are attached: to put interfaces into a domain's network. */
  readonly prepare?: (domain: (name: string) => StackDomain) => Promise<void>;
  /** Milliseconds the devices have to connect. Default 10,000. */
  readonly connectTimeoutMs?: number;
}

/** @internal Who hears of restarts. */
export function listenerOf(
  o: StackOptions & { readonly notice: (line: string) => void },
): SupervisorListener {
  const { notice, gaveUp = (_name, error): void => notice(error.message) } = o;
  return { notice, gaveUp };
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
