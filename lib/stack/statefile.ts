// SPDX-License-Identifier: MIT
import { rename, writeFile } from 'node:fs/promises';
import { join } from 'node:path';

/**
 * A JSON file that changes as a whole or not at all, and without holding up the event loop: a disk
 * takes milliseconds for a rename. What changes while a write is under way goes with the next.
 */
export class StateFile {
  readonly #path: string;
  #wanted: unknown;
  #writing: Promise<void> | undefined;
  #error: Error | undefined;

  constructor(directory: string) {
    this.#path = join(directory, 'state.json');
  }

  write(state: unknown): void {
    this.#wanted = state;
    this.#writing ??= this.#write();
  }

  /** Once what was asked for is there. @throws Error the last write failed */
  async written(): Promise<void> {
    await this.#writing;
    const error = this.#error;
    this.#error = undefined;
    if (error !== undefined) throw error;
  }

  async #write(): Promise<void> {
    while (this.#wanted !== undefined) {
      const text = JSON.stringify(this.#wanted, null, 1);
      this.#wanted = undefined;
      try {
        await writeFile(`${this.#path}.new`, text, { mode: 0o600 });
        await rename(`${this.#path}.new`, this.#path);
        this.#error = undefined;
      } catch (error) {
        this.#error = error as Error; // whoever waits hears of it
      }
    }
    this.#writing = undefined; // in the step that saw nothing more to do
  }
}
