// SPDX-License-Identifier: MIT
import { connect } from 'node:net';
import type { Socket } from 'node:net';
import { once } from 'node:events';
import { join } from 'node:path';
import { within } from '../api/check.js';
import type { GeneratorOrders } from '../api/control.js';
import type { WaitOptions } from '../api/until.js';
import { NestfrontError, toNestfrontError } from '../errors.js';
import type { ErrorCode } from '../errors.js';
import { eachLine } from './launch.js';
import type { DeviceInfo, StackStatus } from './operations.js';
import { findStack, runtimeDirectory } from './registry.js';
import type { DeviceChange } from './roster.js';
import type { CheckedStackConfig, DeviceConfig } from './schema.js';

/** Name of the socket in a stack's directory. */
export const CONTROL_SOCKET = 'stack.sock';

interface Reply {
  readonly id: number;
  readonly ok: boolean;
  readonly result?: unknown;
  readonly error?: { readonly code: ErrorCode; readonly op: string; readonly message: string };
}

interface Pending {
  readonly resolve: (result: unknown) => void;
  readonly reject: (error: Error) => void;
}

/**
 * A running stack, driven from another process through its control socket: what `net attach` and
 * its siblings use. The stack itself lives in the process that brought it up.
 */
export class RemoteStack implements AsyncDisposable {
  readonly name: string;
  readonly #socket: Socket;
  readonly #pending = new Map<number, Pending>();
  #nextId = 1;

  private constructor(name: string, socket: Socket) {
    this.name = name;
    this.#socket = socket;
    eachLine(socket, (line) => this.#take(JSON.parse(line) as Reply));
    socket.on('error', () => socket.destroy()); // 'close' follows and tells
    socket.on('close', () => {
      const gone = new NestfrontError('NF_ECONNRESET', 'stack.remote', `stack "${name}" has ended`);
      for (const { reject } of this.#pending.values()) reject(gone);
      this.#pending.clear();
    });
  }

  /** @throws NestfrontError `NF_ENOENT` no such stack runs; `NF_ECONNRESET` it is ending */
  static async connect(name: string, runtime = runtimeDirectory()): Promise<RemoteStack> {
    const { directory } = findStack(name, runtime);
    const socket = connect(join(directory, CONTROL_SOCKET));
    try {
      await once(socket, 'connect');
    } catch (error) {
      throw new NestfrontError(
        'NF_ECONNRESET',
        'stack.remote',
        `stack "${name}" does not answer (${toNestfrontError(error, 'connect').errnoName}); ` +
          'it is coming up or going down',
        { cause: error },
      );
    }
    return new RemoteStack(name, socket);
  }

  status(options: WaitOptions = {}): Promise<StackStatus> {
    return this.#call('status', {}, options) as Promise<StackStatus>;
  }

  /** Its configuration as it is now. */
  config(options: WaitOptions = {}): Promise<CheckedStackConfig> {
    return this.#call('config', {}, options) as Promise<CheckedStackConfig>;
  }

  /** The last lines its processes logged, oldest first. */
  logs(options: WaitOptions = {}): Promise<readonly string[]> {
    return this.#call('logs', {}, options) as Promise<readonly string[]>;
  }

  /** @throws as {@link Stack.attach} */
  attach(device: DeviceConfig, options: WaitOptions = {}): Promise<DeviceInfo> {
    return this.#call('attach', { device }, options) as Promise<DeviceInfo>;
  }

  /** @throws as {@link Stack.detach} */
  async detach(name: string, options: WaitOptions = {}): Promise<void> {
    await this.#call('detach', { name }, options);
  }

  /** @throws as {@link Stack.set} */
  set(name: string, change: DeviceChange, options: WaitOptions = {}): Promise<DeviceInfo> {
    return this.#call('set', { name, change }, options) as Promise<DeviceInfo>;
  }

  /** @throws as {@link Stack.restart} */
  async restart(name: string, options: WaitOptions = {}): Promise<void> {
    await this.#call('restart', { name }, options);
  }

  /** Orders for the generator at one end of a device; resolves with those in force. */
  order(
    name: string,
    end: 'front' | 'back',
    orders: GeneratorOrders,
    options: WaitOptions = {},
  ): Promise<Required<GeneratorOrders>> {
    const answer = this.#call('order', { name, end, orders }, options);
    return answer as Promise<Required<GeneratorOrders>>;
  }

  /** Hangs up; the stack stays. Idempotent. */
  close(): Promise<void> {
    this.#socket.destroy();
    return Promise.resolve();
  }

  [Symbol.asyncDispose](): Promise<void> {
    return this.close();
  }

  #call(op: string, args: object, options: WaitOptions): Promise<unknown> {
    const { signal, timeoutMs } = options;
    const id = this.#nextId++;
    const answer = new Promise<unknown>((resolve, reject) => {
      if (this.#socket.destroyed)
        reject(new NestfrontError('NF_ECONNRESET', 'stack.remote', 'the connection is closed'));
      this.#pending.set(id, { resolve, reject });
      const limit = timeoutMs === undefined ? {} : { timeoutMs };
      this.#socket.write(`${JSON.stringify({ id, op, ...args, ...limit })}\n`);
    });
    return within(answer, `stack.${op}`, { signal, what: 'no answer' });
  }

  #take(reply: Reply): void {
    const pending = this.#pending.get(reply.id);
    this.#pending.delete(reply.id);
    if (reply.ok) return pending?.resolve(reply.result);
    const { code, op, message } = reply.error!;
    const text = message.startsWith(`${op}: `) ? message.slice(op.length + 2) : message;
    pending?.reject(new NestfrontError(code, op, text));
  }
}
