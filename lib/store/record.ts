// SPDX-License-Identifier: MIT
// What a store holds, as records: a snapshot is a list of them, a journal goes on with more, and
// replaying both in order makes the same store again. All of it is JSON.

import { LIMIT_NAMES, LIMITS, type Limits } from './limits.js';
import { NOTHING } from './operations.js';
import { baseOf, parentOf } from './path.js';
import { formatPermission, parsePermissions, type Permissions } from './perms.js';
import type { Node, Tree } from './tree.js';

export type StoreRecord =
  /** A node that came or changed; each byte of the value is one character. Parents come first. */
  | { node: string; value: string; permissions: string[] }
  /** A node that went; those below it went before. */
  | { removed: string }
  /** Permissions of `@introduceDomain` or `@releaseDomain`. */
  | { special: string; permissions: string[] }
  | { introduced: number }
  | { released: number }
  /** Domain `of` has the rights of domain `target` as well (SET_TARGET). */
  | { target: number; of: number }
  | { quota: keyof Limits; value: number };

/** What of a server's state lives on with its process' successor: not its connections. */
export interface Restorable {
  readonly tree: Tree;
  readonly introduced: Set<number>;
  readonly specials: Map<string, Permissions>;
  readonly targets: Map<number, number>;
  readonly limits: Limits;
}

/** With a mark behind entries that are void. */
export function recorded(permissions: Permissions): string[] {
  return permissions.map((p) => formatPermission(p) + (p.void ? '!' : ''));
}

function unrecorded(words: readonly string[]): Permissions {
  const [owner, ...others] = parsePermissions(words.map((word) => word.replace(/!$/, '')));
  const all = others.map((p, i) =>
    words[i + 1]?.endsWith('!') ? { ...p, void: true as const } : p,
  );
  return [owner, ...all];
}

export function nodeRecord(path: string, { value, permissions }: Node): StoreRecord {
  return { node: path, value: value.toString('latin1'), permissions: recorded(permissions) };
}

/** Everything, in an order in which it can be replayed. */
export function* snapshot(state: Restorable): Generator<StoreRecord, void> {
  for (const domid of state.introduced) yield { introduced: domid };
  for (const [of, target] of state.targets) yield { target, of };
  for (const [, quota] of LIMIT_NAMES) {
    if (state.limits[quota] !== LIMITS[quota]) yield { quota, value: state.limits[quota] };
  }
  for (const [special, permissions] of state.specials) {
    yield { special, permissions: recorded(permissions) };
  }
  // depth first, children in their order: what xenstore-ls shows is the same afterwards
  const paths = ['/'];
  for (let path = paths.pop(); path !== undefined; path = paths.pop()) {
    const node = state.tree.get(path);
    if (!node) throw new Error(`the store's tree has a hole at ${path}`);
    yield nodeRecord(path, node);
    const below = path === '/' ? '/' : `${path}/`;
    for (const name of [...node.children].reverse()) paths.push(below + name);
  }
}

/** Replays one record without telling any watch. @throws Error for what no store has written */
export function replay(state: Restorable, record: StoreRecord): void {
  if ('node' in record) replayNode(state.tree, record.node, record);
  else if ('removed' in record) replayRemoval(state.tree, record.removed);
  else if ('special' in record) {
    if (!state.specials.has(record.special)) throw new Error(`no special node ${record.special}`);
    state.specials.set(record.special, unrecorded(record.permissions));
  } else if ('introduced' in record) state.introduced.add(record.introduced);
  else if ('released' in record) {
    state.introduced.delete(record.released);
    state.targets.delete(record.released);
  } else if ('target' in record) state.targets.set(record.of, record.target);
  else if (record.quota in state.limits) state.limits[record.quota] = record.value;
  else throw new Error(`no quota ${String(record.quota)}`);
}

function replayNode(
  tree: Tree,
  path: string,
  { value, permissions }: { value: string; permissions: string[] },
): void {
  const node = tree.get(path);
  if (!node) {
    const parent = tree.get(parentOf(path));
    if (!parent) throw new Error(`a record of ${path}, whose parent is not there`);
    const children = new Set(parent.children).add(baseOf(path));
    tree.set(parentOf(path), { ...parent, children });
  }
  const bytes = value === '' ? NOTHING : Buffer.from(value, 'latin1');
  tree.set(path, {
    value: bytes,
    children: node?.children ?? new Set(),
    permissions: unrecorded(permissions),
  });
}

function replayRemoval(tree: Tree, path: string): void {
  const parent = tree.get(parentOf(path));
  if (!parent || !tree.get(path) || path === '/') return;
  const children = new Set(parent.children);
  children.delete(baseOf(path));
  tree.set(parentOf(path), { ...parent, children });
  tree.delete(path);
}
