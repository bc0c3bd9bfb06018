// SPDX-License-Identifier: MIT
// The requests of a toolstack about domains.
import { removeTree } from './operations.js';
import { domainPath } from './path.js';
import { without } from './perms.js';
import { recorded } from './record.js';
import { args, DOMID_SELF, loose, OK, type Handler, type StoreState } from './request.js';
import { StoreError } from './storeerror.js';
import { strings } from './wire.js';

/** A domain that was introduced and is not domain 0. */
function other({ introduced }: StoreState, text: string | undefined): number {
  const domid = loose(text);
  if (domid === 0) throw new StoreError('EINVAL');
  if (!introduced.has(domid)) throw new StoreError('ENOENT');
  return domid;
}

/** The page and the port are for a hypervisor that has such; here domains come with sockets. */
export const introduce: Handler = (state, _conn, message) => {
  const [domid] = args(message, 3);
  if (loose(domid) >= DOMID_SELF) throw new StoreError('EINVAL');
  state.introduce(loose(domid));
  return OK;
};

export const release: Handler = (state, _conn, message) => {
  state.release(other(state, args(message, 1)[0]));
  return OK;
};

export const resume: Handler = (state, _conn, message) => {
  other(state, args(message, 1)[0]);
  return OK;
};

export const setTarget: Handler = (state, _conn, message) => {
  const [domid, target] = args(message, 2).map(loose);
  if (domid === undefined || target === undefined) throw new StoreError('EINVAL');
  for (const id of [domid, target]) {
    if (id !== 0 && !state.introduced.has(id)) throw new StoreError('ENOENT');
  }
  state.setTarget(domid, target);
  return OK;
};

export const getDomainPath: Handler = (_state, _conn, message) =>
  strings(domainPath(loose(args(message, 1)[0])));

export const isDomainIntroduced: Handler = (state, _conn, message) => {
  const domid = loose(args(message, 1)[0]);
  return strings(domid === DOMID_SELF || state.introduced.has(domid) ? 'T' : 'F');
};

/** The nodes of a domain that died go, and its rights to others' are void. */
export function removeOwned(state: StoreState, domid: number): void {
  const { tree, specials } = state;
  for (const [path] of [...tree.entries()]) {
    const node = tree.get(path);
    if (!node) continue; // went with its parent
    if (node.permissions[0].domid === domid && path !== '/') {
      removeTree(tree, path, node);
      continue;
    }
    const permissions = without(node.permissions, domid);
    if (permissions !== node.permissions) tree.set(path, { ...node, permissions });
  }
  for (const [name, permissions] of specials) {
    const left = without(permissions, domid);
    specials.set(name, left);
    if (left !== permissions) state.journal({ special: name, permissions: recorded(left) });
  }
}
