// SPDX-License-Identifier: MIT
// What the handlers of all requests share.

import type { StoreConnection } from './connection.js';
import type { Limits } from './limits.js';
import { absolute } from './path.js';
import type { Permissions } from './perms.js';
import type { StoreRecord } from './record.js';
import { StoreError } from './storeerror.js';
import type { NodeView, Tree } from './tree.js';
import type { WatchIndex } from './watches.js';
import { split, strings, type XsMessage } from './wire.js';

export interface StoreState {
  readonly tree: Tree;
  readonly watches: WatchIndex;
  readonly limits: Limits;
  readonly introduced: Set<number>;
  readonly specials: Map<string, Permissions>;
  /** Domains that have another one's rights as well. */
  readonly targets: Map<number, number>;
  /** Told to the server's journal with the request's other records. */
  journal(record: StoreRecord): void;
  introduce(domid: number): void;
  release(domid: number): void;
  setTarget(domid: number, target: number): void;
  log(line: string): void;
  /** What a domain uses now. */
  usage(domid: number): { name: string; used: number }[];
}

/** Gives the reply's payload or throws the StoreError that is the reply. */
export type Handler = (state: StoreState, conn: StoreConnection, message: XsMessage) => Buffer;

export const OK = strings('OK');
export const DOMID_SELF = 0x7ff0;

/** Exactly `count` NUL-terminated strings. */
export function args(message: XsMessage, count: number): string[] {
  const words = split(message.payload);
  if (words.length !== count + 1 || words[count] !== '') throw new StoreError('EINVAL');
  return words.slice(0, count);
}

/** The tree, or the transaction the request names: ENOENT when the client has no such. */
export function viewOf(
  state: StoreState,
  conn: StoreConnection,
  { txId }: { txId: number },
): NodeView {
  if (txId === 0) return state.tree;
  const transaction = conn.transactions.get(txId);
  if (!transaction) throw new StoreError('ENOENT');
  return transaction;
}

/** A path as the client means it, absolute and within its quota. */
export function pathOf(state: StoreState, conn: StoreConnection, path: string): string {
  return absolute(path, conn.caller, state.limits.path);
}

export function pathArg(state: StoreState, conn: StoreConnection, message: XsMessage): string {
  const [path = ''] = args(message, 1);
  return pathOf(state, conn, path);
}

/** The way C's atoi reads a number: its leading digits, or 0; as an unsigned 32-bit word. */
export function loose(text: string | undefined): number {
  return Number.parseInt(/^\s*[+-]?\d+/.exec(text ?? '')?.[0] ?? '0', 10) >>> 0;
}
