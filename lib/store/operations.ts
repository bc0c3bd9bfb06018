// SPDX-License-Identifier: MIT
// What the requests do to the nodes, in the tree or in a transaction.

import { baseOf, join, parentOf } from './path.js';
import {
  formatPermission,
  inherit,
  isOwner,
  READ,
  rights,
  WRITE,
  type Caller,
  type Permissions,
} from './perms.js';
import { StoreError } from './storeerror.js';
import type { Limits, Node, NodeView } from './tree.js';

export const NOTHING = Buffer.alloc(0);

/** The node if `caller` has all of `wanted`; ENOENT shows only to who may see the parent. */
export function find(view: NodeView, path: string, caller: Caller, wanted: number): Node {
  const node = view.get(path);
  if (!node) throw missing(view, path, caller, wanted);
  if ((rights(node.permissions, caller) & wanted) !== wanted) throw new StoreError('EACCES');
  return node;
}

function missing(view: NodeView, path: string, caller: Caller, wanted: number): StoreError {
  for (let at = path; at !== '/'; ) {
    at = parentOf(at);
    const node = view.get(at);
    if (!node) continue;
    const allowed = (rights(node.permissions, caller) & wanted) === wanted;
    return new StoreError(allowed ? 'ENOENT' : 'EACCES');
  }
  return new StoreError('ENOENT');
}

export function write(
  view: NodeView,
  path: string,
  value: Buffer,
  caller: Caller,
  limits: Limits,
): void {
  if (!caller.privileged && value.length > limits.valueBytes) throw new StoreError('ENOSPC');
  const kept = Buffer.from(value); // the request's buffer is reused
  const node = view.get(path);
  if (!node) {
    create(view, path, kept, caller, limits);
  } else {
    if ((rights(node.permissions, caller) & WRITE) === 0) throw new StoreError('EACCES');
    view.set(path, { ...node, value: kept });
  }
  announce(view, path);
}

export function mkdir(view: NodeView, path: string, caller: Caller, limits: Limits): void {
  const node = view.get(path);
  if (node) {
    if ((rights(node.permissions, caller) & WRITE) === 0) throw new StoreError('EACCES');
    return; // there already: fine, and nothing changed
  }
  create(view, path, NOTHING, caller, limits);
  announce(view, path);
}

/** With missing parents, which inherit from the nearest one there is. */
function create(view: NodeView, path: string, value: Buffer, caller: Caller, limits: Limits): void {
  const missingPaths = [path];
  let at = parentOf(path);
  let parent = view.get(at);
  while (!parent) {
    missingPaths.push(at);
    at = parentOf(at);
    parent = view.get(at);
  }
  if ((rights(parent.permissions, caller) & WRITE) === 0) throw new StoreError('EACCES');
  const permissions = inherit(parent.permissions, caller);
  if (!caller.privileged && view.owned(caller.domid) + missingPaths.length > limits.nodes) {
    throw new StoreError('ENOSPC');
  }
  for (const next of missingPaths.reverse()) {
    const above = view.get(parentOf(next));
    if (!above) throw new Error('unreachable: the parent was made before');
    view.set(parentOf(next), { ...above, children: new Set(above.children).add(baseOf(next)) });
    const children = new Set<string>();
    view.set(next, { value: next === path ? value : NOTHING, children, permissions });
  }
}

/** The node and all below it. Missing is fine when its parent is there. */
export function remove(view: NodeView, path: string, caller: Caller): void {
  if (path === '/') throw new StoreError('EINVAL');
  const node = view.get(path);
  if (!node) {
    const error = missing(view, path, caller, WRITE);
    if (error.code === 'ENOENT' && view.get(parentOf(path))) return;
    throw error;
  }
  if ((rights(node.permissions, caller) & WRITE) === 0) throw new StoreError('EACCES');
  removeTree(view, path, node);
}

/** Without asking anybody. */
export function removeTree(view: NodeView, path: string, node: Node): void {
  announce(view, path);
  removeBelow(view, path, node);
  view.delete(path);
  const parent = view.get(parentOf(path));
  if (!parent) return;
  const children = new Set(parent.children);
  children.delete(baseOf(path));
  view.set(parentOf(path), { ...parent, children });
}

function removeBelow(view: NodeView, path: string, node: Node): void {
  for (const name of node.children) {
    const child = join(path, name);
    const below = view.get(child);
    if (!below) continue;
    const readable = [below.permissions, node.permissions];
    view.changed({ path: child, exact: true, readable });
    removeBelow(view, child, below);
    view.delete(child);
  }
}

export function setPermissions(
  view: NodeView,
  path: string,
  permissions: Permissions,
  caller: Caller,
  limits: Limits,
): void {
  const node = find(view, path, caller, WRITE);
  if (!isOwner(node.permissions, caller)) throw new StoreError('EACCES');
  if (!caller.privileged) {
    if (permissions.length > limits.permissions) throw new StoreError('ENOSPC');
    if (permissions[0].domid !== node.permissions[0].domid) throw new StoreError('EPERM');
  }
  view.set(path, { ...node, permissions });
  announce(view, path);
}

export function permissionText(view: NodeView, path: string, caller: Caller): string[] {
  return find(view, path, caller, READ).permissions.map(formatPermission);
}

/** Tells the watches on the path and above. Before a removal, while the node is still there. */
function announce(view: NodeView, path: string): void {
  const readable: Permissions[] = [];
  const node = view.get(path);
  if (node) readable.push(node.permissions);
  const parent = path === '/' ? undefined : view.get(parentOf(path));
  if (parent) readable.push(parent.permissions);
  view.changed({ path, exact: false, readable });
}
