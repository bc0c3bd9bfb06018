// SPDX-License-Identifier: MIT

/** Events of one watch between the socket and its iterator. Equal ones are merged. */
export class WatchQueue {
  readonly #paths = new Set<string>();
  #wake: (() => void) | undefined;
  #error: Error | undefined;
  #ended = false;

  /** True while somebody awaits next(). */
  get waiting(): boolean {
    return this.#wake !== undefined;
  }

  push(path: string): void {
    this.#paths.add(path);
    this.#wake?.();
  }

  /** Ends the iteration with `error`, once what is queued was taken. The first one stays. */
  fail(error: Error): void {
    this.#error ??= error;
    this.#wake?.();
  }

  /** Ends it without one, at once. */
  end(): void {
    this.#ended = true;
    this.#wake?.();
  }

  /** The next path; undefined once ended. */
  async next(): Promise<string | undefined> {
    for (;;) {
      if (this.#ended) return undefined;
      const [path] = this.#paths;
      if (path !== undefined) {
        this.#paths.delete(path);
        return path;
      }
      if (this.#error) throw this.#error;
      await new Promise<void>((resolve) => (this.#wake = resolve));
      this.#wake = undefined;
    }
  }
}
