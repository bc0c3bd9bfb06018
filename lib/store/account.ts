// SPDX-License-Identifier: MIT
import type { Limits } from './limits.js';
import type { Caller } from './perms.js';
import { StoreError } from './storeerror.js';
import type { Tree } from './tree.js';

/** What a domain uses of the store beside its nodes, over all its connections. */
export class Account {
  readonly caller: Caller;
  connections = 0;
  watches = 0;
  transactions = 0;
  /** Replies it has not taken yet. */
  outstanding = 0;
  /** Of watches and transactions. */
  bytes = 0;
  readonly #tree: Tree;
  readonly limits: Limits;

  constructor(caller: Caller, tree: Tree, limits: Limits) {
    this.caller = caller;
    this.#tree = tree;
    this.limits = limits;
  }

  /** Of everything that its quota counts. */
  get memory(): number {
    return this.#tree.ownedBytes(this.caller.domid) + this.bytes;
  }

  /** ENOMEM when there is no room for so many bytes more. */
  readonly charge = (bytes: number): void => {
    if (this.caller.privileged) return;
    if (this.memory + bytes > this.limits.memory) throw new StoreError('ENOMEM');
  };

  /** ENOSPC or what `code` says when the quota is used up. */
  need(what: 'watches' | 'transactions', code: 'E2BIG' | 'ENOSPC'): void {
    if (!this.caller.privileged && this[what] >= this.limits[what]) throw new StoreError(code);
  }
}

/** What a domain uses, by the names CONTROL gives it. */
export function usage(
  tree: Tree,
  domid: number,
  account: Account | undefined,
): { name: string; used: number }[] {
  return [
    { name: 'nodes', used: tree.owned(domid) },
    { name: 'watches', used: account?.watches ?? 0 },
    { name: 'transactions', used: account?.transactions ?? 0 },
    { name: 'outstanding', used: account?.outstanding ?? 0 },
    { name: 'memory', used: account?.memory ?? tree.ownedBytes(domid) },
  ];
}
