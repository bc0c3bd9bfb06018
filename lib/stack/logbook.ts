// SPDX-License-Identifier: MIT
const KEPT_LINES = 1000;

/** The last lines a stack's processes logged, for who asks later. */
export class Logbook {
  readonly #lines: string[] = [];
  readonly #pass: ((line: string) => void) | undefined;

  /** @param pass also gets each line at once */
  constructor(pass?: (line: string) => void) {
    this.#pass = pass;
  }

  readonly add = (line: string): void => {
    this.#lines.push(`${new Date().toISOString()} ${line}`);
    if (this.#lines.length > KEPT_LINES) this.#lines.shift();
    this.#pass?.(line);
  };

  /** Oldest first; at most 1,000. */
  get lines(): readonly string[] {
    return this.#lines;
  }
}
