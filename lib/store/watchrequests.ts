// SPDX-License-Identifier: MIT
import type { StoreConnection } from './connection.js';
import { domainPath } from './path.js';
import { args, OK, pathOf, type Handler, type StoreState } from './request.js';
import { StoreError } from './storeerror.js';
import { dropTransaction } from './transactionrequests.js';
import type { Watch } from './watches.js';
import { XS_REL_PATH_MAX } from './wire.js';

/** Bytes a watch is charged beside its path and token. */
const WATCH_BYTES = 64;

/** Names that start with @ stand for events of the store itself; any may be watched. */
function watchPath(state: StoreState, conn: StoreConnection, path: string): string {
  if (!path.startsWith('@')) return pathOf(state, conn, path);
  if (path.length > XS_REL_PATH_MAX) throw new StoreError('EINVAL');
  return path;
}

function bytesOf({ path, token }: Watch): number {
  return WATCH_BYTES + path.length + token.length;
}

export const watch: Handler = (state, conn, message) => {
  const [path = '', token = ''] = args(message, 2);
  const { account, caller } = conn;
  const at = watchPath(state, conn, path);
  const key = `${at}\0${token}`;
  if (conn.watches.has(key)) throw new StoreError('EEXIST');
  account.need('watches', 'E2BIG');
  const relative = !path.startsWith('@') && !path.startsWith('/');
  const cut = relative ? domainPath(caller.domid).length + 1 : 0;
  const fire = (changed: string): void => conn.event(changed, token);
  const added: Watch = { path: at, token, cut, caller, fire };
  account.charge(bytesOf(added));
  account.bytes += bytesOf(added);
  account.watches++;
  conn.watches.set(key, added);
  state.watches.add(added);
  fire(path); // the first comes at once, so that nothing is missed
  return OK;
};

export const unwatch: Handler = (state, conn, message) => {
  const [path = '', token = ''] = args(message, 2);
  const relative = !path.startsWith('@') && !path.startsWith('/');
  const at = relative ? `${domainPath(conn.caller.domid)}/${path}` : path;
  const found = conn.watches.get(`${at}\0${token}`);
  if (!found) throw new StoreError('ENOENT');
  dropWatch(state, conn, found);
  return OK;
};

function dropWatch(state: StoreState, conn: StoreConnection, found: Watch): void {
  conn.watches.delete(`${found.path}\0${found.token}`);
  conn.account.watches--;
  conn.account.bytes -= bytesOf(found);
  state.watches.remove(found);
}

export const resetWatches: Handler = (state, conn) => {
  dropAll(state, conn);
  return OK;
};

/** All watches and transactions of a connection. */
export function dropAll(state: StoreState, conn: StoreConnection): void {
  for (const found of [...conn.watches.values()]) dropWatch(state, conn, found);
  for (const id of [...conn.transactions.keys()]) dropTransaction(conn, id);
}
