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
  /** By path, each with its place in the order they were made in. */
  readonly #byPath = new Map<string, Map<Watch, number>>();
  #size = 0;
  #next = 1;

  get size(): number {
    return this.#size;
  }

  add(watch: Watch): void {
    const here = this.#byPath.get(watch.path) ?? new Map<Watch, number>();
    this.#byPath.set(watch.path, here.set(watch, this.#next++));
    this.#size++;
  }

  remove(watch: Watch): void {
    const here = this.#byPath.get(watch.path);
    if (!here?.delete(watch)) return;
    if (here.size === 0) this.#byPath.delete(watch.path);
    this.#size--;
  }

  /** Fires the watches on the node and, unless exact, on its ancestors; the oldest first. */
  fire({ path, exact, readable }: Change): void {
    const found = [...(this.#byPath.get(path) ?? [])];
    for (let at = path; !exact && at !== '/'; ) {
      at = parentOf(at);
      found.push(...(this.#byPath.get(at) ?? []));
    }
    found.sort(([, a], [, b]) => a - b);
    for (const [watch] of found) tell(watch, path, readable);
  }

  /** @introduceDomain and @releaseDomain have permissions of their own. */
  fireSpecial(name: string, permissions: Permissions): void {
    for (const watch of this.#byPath.get(name)?.keys() ?? []) tell(watch, name, [permissions]);
  }
}

function tell(watch: Watch, path: string, readable: readonly Permissions[]): void {
  const may = readable.some((p) => (rights(p, watch.caller) & READ) !== 0);
  if (may) watch.fire(path.slice(watch.cut));
}
