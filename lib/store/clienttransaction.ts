// SPDX-License-Identifier: MIT
import { StoreView, type StoreCallOptions } from './view.js';
import { strings, XS } from './wire.js';

type Send = (
  txId: number,
  type: number,
  payload: Buffer,
  op: string,
  options: StoreCallOptions,
) => Promise<Buffer>;

/** The store as one transaction of a client sees it. */
export class ClientTransaction extends StoreView {
  readonly #send: Send;
  readonly #id: number;

  constructor(send: Send, id: number) {
    super();
    this.#send = send;
    this.#id = id;
  }

  protected override request(
    type: number,
    payload: Buffer,
    op: string,
    options: StoreCallOptions,
  ): Promise<Buffer> {
    return this.#send(this.#id, type, payload, op, options);
  }

  /** Ends it on the server; `NF_EAGAIN` when a commit conflicts. */
  async end(commit: boolean, options: StoreCallOptions): Promise<void> {
    await this.request(XS.TRANSACTION_END, strings(commit ? 'T' : 'F'), 'transaction', options);
  }
}
