// SPDX-License-Identifier: MIT
import { parentOf } from './path.js';
import { READ, rights, type Caller, type Permissions } from './perms.js';
import type { Change } from './tree.js';

/** One registered watch. */
export interface Watch {
  /** Absolute, or one of the special names. */
  readonly path: string;
  readonly token: string;
  /** What to cut off in events when the client named it relatively; else 0. */
  readonly cut: number;
  readonly caller: Caller;
  fire(path: string): void;
}

/** All watches, found by path. */
export class WatchIndex {
  readonly #byPath = new Map<string, Set<Watch>>();
  #size = 0;

  get size(): number {
    return this.#size;
  }

  add(watch: Watch): void {
    const set = this.#byPath.get(watch.path) ?? new Set();
    this.#byPath.set(watch.path, set.add(watch));
    this.#size++;
  }

  remove(watch: Watch): void {
    const set = this.#byPath.get(watch.path);
    if (!set?.delete(watch)) return;
    if (set.size === 0) this.#byPath.delete(watch.path);
    this.#size--;
  }

  /** Fires the watches on the node and, unless exact, on its ancestors. */
  fire({ path, exact, readable }: Change): void {
    this.#fireAt(path, path, readable);
    if (exact || path === '/') return;
    for (let at = path; at !== '/'; ) {
      at = parentOf(at);
      this.#fireAt(at, path, readable);
    }
  }

  /** @introduceDomain and @releaseDomain have permissions of their own. */
  fireSpecial(name: string, permissions: Permissions): void {
    this.#fireAt(name, name, [permissions]);
  }

  #fireAt(at: string, path: string, readable: readonly Permissions[]): void {
    for (const watch of this.#byPath.get(at) ?? []) {
      const may = readable.some((p) => (rights(p, watch.caller) & READ) !== 0);
      if (may) watch.fire(path.slice(watch.cut));
    }
  }
}
