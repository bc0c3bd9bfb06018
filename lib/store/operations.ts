// SPDX-License-Identifier: MIT
// What the requests do to the nodes, in the tree or in a transaction.

import type { Limits } from './limits.js';
import { baseOf, join, parentOf } from './path.js';
import {
  formatPermission,
  inherit,
  OWNER,
  READ,
  rights,
  WRITE,
  type Caller,
  type Permissions,
} from './perms.js';
import { StoreError } from './storeerror.js';
import { nodeBytes, type Node, type NodeView } from './tree.js';

export const NOTHING = Buffer.alloc(0);

/** Somebody's quotas. */
export interface Bounds {
  readonly limits: Limits;
  /** ENOMEM when the caller has no `bytes` left. */
  readonly charge: (bytes: number) => void;
}

/** The node if `caller` has all of `wanted`; ENOENT shows only to who may see the parent. */
export function find(view: NodeView, path: string, caller: Caller, wanted: number): Node {
  const node = view.get(path);
  if (!node) throw missing(view, path, caller, wanted);
  if ((rights(node.permissions, caller) & wanted) !== wanted) throw refused(view, path);
  return node;
}

function missing(view: NodeView, path: string, caller: Caller, wanted: number): StoreError {
  for (let at = path; at !== '/'; ) {
    at = parentOf(at);
    const node = view.get(at);
    if (!node) continue;
    const allowed = (rights(node.permissions, caller) & wanted) !== 0;
    return new StoreError(allowed ? 'ENOENT' : 'EACCES');
  }
  return new StoreError('ENOENT');
}

/** xenstored looks at the parent then as well: a transaction depends on it from here on. */
function refused(view: NodeView, path: string): StoreError {
  if (path !== '/') view.get(parentOf(path));
  return new StoreError('EACCES');
}

export function write(
  view: NodeView,
  path: string,
  value: Buffer,
  caller: Caller,
  bounds: Bounds,
): void {
  const kept = Buffer.from(value); // the request's buffer is reused
  const node = view.get(path);
  if (!node) {
    create(view, path, kept, caller, bounds);
  } else {
    if ((rights(node.permissions, caller) & WRITE) === 0) throw refused(view, path);
    const changed = { ...node, value: kept };
    bound(changed, kept.length - node.value.length, caller, bounds);
    view.set(path, changed);
  }
  announce(view, path);
}

export function mkdir(view: NodeView, path: string, caller: Caller, bounds: Bounds): void {
  const node = view.get(path);
  if (node) {
    if ((rights(node.permissions, caller) & WRITE) === 0) throw refused(view, path);
    return; // there already: fine, and nothing changed
  }
  create(view, path, NOTHING, caller, bounds);
  announce(view, path);
}

function bound(
  node: Omit<Node, 'generation'>,
  more: number,
  caller: Caller,
  { limits, charge }: Bounds,
): void {
  if (caller.privileged) return;
  if (nodeBytes(node, limits.nodeBytes) >= limits.nodeBytes) throw new StoreError('ENOSPC');
  if (more > 0) charge(more);
}

/** With missing parents, which inherit from the nearest one there is. */
function create(view: NodeView, path: string, value: Buffer, caller: Caller, bounds: Bounds): void {
  const missingPaths = [path];
  let at = parentOf(path);
  let parent = view.get(at);
  while (!parent) {
    missingPaths.push(at);
    at = parentOf(at);
    parent = view.get(at);
  }
  if ((rights(parent.permissions, caller) & WRITE) === 0) {
    throw missing(view, path, caller, WRITE);
  }
  const permissions = inherit(parent.permissions, caller);
  const { limits } = bounds;
  if (!caller.privileged && view.owned(caller.domid) + missingPaths.length > limits.nodes) {
    throw new StoreError('ENOSPC');
  }
  // parents first; nothing is stored until all of it is known to fit
  const made = missingPaths.reverse().map((made, i, all): [string, Omit<Node, 'generation'>] => {
    const below = all[i + 1];
    const children = new Set(below === undefined ? [] : [baseOf(below)]);
    return [made, { value: below === undefined ? value : NOTHING, children, permissions }];
  });
  const first = made[0]?.[0] ?? path;
  const grown = { ...parent, children: new Set(parent.children).add(baseOf(first)) };
  for (const [madePath, node] of made)
    bound(node, nodeBytes(node) + madePath.length, caller, bounds);
  bound(grown, 0, caller, bounds);
  view.set(at, grown);
  for (const [madePath, node] of made) view.set(madePath, node);
}

/** The node and all below it. Missing is fine when its parent is there. */
export function remove(view: NodeView, path: string, caller: Caller): void {
  const node = view.get(path);
  if (!node) {
    const error = path === '/' ? new StoreError('ENOENT') : missing(view, path, caller, WRITE);
    if (error.code === 'ENOENT' && view.get(parentOf(path))) return;
    throw error;
  }
  if ((rights(node.permissions, caller) & WRITE) === 0) throw refused(view, path);
  if (path === '/') throw new StoreError('EINVAL');
  removeTree(view, path, node);
}

/** Without asking anybody. Those deepest go first, and so do their events. */
export function removeTree(view: NodeView, path: string, node: Node): void {
  const parent = view.get(parentOf(path));
  if (!parent) throw new Error(`the store's tree has a hole above ${path}`);
  const children = new Set(parent.children);
  children.delete(baseOf(path));
  view.set(parentOf(path), { ...parent, children });
  removeBelow(view, path, node);
  view.delete(path);
  view.changed({ path, exact: false, readable: [node.permissions, parent.permissions] });
}

function removeBelow(view: NodeView, path: string, node: Node): void {
  for (const name of node.children) {
    const child = join(path, name);
    const below = view.get(child);
    if (!below) throw new Error(`the store's tree has a hole at ${child}`);
    removeBelow(view, child, below);
    view.delete(child);
    const readable = [below.permissions, node.permissions];
    view.changed({ path: child, exact: true, readable });
  }
}

export function setPermissions(
  view: NodeView,
  path: string,
  permissions: Permissions,
  caller: Caller,
  bounds: Bounds,
): void {
  const node = find(view, path, caller, WRITE | OWNER);
  if (!caller.privileged && permissions[0].domid !== node.permissions[0].domid) {
    throw new StoreError('EPERM');
  }
  const changed = { ...node, permissions };
  bound(changed, 8 * (permissions.length - node.permissions.length), caller, bounds);
  view.set(path, changed);
  announce(view, path, node.permissions);
}

export function permissionText(view: NodeView, path: string, caller: Caller): string[] {
  return find(view, path, caller, READ).permissions.map(formatPermission);
}

/** Tells the watches on the path and above; also who could read it until now. */
function announce(view: NodeView, path: string, before?: Permissions): void {
  const readable = before ? [before] : [];
  const node = view.get(path);
  if (node) readable.push(node.permissions);
  const parent = path === '/' ? undefined : view.get(parentOf(path));
  if (parent) readable.push(parent.permissions);
  view.changed({ path, exact: false, readable });
}
