// SPDX-License-Identifier: MIT
import type { Permissions } from './perms.js';

/** Never changed in place: a change is a new node with a new generation. */
export interface Node {
  readonly value: Buffer;
  readonly children: ReadonlySet<string>;
  readonly permissions: Permissions;
  readonly generation: number;
}

/** A node that changed, for the watches. */
export interface Change {
  readonly path: string;
  /** Only watches on this very path: a node that went with an ancestor. */
  readonly exact: boolean;
  /** Who may hear of it: who can read by any of these. */
  readonly readable: readonly Permissions[];
}

/** What the operations work on: the tree itself or a transaction's view of it. */
export interface NodeView {
  get(path: string): Node | undefined;
  /** `generation` of the node is set here. */
  set(path: string, node: Omit<Node, 'generation'>): void;
  delete(path: string): void;
  /** Nodes a domain owns. */
  owned(domid: number): number;
  changed(change: Change): void;
}

/** Bytes of a node as its quota counts them; stops counting beyond `most`. */
export function nodeBytes(node: Omit<Node, 'generation'>, most = Infinity): number {
  let bytes = 24 + 8 * node.permissions.length + node.value.length;
  for (const name of node.children) {
    if (bytes > most) break;
    bytes += name.length + 1;
  }
  return bytes;
}

/** The nodes by absolute path. */
export class Tree implements NodeView {
  readonly #nodes = new Map<string, Node>();
  readonly #owned = new Map<number, { nodes: number; bytes: number }>();
  readonly #onChange: (change: Change) => void;
  readonly #onStored: (path: string, node: Node | undefined) => void;
  #generation = 0;

  /**
   * @param onChange for the watches
   * @param onStored a node has a new value or new permissions, or (undefined) is gone
   */
  constructor(
    onChange: (change: Change) => void,
    onStored: (path: string, node: Node | undefined) => void = () => undefined,
  ) {
    this.#onChange = onChange;
    this.#onStored = onStored;
    const root: Permissions = [{ domid: 0, bits: 0 }];
    this.set('/', { value: Buffer.alloc(0), children: new Set(), permissions: root });
  }

  get size(): number {
    return this.#nodes.size;
  }

  get(path: string): Node | undefined {
    return this.#nodes.get(path);
  }

  set(path: string, node: Omit<Node, 'generation'>): void {
    const old = this.#nodes.get(path);
    this.#count(path, old, -1);
    const stored = { ...node, generation: ++this.#generation };
    this.#nodes.set(path, stored);
    this.#count(path, stored, 1);
    const same = old?.value === stored.value && old.permissions === stored.permissions;
    if (!same) this.#onStored(path, stored);
  }

  delete(path: string): void {
    this.#count(path, this.#nodes.get(path), -1);
    if (this.#nodes.delete(path)) this.#onStored(path, undefined);
  }

  owned(domid: number): number {
    return this.#owned.get(domid)?.nodes ?? 0;
  }

  /** Bytes of paths, values and permissions of the nodes a domain owns. */
  ownedBytes(domid: number): number {
    return this.#owned.get(domid)?.bytes ?? 0;
  }

  changed(change: Change): void {
    this.#onChange(change);
  }

  entries(): IterableIterator<[string, Node]> {
    return this.#nodes.entries();
  }

  #count(path: string, node: Node | undefined, by: number): void {
    if (!node) return;
    const { domid } = node.permissions[0];
    const { nodes, bytes } = this.#owned.get(domid) ?? { nodes: 0, bytes: 0 };
    // the children's names are counted where they are paths themselves
    const more = 24 + 8 * node.permissions.length + node.value.length + path.length;
    if (nodes + by > 0) this.#owned.set(domid, { nodes: nodes + by, bytes: bytes + by * more });
    else this.#owned.delete(domid);
  }
}
