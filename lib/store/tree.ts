// SPDX-License-Identifier: MIT
import type { Permissions } from './perms.js';
import { StoreError } from './storeerror.js';

/** Never changed in place: a change is a new node with a new generation. */
export interface Node {
  readonly value: Buffer;
  readonly children: ReadonlySet<string>;
  readonly permissions: Permissions;
  readonly generation: number;
}

/** A node that changed, for the watches. Who could read it or its parent may hear of it. */
export interface Change {
  readonly path: string;
  /** Only watches on this very path: a node that went with an ancestor. */
  readonly exact: boolean;
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

export interface Limits {
  /** Nodes a domain without privileges may own. */
  nodes: number;
  /** Bytes of one node's value. */
  valueBytes: number;
  permissions: number;
  watches: number;
  transactions: number;
  /** Nodes one transaction may touch. */
  transactionNodes: number;
}

/** Xen's defaults. */
export const LIMITS: Limits = {
  nodes: 1000,
  valueBytes: 2048,
  permissions: 5,
  watches: 128,
  transactions: 10,
  transactionNodes: 1024,
};

/** The nodes by absolute path. */
export class Tree implements NodeView {
  readonly #nodes = new Map<string, Node>();
  readonly #owned = new Map<number, number>();
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
    this.#count(old, -1);
    const stored = { ...node, generation: ++this.#generation };
    this.#nodes.set(path, stored);
    this.#count(stored, 1);
    const same = old?.value === stored.value && old.permissions === stored.permissions;
    if (!same) this.#onStored(path, stored);
  }

  delete(path: string): void {
    this.#count(this.#nodes.get(path), -1);
    if (this.#nodes.delete(path)) this.#onStored(path, undefined);
  }

  owned(domid: number): number {
    return this.#owned.get(domid) ?? 0;
  }

  changed(change: Change): void {
    this.#onChange(change);
  }

  entries(): IterableIterator<[string, Node]> {
    return this.#nodes.entries();
  }

  #count(node: Node | undefined, by: number): void {
    if (!node) return;
    const { domid } = node.permissions[0];
    const count = this.owned(domid) + by;
    if (count > 0) this.#owned.set(domid, count);
    else this.#owned.delete(domid);
  }
}

/**
 * A transaction: reads fall through to the tree and are remembered, writes stay here. It commits
 * only if no node it looked at or changed was changed by others since.
 */
export class Transaction implements NodeView {
  readonly #tree: Tree;
  readonly #limit: number;
  /** Generation at first sight; 0: it was not there. */
  readonly #seen = new Map<string, number>();
  readonly #written = new Map<string, Node | undefined>();
  readonly #changes: Change[] = [];
  readonly #ownedBy = new Map<number, number>();
  #generation = -1;

  /** @param limit of nodes it may touch: ENOSPC beyond */
  constructor(tree: Tree, limit: number) {
    this.#tree = tree;
    this.#limit = limit;
  }

  get(path: string): Node | undefined {
    if (this.#written.has(path)) return this.#written.get(path);
    const node = this.#tree.get(path);
    this.#see(path, node);
    return node;
  }

  set(path: string, node: Omit<Node, 'generation'>): void {
    this.#count(this.get(path), -1);
    const stored = { ...node, generation: this.#generation-- };
    this.#written.set(path, stored);
    this.#count(stored, 1);
  }

  delete(path: string): void {
    this.#count(this.get(path), -1);
    this.#written.set(path, undefined);
  }

  owned(domid: number): number {
    return this.#tree.owned(domid) + (this.#ownedBy.get(domid) ?? 0);
  }

  changed(change: Change): void {
    this.#changes.push(change);
  }

  /** EAGAIN on a conflict; ENOSPC when a quota was used up meanwhile. */
  commit(nodesMax: number): void {
    for (const [path, generation] of this.#seen) {
      if ((this.#tree.get(path)?.generation ?? 0) !== generation) throw new StoreError('EAGAIN');
    }
    for (const [domid, more] of this.#ownedBy) {
      const over = this.#tree.owned(domid) + more > nodesMax;
      if (domid !== 0 && more > 0 && over) throw new StoreError('ENOSPC');
    }
    for (const [path, node] of this.#written) {
      if (node) this.#tree.set(path, node);
      else this.#tree.delete(path);
    }
    for (const change of this.#changes) this.#tree.changed(change);
  }

  #see(path: string, node: Node | undefined): void {
    if (this.#seen.has(path)) return;
    if (this.#seen.size >= this.#limit) throw new StoreError('ENOSPC');
    this.#seen.set(path, node?.generation ?? 0);
  }

  #count(node: Node | undefined, by: number): void {
    if (!node) return;
    const { domid } = node.permissions[0];
    this.#ownedBy.set(domid, (this.#ownedBy.get(domid) ?? 0) + by);
  }
}
