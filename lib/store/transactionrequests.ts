// SPDX-License-Identifier: MIT
import type { StoreConnection } from './connection.js';
import { args, OK, type Handler } from './request.js';
import { StoreError } from './storeerror.js';
import { Transaction } from './transaction.js';
import { strings } from './wire.js';

export const transactionStart: Handler = (state, conn, message) => {
  if (message.txId !== 0) throw new StoreError('EBUSY');
  const { account, caller } = conn;
  account.need('transactions', 'ENOSPC');
  const nodes = caller.privileged ? Infinity : state.limits.transactionNodes;
  const charge = (bytes: number): void => {
    account.charge(bytes);
    account.bytes += bytes;
  };
  const id = conn.freeTransactionId();
  conn.transactions.set(id, new Transaction(state.tree, { nodes, charge }));
  account.transactions++;
  return strings(String(id));
};

/** What it was charged is given back. */
export function dropTransaction({ account, transactions }: StoreConnection, id: number): void {
  const transaction = transactions.get(id);
  if (!transaction) return;
  transactions.delete(id);
  account.transactions--;
  account.bytes -= transaction.charged;
}

export const transactionEnd: Handler = (state, conn, message) => {
  const [how] = args(message, 1);
  if (how !== 'T' && how !== 'F') throw new StoreError('EINVAL');
  const transaction = conn.transactions.get(message.txId);
  if (!transaction) throw new StoreError('ENOENT');
  dropTransaction(conn, message.txId);
  if (how === 'T') transaction.commit(conn.caller.privileged ? Infinity : state.limits.nodes);
  return OK;
};
