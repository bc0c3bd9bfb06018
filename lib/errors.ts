// SPDX-License-Identifier: MIT
import { constants } from 'node:os';
import { errorTable } from './generated/errors.js';

/** Symbolic code of every error of this library, one list with C: `nf/errors.def`. */
export type ErrorCode = (typeof errorTable)[number]['code'];

type Entry = (typeof errorTable)[number];

const numbers = constants.errno as unknown as Readonly<Record<string, number>>;
const byCode = new Map<string, Entry>(errorTable.map((entry) => [entry.code, entry]));
const byErrno = new Map<number, Entry>();
for (const entry of errorTable) {
  const number = numbers[entry.errnoName];
  if (number !== undefined) byErrno.set(number, entry);
}

/** Every code with its errno name and what it means, for documentation and `doctor`. */
export const errors: readonly Readonly<Entry>[] = errorTable;

/**
 * What every failing operation of this library throws; misuse of an argument's type or range throws
 * `TypeError` or `RangeError` instead. `message` says what happened and what to do about it.
 */
export class NestfrontError extends Error {
  override readonly name = 'NestfrontError';
  /** Stable and symbolic, e.g. `NF_EEXIST`. */
  readonly code: ErrorCode;
  /** The system's error number, negative as in Node's own errors, e.g. -17. */
  readonly errno: number;
  /** The system's name for it, e.g. `EEXIST`. */
  readonly errnoName: string;
  /** The operation that failed, e.g. `stack.up`. */
  readonly op: string;

  /**
   * @param code one of errors.def
   * @param op the operation that failed, dotted and lower case
   * @param message what happened and what to do about it; the code's meaning when left out
   * @param options `cause`: the error underneath
   */
  constructor(code: ErrorCode, op: string, message?: string, options?: { cause?: unknown }) {
    const entry = byCode.get(code);
    if (entry === undefined) throw new TypeError(`${String(code)} is not a code of errors.def`);
    super(`${op}: ${message ?? entry.meaning}`, options);
    this.code = code;
    this.errnoName = entry.errnoName;
    this.errno = -(numbers[entry.errnoName] ?? 0);
    this.op = op;
  }

  /** Data first: what a log line or a `--json` answer holds. */
  toJSON(): { code: ErrorCode; errno: number; op: string; message: string; cause?: string } {
    const data = { code: this.code, errno: this.errno, op: this.op, message: this.message };
    if (this.cause === undefined) return data;
    return {
      ...data,
      cause: this.cause instanceof Error ? this.cause.message : String(this.cause),
    };
  }
}

/**
 * The error for a negative (or positive) errno of C or of the kernel. An errno that errors.def does
 * not list becomes `NF_EIO` and keeps its name in the message.
 */
export function errorFromErrno(
  errno: number,
  op: string,
  message?: string,
  options?: { cause?: unknown },
): NestfrontError {
  const entry = byErrno.get(Math.abs(errno));
  if (entry !== undefined) return new NestfrontError(entry.code, op, message, options);
  const name = Object.keys(numbers).find((key) => numbers[key] === Math.abs(errno));
  const text = `${message ?? 'the system call failed'} (${name ?? `errno ${Math.abs(errno)}`})`;
  return new NestfrontError('NF_EIO', op, text, options);
}

/** Any thrown thing as a NestfrontError: itself, a system error by its errno, else `NF_EIO`. */
export function toNestfrontError(thrown: unknown, op: string): NestfrontError {
  if (thrown instanceof NestfrontError) return thrown;
  const cause = { cause: thrown };
  if (!(thrown instanceof Error)) return new NestfrontError('NF_EIO', op, String(thrown), cause);
  if (thrown.name === 'AbortError') return new NestfrontError('NF_EABORTED', op, undefined, cause);
  const { errno } = thrown as NodeJS.ErrnoException;
  if (typeof errno === 'number') return errorFromErrno(errno, op, thrown.message, cause);
  return new NestfrontError('NF_EIO', op, thrown.message, cause);
}
