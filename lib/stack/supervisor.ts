// SPDX-License-Identifier: MIT
import { NestfrontError, toNestfrontError } from '../errors.js';

/** When it is tried again, and how often. */
export interface Patience {
  /** Pause before the second attempt, ms; it doubles. */
  readonly firstMs: number;
  readonly longestMs: number;
  /** Attempts in a row that may fail. */
  readonly attempts: number;
}

/** 0, 0.1, 0.2 … 6.4 s: a quarter of a minute in all. */
const PATIENCE: Patience = { firstMs: 100, longestMs: 12_800, attempts: 8 };
/** Who ran so long since its last start starts at once the next time. */
const CALM_MS = 30_000;

interface Record {
  backoffMs: number;
  startedAt: number;
  /** Attempts that failed since the last that did not. */
  failures: number;
  timer: NodeJS.Timeout | undefined;
}

/** What it tells of. */
export interface SupervisorListener {
  notice(line: string): void;
  /** Nothing more is tried by itself. */
  gaveUp(name: string, error: NestfrontError): void;
}

/**
 * Starts what ended again: at once, then after a pause that doubles while it keeps ending. What
 * cannot be started so many times in a row is given up.
 */
export class Supervisor {
  readonly #listener: SupervisorListener;
  readonly #patience: Patience;
  readonly #records = new Map<string, Record>();
  #closed = false;

  constructor(listener: SupervisorListener, patience = PATIENCE) {
    this.#listener = listener;
    this.#patience = patience;
  }

  /** @param start what to do; when it rejects it is tried again, later */
  run(name: string, start: () => Promise<void>): void {
    if (this.#closed) return;
    const { firstMs, longestMs } = this.#patience;
    const record = this.#record(name);
    const isCalm =
      record.startedAt > 0 && performance.now() - record.startedAt > CALM_MS + record.backoffMs;
    const wait = isCalm ? 0 : record.backoffMs;
    record.backoffMs = Math.min(Math.max(firstMs, wait * 2), longestMs);
    clearTimeout(record.timer);
    record.timer = setTimeout(() => {
      record.startedAt = performance.now();
      start().then(
        () => this.#started(name, record),
        (error: unknown) => this.#failed(name, record, error, start),
      );
    }, wait);
  }

  /** Nothing is started any more. */
  close(): void {
    this.#closed = true;
    for (const { timer } of this.#records.values()) clearTimeout(timer);
  }

  #record(name: string): Record {
    const found = this.#records.get(name);
    if (found !== undefined) return found;
    const made: Record = { backoffMs: 0, startedAt: 0, failures: 0, timer: undefined };
    this.#records.set(name, made);
    return made;
  }

  #started(name: string, record: Record): void {
    record.failures = 0;
    if (!this.#closed) this.#listener.notice(`${name} was started again`);
  }

  #failed(name: string, record: Record, error: unknown, start: () => Promise<void>): void {
    if (this.#closed) return;
    const cause = toNestfrontError(error, 'stack.restart');
    record.failures++;
    this.#listener.notice(`${name} could not be started again: ${cause.message}`);
    if (record.failures < this.#patience.attempts) return this.run(name, start);
    this.#records.delete(name); // whoever starts it by hand begins with a clean slate
    const text =
      `${name} is given up after ${record.failures} attempts: ${cause.message}; ` +
      `mend the cause, then stack.restart("${name}"), or take the stack down`;
    this.#listener.gaveUp(name, new NestfrontError(cause.code, 'stack.restart', text, { cause }));
  }
}
