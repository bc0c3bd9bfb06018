// SPDX-License-Identifier: MIT
// The requests that read and write nodes, and the table of all.

import { control } from './control.js';
import {
  getDomainPath,
  introduce,
  isDomainIntroduced,
  release,
  resume,
  setTarget,
} from './domainrequests.js';
import { find, mkdir, permissionText, remove, setPermissions, write } from './operations.js';
import { checkDomains, parsePermissions, READ } from './perms.js';
import { recorded } from './record.js';
import { args, loose, OK, pathArg, pathOf, viewOf, type Handler } from './request.js';
import { StoreError } from './storeerror.js';
import { transactionEnd, transactionStart } from './transactionrequests.js';
import { resetWatches, unwatch, watch } from './watchrequests.js';
import { split, strings, XS, XS_PAYLOAD_MAX } from './wire.js';

const read: Handler = (state, conn, message) =>
  find(viewOf(state, conn, message), pathArg(state, conn, message), conn.caller, READ).value;

const directory: Handler = (state, conn, message) => {
  const path = pathArg(state, conn, message);
  const node = find(viewOf(state, conn, message), path, conn.caller, READ);
  const payload = strings(...node.children);
  if (payload.length > XS_PAYLOAD_MAX) throw new StoreError('E2BIG');
  return payload;
};

/** Whole names from an offset on; the last part ends with an extra NUL. */
const directoryPart: Handler = (state, conn, message) => {
  const [path = '', from] = args(message, 2);
  const at = pathOf(state, conn, path);
  const node = find(viewOf(state, conn, message), at, conn.caller, READ);
  const all = strings(...node.children);
  const generation = strings(String(node.generation));
  const rest = all.subarray(loose(from)); // nothing beyond the end
  const room = XS_PAYLOAD_MAX - generation.length - 1;
  if (rest.length <= room) return Buffer.concat([generation, rest, Buffer.alloc(1)]);
  const cut = rest.lastIndexOf(0, room - 1) + 1;
  return Buffer.concat([generation, rest.subarray(0, cut)]);
};

const getPerms: Handler = (state, conn, message) => {
  const path = pathArg(state, conn, message);
  return strings(...permissionText(viewOf(state, conn, message), path, conn.caller));
};

const setPerms: Handler = (state, conn, message) => {
  const { caller, account } = conn;
  const [path = '', ...words] = split(message.payload);
  if (words.pop() !== '' || words.length === 0) throw new StoreError('EINVAL');
  if (!caller.privileged && words.length > state.limits.permissions) throw new StoreError('ENOSPC');
  const exists = (domid: number): boolean => state.introduced.has(domid);
  const permissions = checkDomains(parsePermissions(words), exists);
  if (path.startsWith('@')) {
    if (!caller.privileged) throw new StoreError('EACCES');
    if (!state.specials.has(path)) throw new StoreError('ENOENT');
    state.specials.set(path, permissions);
    state.journal({ special: path, permissions: recorded(permissions) });
    return OK;
  }
  const at = pathOf(state, conn, path);
  setPermissions(viewOf(state, conn, message), at, permissions, caller, account);
  return OK;
};

const writeNode: Handler = (state, conn, message) => {
  const { payload } = message;
  const cut = payload.indexOf(0);
  if (cut < 0) throw new StoreError('EINVAL');
  const path = pathOf(state, conn, payload.toString('latin1', 0, cut));
  const value = payload.subarray(cut + 1);
  write(viewOf(state, conn, message), path, value, conn.caller, conn.account);
  return OK;
};

const mkdirNode: Handler = (state, conn, message) => {
  const path = pathArg(state, conn, message);
  mkdir(viewOf(state, conn, message), path, conn.caller, conn.account);
  return OK;
};

const removeNode: Handler = (state, conn, message) => {
  remove(viewOf(state, conn, message), pathArg(state, conn, message), conn.caller);
  return OK;
};

interface Entry {
  readonly run: Handler;
  /** Answered EACCES to who is not privileged. */
  readonly privileged?: true;
  /** Belongs to no transaction, whatever the header says. */
  readonly alone?: true;
}

const handlers: Readonly<Record<number, Entry>> = {
  [XS.CONTROL]: { run: control, privileged: true },
  [XS.DIRECTORY]: { run: directory },
  [XS.READ]: { run: read },
  [XS.GET_PERMS]: { run: getPerms },
  [XS.WATCH]: { run: watch, alone: true },
  [XS.UNWATCH]: { run: unwatch, alone: true },
  [XS.TRANSACTION_START]: { run: transactionStart },
  [XS.TRANSACTION_END]: { run: transactionEnd },
  [XS.INTRODUCE]: { run: introduce, privileged: true },
  [XS.RELEASE]: { run: release, privileged: true },
  [XS.GET_DOMAIN_PATH]: { run: getDomainPath },
  [XS.WRITE]: { run: writeNode },
  [XS.MKDIR]: { run: mkdirNode },
  [XS.RM]: { run: removeNode },
  [XS.SET_PERMS]: { run: setPerms },
  [XS.IS_DOMAIN_INTRODUCED]: { run: isDomainIntroduced, privileged: true },
  [XS.RESUME]: { run: resume, privileged: true },
  [XS.SET_TARGET]: { run: setTarget, privileged: true },
  [XS.RESET_WATCHES]: { run: resetWatches },
  [XS.DIRECTORY_PART]: { run: directoryPart },
};

/** Answers any request. Throws the StoreError that is the reply. */
export const handle: Handler = (state, conn, message) => {
  const entry = handlers[message.type];
  if (!entry) throw new StoreError('ENOSYS');
  if (entry.privileged && !conn.caller.privileged) throw new StoreError('EACCES');
  if (!entry.alone) viewOf(state, conn, message);
  return entry.run(state, conn, message);
};
