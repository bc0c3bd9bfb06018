// SPDX-License-Identifier: MIT
// Starting the processes of a hypervisor: its own, and its keeper.
import { Launched } from '../stack/launch.js';
import type { Isolation } from '../stack/launch.js';
import { executable, hypervisorMain } from '../stack/paths.js';
import { addon } from './memory.js';

/** @internal Where the process of an inner hypervisor runs. */
export interface InnerLayer extends Isolation {
  /**
   * A connection of the tenant's domain to the outer hypervisor; it lives as long as this one.
   * Borrowed, with a keeper until it is closed.
   */
  readonly outerFd: number;
}

/** The process that holds what the next hypervisor process needs. */
export interface KeeperProcess {
  readonly process: Launched;
  /** The hypervisors' end of its socket: this, and the one that runs, keep it alive. */
  readonly fd: number;
}

const STOP_TIMEOUT_MS = 3_000;

/** @internal What it takes to start a hypervisor process again. */
export interface Started {
  readonly options: {
    readonly signal?: AbortSignal;
    readonly timeoutMs?: number;
    readonly log?: (line: string) => void;
  };
  readonly directory: string;
  readonly inner: InnerLayer | undefined;
  readonly keeper?: KeeperProcess;
}

function shared(started: Started, signal: AbortSignal | undefined) {
  const { inner } = started;
  const isolation: Isolation = inner ?? { isolated: false };
  return { ...isolation, log: started.options.log, signal };
}

/** Starts a keeper and waits until it is there. */
export async function launchKeeper(name: string, started: Started): Promise<KeeperProcess> {
  const [ours, theirs] = addon().seqpacketPair();
  try {
    const process = await Launched.start({
      role: `${name}/keeper`,
      program: executable('nf-keeper'),
      args: [],
      fds: [theirs],
      ...shared(started, started.options.signal),
    });
    return { process, fd: ours };
  } catch (error) {
    addon().close(ours);
    throw error;
  } finally {
    addon().close(theirs);
  }
}

/** Ends a keeper; what it holds goes. */
export async function endKeeper(keeper: KeeperProcess | undefined): Promise<void> {
  if (keeper === undefined) return;
  addon().close(keeper.fd);
  await keeper.process.stop(STOP_TIMEOUT_MS);
}

/**
 * Starts a hypervisor process and waits until it is ready.
 * @returns its admin socket, the caller's to close
 */
export async function launchHypervisor(
  name: string,
  started: Started,
  signal: AbortSignal | undefined,
): Promise<{ process: Launched; adminFd: number }> {
  const { directory, inner, keeper, options } = started;
  const timeout = options.timeoutMs === undefined ? {} : { timeoutMs: options.timeoutMs };
  const [ours, theirs] = addon().seqpacketPair();
  const args = [hypervisorMain(), '--name', name, '--dir', directory, '--listen'];
  const fds: number[] = [];
  for (const [flag, fd] of [
    ['--admin-fd', theirs],
    ['--outer-fd', inner?.outerFd],
    ['--keeper-fd', keeper?.fd],
  ] as const)
    if (fd !== undefined) args.push(flag, String(2 + fds.push(fd)));
  let process: Launched | undefined;
  try {
    process = await Launched.start({
      role: name,
      program: globalThis.process.execPath,
      args,
      fds,
      ...shared(started, signal),
      ...timeout,
    });
    await process.ready({ signal, ...timeout });
    return { process, adminFd: ours };
  } catch (error) {
    addon().close(ours);
    await process?.kill();
    throw error;
  } finally {
    addon().close(theirs);
  }
}
