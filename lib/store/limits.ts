// SPDX-License-Identifier: MIT

/** What a domain without privileges may use; names and defaults of Xen's xenstored. */
export interface Limits {
  /** Nodes it may own. */
  nodes: number;
  /** Bytes of one node: value, names of its children, 8 a permission, 24 more; must stay below. */
  nodeBytes: number;
  /** Permissions of one node. */
  permissions: number;
  watches: number;
  transactions: number;
  /** Nodes one transaction may touch. */
  transactionNodes: number;
  /** Replies it may leave unread before the server stops listening to it. */
  outstanding: number;
  /** Characters of a path, less a leading `/local/domain/<domid>/`. */
  path: number;
  /** Bytes of nodes, watches, transactions and waiting events together. */
  memory: number;
}

export const LIMITS: Limits = {
  nodes: 1000,
  nodeBytes: 2048,
  permissions: 5,
  watches: 128,
  transactions: 10,
  transactionNodes: 1024,
  outstanding: 20,
  path: 2048,
  memory: 2621440,
};

/** As the CONTROL request calls them, with what they are. */
export const LIMIT_NAMES: readonly [name: string, key: keyof Limits, help: string][] = [
  ['nodes', 'nodes', 'nodes a domain may own'],
  ['watches', 'watches', 'watches of a domain'],
  ['transactions', 'transactions', 'open transactions of a domain'],
  ['outstanding', 'outstanding', 'replies a domain may leave unread'],
  ['transaction-nodes', 'transactionNodes', 'nodes a transaction may touch'],
  ['memory', 'memory', 'bytes of a domain in the store'],
  ['node-size', 'nodeBytes', 'bytes of a node'],
  ['path-max', 'path', 'characters of a path'],
  ['permissions', 'permissions', 'permissions of a node'],
];
