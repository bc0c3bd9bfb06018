// SPDX-License-Identifier: MIT
import { NestfrontError, toNestfrontError } from '../errors.js';

/** Argument checks that name the argument, the value and the range. */
export function inRange(name: string, value: number, low: number, high: number): number {
  if (typeof value !== 'number') throw new TypeError(`${name} is ${String(value)}, not a number`);
  if (!Number.isInteger(value) || value < low || value > high)
    throw new RangeError(`${name} is ${value}; use a whole number from ${low} to ${high}`);
  return value;
}

export const DOMID_MAX = 0x7ff0;
export const PORT_MAX = 0xffff_ffff;

/** Throws `NF_EABORTED` when a signal is aborted already. */
export function throwIfAborted(signal: AbortSignal | undefined, op: string): void {
  if (signal?.aborted !== true) return;
  const reason: unknown = signal.reason;
  if (reason instanceof NestfrontError) throw reason;
  throw new NestfrontError('NF_EABORTED', op, undefined, { cause: reason });
}

/** Runs a call of the addon; whatever it throws becomes a NestfrontError that names `op`. */
export async function guarded<T>(op: string, call: () => Promise<T>): Promise<T> {
  try {
    return await call();
  } catch (error) {
    throw misuse(error) ?? toNestfrontError(error, op);
  }
}

/** The synchronous twin of {@link guarded}. */
export function guardedSync<T>(op: string, call: () => T): T {
  try {
    return call();
  } catch (error) {
    throw misuse(error) ?? toNestfrontError(error, op);
  }
}

function misuse(error: unknown): Error | undefined {
  return error instanceof TypeError || error instanceof RangeError ? error : undefined;
}

/** Waits for `promise`, an abort or a deadline, whichever is first. Does not stop the work. */
export async function within<T>(
  promise: Promise<T>,
  op: string,
  limits: { signal?: AbortSignal | undefined; timeoutMs?: number | undefined; what: string },
): Promise<T> {
  const { signal, timeoutMs, what } = limits;
  let timer: NodeJS.Timeout | undefined;
  let onAbort: (() => void) | undefined;
  const limit = new Promise<never>((_resolve, reject) => {
    if (timeoutMs !== undefined)
      timer = setTimeout(
        () => reject(new NestfrontError('NF_ETIMEDOUT', op, `${what} within ${timeoutMs} ms`)),
        timeoutMs,
      );
    onAbort = (): void => {
      try {
        throwIfAborted(signal, op);
      } catch (error) {
        reject(error as Error);
      }
    };
    // raced even if aborted before: a promise nobody waits for would reject unhandled
    if (signal?.aborted === true) onAbort();
    else signal?.addEventListener('abort', onAbort, { once: true });
  });
  try {
    return await Promise.race([promise, limit]);
  } finally {
    clearTimeout(timer);
    if (onAbort !== undefined) signal?.removeEventListener('abort', onAbort);
  }
}
