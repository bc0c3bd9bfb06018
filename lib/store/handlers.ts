// SPDX-License-Identifier: MIT
// One function per request type: (state, connection, message) to the reply's payload.

import type { StoreConnection } from './connection.js';
import { find, mkdir, permissionText, remove, setPermissions, write } from './operations.js';
import { absolute, domainPath } from './path.js';
import { formatPermission, parsePermissions, READ, type Permissions } from './perms.js';
import type { StoreRecord } from './record.js';
import { StoreError } from './storeerror.js';
import { Transaction, type Limits, type NodeView, type Tree } from './tree.js';
import type { Watch, WatchIndex } from './watches.js';
import { split, strings, XS, XS_PAYLOAD_MAX, XS_ABS_PATH_MAX, type XsMessage } from './wire.js';

export interface StoreState {
  tree: Tree;
  watches: WatchIndex;
  limits: Limits;
  introduced: Set<number>;
  specials: Map<string, Permissions>;
  /** Domains that have another one's rights as well. */
  targets: Map<number, number>;
  /** Told to the server's journal with the request's other records. */
  journal(record: StoreRecord): void;
  introduce(domid: number): void;
  release(domid: number): void;
}

type Handler = (state: StoreState, conn: StoreConnection, message: XsMessage) => Buffer;

const OK = strings('OK');
const DOMID_SELF = 0x7ff0;

/** Exactly `count` NUL-terminated strings. */
function args(message: XsMessage, count: number): string[] {
  const words = split(message.payload);
  if (words.length !== count + 1 || words[count] !== '') throw new StoreError('EINVAL');
  return words.slice(0, count);
}

function viewOf(state: StoreState, conn: StoreConnection, { txId }: XsMessage): NodeView {
  if (txId === 0) return state.tree;
  const transaction = conn.transactions.get(txId);
  if (!transaction) throw new StoreError('ENOENT');
  return transaction;
}

function pathArg(conn: StoreConnection, message: XsMessage): string {
  const [path = ''] = args(message, 1);
  return absolute(path, conn.caller.domid);
}

function domidArg(text: string | undefined): number {
  if (!/^(0|[1-9]\d{0,4})$/.test(text ?? '')) throw new StoreError('EINVAL');
  const domid = Number(text);
  if (domid > DOMID_SELF) throw new StoreError('EINVAL');
  return domid;
}

const read: Handler = (state, conn, message) =>
  find(viewOf(state, conn, message), pathArg(conn, message), conn.caller, READ).value;

const directory: Handler = (state, conn, message) => {
  const node = find(viewOf(state, conn, message), pathArg(conn, message), conn.caller, READ);
  const payload = strings(...node.children);
  if (payload.length > XS_PAYLOAD_MAX) throw new StoreError('E2BIG');
  return payload;
};

/** Whole names from an offset on; the last part ends with an extra NUL. */
const directoryPart: Handler = (state, conn, message) => {
  const [path = '', from = ''] = args(message, 2);
  const view = viewOf(state, conn, message);
  const node = find(view, absolute(path, conn.caller.domid), conn.caller, READ);
  const all = strings(...node.children);
  const generation = strings(String(node.generation));
  const offset = /^\d{1,9}$/.test(from) ? Number(from) : NaN;
  if (!(offset <= all.length)) throw new StoreError('EINVAL');
  const room = XS_PAYLOAD_MAX - generation.length - 1;
  const rest = all.subarray(offset);
  if (rest.length <= room) return Buffer.concat([generation, rest, Buffer.alloc(1)]);
  const cut = rest.lastIndexOf(0, room - 1) + 1;
  return Buffer.concat([generation, rest.subarray(0, cut)]);
};

const getPerms: Handler = (state, conn, message) => {
  const [path = ''] = args(message, 1);
  const special = state.specials.get(path);
  if (special) {
    if (!conn.caller.privileged) throw new StoreError('EACCES');
    return strings(...special.map(formatPermission));
  }
  const at = absolute(path, conn.caller.domid);
  return strings(...permissionText(viewOf(state, conn, message), at, conn.caller));
};

const setPerms: Handler = (state, conn, message) => {
  const [path = '', ...words] = split(message.payload);
  if (words.pop() !== '') throw new StoreError('EINVAL');
  const permissions = parsePermissions(words);
  if (state.specials.has(path)) {
    if (!conn.caller.privileged) throw new StoreError('EACCES');
    state.specials.set(path, permissions);
    state.journal({ special: path, permissions: permissions.map(formatPermission) });
    return OK;
  }
  const at = absolute(path, conn.caller.domid);
  setPermissions(viewOf(state, conn, message), at, permissions, conn.caller, state.limits);
  return OK;
};

const writeNode: Handler = (state, conn, message) => {
  const { payload } = message;
  const cut = payload.indexOf(0);
  if (cut < 0) throw new StoreError('EINVAL');
  const path = absolute(payload.toString('latin1', 0, cut), conn.caller.domid);
  const value = payload.subarray(cut + 1);
  write(viewOf(state, conn, message), path, value, conn.caller, state.limits);
  return OK;
};

const mkdirNode: Handler = (state, conn, message) => {
  mkdir(viewOf(state, conn, message), pathArg(conn, message), conn.caller, state.limits);
  return OK;
};

const removeNode: Handler = (state, conn, message) => {
  remove(viewOf(state, conn, message), pathArg(conn, message), conn.caller);
  return OK;
};

const watch: Handler = (state, conn, message) => {
  const [path = '', token = ''] = split(message.payload); // a third word, a depth, is ignored
  if (split(message.payload).length < 3) throw new StoreError('EINVAL');
  const special = path.startsWith('@');
  if (special && !state.specials.has(path)) throw new StoreError('EINVAL');
  const at = special ? path : absolute(path, conn.caller.domid);
  const key = `${at}\0${token}`;
  if (conn.watches.has(key)) throw new StoreError('EEXIST');
  if (token.length > XS_ABS_PATH_MAX - path.length) throw new StoreError('EINVAL');
  if (!conn.caller.privileged && conn.watches.size >= state.limits.watches) {
    throw new StoreError('E2BIG');
  }
  const relative = !special && !path.startsWith('/');
  const cut = relative ? domainPath(conn.caller.domid).length + 1 : 0;
  const fire = (changed: string): void => conn.event(changed, token);
  const added: Watch = { path: at, token, cut, caller: conn.caller, fire };
  conn.watches.set(key, added);
  state.watches.add(added);
  fire(path); // the first comes at once, so that nothing is missed
  return OK;
};

const unwatch: Handler = (state, conn, message) => {
  const [path = '', token = ''] = args(message, 2);
  const at = path.startsWith('@') ? path : absolute(path, conn.caller.domid);
  const key = `${at}\0${token}`;
  const found = conn.watches.get(key);
  if (!found) throw new StoreError('ENOENT');
  conn.watches.delete(key);
  state.watches.remove(found);
  return OK;
};

const transactionStart: Handler = (state, conn, message) => {
  if (message.txId !== 0) throw new StoreError('EBUSY');
  const { limits } = state;
  if (!conn.caller.privileged && conn.transactions.size >= limits.transactions) {
    throw new StoreError('ENOSPC');
  }
  const id = conn.nextTransaction;
  conn.nextTransaction = (id % 0x7fffffff) + 1;
  const nodes = conn.caller.privileged ? Infinity : limits.transactionNodes;
  conn.transactions.set(id, new Transaction(state.tree, nodes));
  return strings(String(id));
};

const transactionEnd: Handler = (state, conn, message) => {
  const [how] = args(message, 1);
  if (how !== 'T' && how !== 'F') throw new StoreError('EINVAL');
  const transaction = conn.transactions.get(message.txId);
  if (!transaction) throw new StoreError('ENOENT');
  conn.transactions.delete(message.txId);
  if (how === 'T') transaction.commit(state.limits.nodes);
  return OK;
};

const introduce: Handler = (state, conn, message) => {
  if (!conn.caller.privileged) throw new StoreError('EACCES');
  const [domid] = split(message.payload);
  state.introduce(domidArg(domid));
  return OK;
};

const release: Handler = (state, conn, message) => {
  if (!conn.caller.privileged) throw new StoreError('EACCES');
  const domid = domidArg(args(message, 1)[0]);
  if (domid === 0) throw new StoreError('EINVAL');
  if (!state.introduced.has(domid)) throw new StoreError('ENOENT');
  state.release(domid);
  return OK;
};

const getDomainPath: Handler = (_state, _conn, message) =>
  strings(domainPath(domidArg(args(message, 1)[0])));

const isDomainIntroduced: Handler = (state, _conn, message) => {
  const domid = domidArg(args(message, 1)[0]);
  return strings(domid === DOMID_SELF || state.introduced.has(domid) ? 'T' : 'F');
};

const resetWatches: Handler = (state, conn) => {
  for (const found of conn.watches.values()) state.watches.remove(found);
  conn.watches.clear();
  conn.transactions.clear();
  return OK;
};

export const handlers: Readonly<Record<number, Handler>> = {
  [XS.DIRECTORY]: directory,
  [XS.READ]: read,
  [XS.GET_PERMS]: getPerms,
  [XS.WATCH]: watch,
  [XS.UNWATCH]: unwatch,
  [XS.TRANSACTION_START]: transactionStart,
  [XS.TRANSACTION_END]: transactionEnd,
  [XS.INTRODUCE]: introduce,
  [XS.RELEASE]: release,
  [XS.GET_DOMAIN_PATH]: getDomainPath,
  [XS.WRITE]: writeNode,
  [XS.MKDIR]: mkdirNode,
  [XS.RM]: removeNode,
  [XS.SET_PERMS]: setPerms,
  [XS.IS_DOMAIN_INTRODUCED]: isDomainIntroduced,
  [XS.RESET_WATCHES]: resetWatches,
  [XS.DIRECTORY_PART]: directoryPart,
};
