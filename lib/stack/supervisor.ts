// SPDX-License-Identifier: MIT

const FIRST_MS = 100;
const LONGEST_MS = 12_800;
/** Who ran so long since its last start starts at once the next time. */
const CALM_MS = 30_000;

interface Record {
  backoffMs: number;
  startedAt: number;
  timer: NodeJS.Timeout | undefined;
}

/** Starts what ended again: at once, then after a pause that doubles while it keeps ending. */
export class Supervisor {
  readonly #notice: (line: string) => void;
  readonly #records = new Map<string, Record>();
  #closed = false;

  constructor(notice: (line: string) => void) {
    this.#notice = notice;
  }

  /** @param start what to do; when it rejects it is tried again, later */
  run(name: string, start: () => Promise<void>): void {
    if (this.#closed) return;
    const now = performance.now();
    const record = this.#records.get(name) ?? { backoffMs: 0, startedAt: 0, timer: undefined };
    const isCalm = record.startedAt > 0 && now - record.startedAt > CALM_MS;
    const wait = isCalm ? 0 : record.backoffMs;
    record.backoffMs = Math.min(Math.max(FIRST_MS, wait * 2), LONGEST_MS);
    this.#records.set(name, record);
    clearTimeout(record.timer);
    record.timer = setTimeout(() => {
      record.startedAt = performance.now();
      start().then(
        () => this.#closed || this.#notice(`${name} was started again`),
        (error: unknown) => {
          if (this.#closed) return;
          this.#notice(`${name} could not be started again: ${(error as Error).message}`);
          this.run(name, start);
        },
      );
    }, wait);
  }

  /** Nothing is started any more. */
  close(): void {
    this.#closed = true;
    for (const { timer } of this.#records.values()) clearTimeout(timer);
  }
}
