// SPDX-License-Identifier: MIT
import { parentOf } from './path.js';
import type { Permissions } from './perms.js';
import { StoreError } from './storeerror.js';
import type { Change, Node, NodeView, Tree } from './tree.js';

export interface TransactionLimits {
  /** Nodes it may touch: ENOSPC beyond. */
  nodes: number;
  /** Told of bytes it needs more, before it takes them; throws when they are too many. */
  charge(bytes: number): void;
}

/**
 * A transaction: what it reads it reads again as it was, what it writes stays here. It commits
 * only if no node it looked at or changed was changed by others since.
 */
export class Transaction implements NodeView {
  readonly #tree: Tree;
  readonly #limits: TransactionLimits;
  /** Every node it looked at, as it was then. */
  readonly #seen = new Map<string, Node | undefined>();
  readonly #written = new Map<string, Node | undefined>();
  /** By path: whether only the watches on this very path are told. */
  readonly #changes = new Map<string, boolean>();
  readonly #ownedBy = new Map<number, number>();
  #generation = -1;
  #bytes = 0;

  constructor(tree: Tree, limits: TransactionLimits) {
    this.#tree = tree;
    this.#limits = limits;
  }

  /** Bytes it was charged so far. */
  get charged(): number {
    return this.#bytes;
  }

  get(path: string): Node | undefined {
    if (this.#written.has(path)) return this.#written.get(path);
    if (this.#seen.has(path)) return this.#seen.get(path);
    const node = this.#tree.get(path);
    if (this.#seen.size >= this.#limits.nodes) throw new StoreError('ENOSPC');
    this.#charge(path.length + 64 + (node?.value.length ?? 0));
    this.#seen.set(path, node);
    return node;
  }

  set(path: string, node: Omit<Node, 'generation'>): void {
    const old = this.get(path);
    this.#charge(node.value.length - (this.#written.has(path) ? (old?.value.length ?? 0) : 0));
    this.#count(old, -1);
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

  changed({ path, exact }: Change): void {
    this.#changes.set(path, exact);
  }

  /** EAGAIN on a conflict; ENOSPC when a quota was used up meanwhile. One event a node. */
  commit(nodesMax: number): void {
    for (const [domid, more] of this.#ownedBy) {
      const over = this.#tree.owned(domid) + more > nodesMax;
      if (domid !== 0 && more > 0 && over) throw new StoreError('ENOSPC');
    }
    for (const [path, node] of this.#seen) {
      if (this.#tree.get(path)?.generation !== node?.generation) throw new StoreError('EAGAIN');
    }
    // parents come before their children and go after them
    const written = [...this.#written].sort(([a], [b]) => a.length - b.length);
    for (const [path, node] of written) if (node) this.#tree.set(path, node);
    for (const [path, node] of written.reverse()) if (!node) this.#tree.delete(path);
    for (const [path, before] of this.#seen) {
      const exact = this.#changes.get(path);
      if (exact !== undefined) this.#tell(path, exact, before?.permissions);
    }
  }

  /** Who could read it before, or can read it or its parent now. */
  #tell(path: string, exact: boolean, before: Permissions | undefined): void {
    const readable = before ? [before] : [];
    const node = this.#tree.get(path);
    if (node) readable.push(node.permissions);
    const parent = node && path !== '/' ? this.#tree.get(parentOf(path)) : undefined;
    if (parent) readable.push(parent.permissions);
    this.#tree.changed({ path, exact, readable });
  }

  /** What it once had room for stays charged until it ends. */
  #charge(bytes: number): void {
    if (bytes <= 0) return;
    this.#limits.charge(bytes);
    this.#bytes += bytes;
  }

  #count(node: Node | undefined, by: number): void {
    if (!node) return;
    const { domid } = node.permissions[0];
    this.#ownedBy.set(domid, (this.#ownedBy.get(domid) ?? 0) + by);
  }
}
