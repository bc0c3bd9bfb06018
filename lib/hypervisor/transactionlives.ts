// SPDX-License-Identifier: MIT
import { encodeMessage, split, strings, XS } from '../store/wire.js';

const HEADER_BYTES = 16;
const AT = { type: 0, reqId: 4, txId: 8 };
const CHANGES: ReadonlySet<number> = new Set([XS.WRITE, XS.MKDIR, XS.RM, XS.SET_PERMS]);
const COMMIT = 'T'.charCodeAt(0);
/** Transactions of one life. */
const LIFE_BITS = 20;

/**
 * Keeps transactions of earlier lives of a hypervisor apart from this one's. Each life has numbers
 * of its own on the wire; one of an earlier life sees the store as it is, changes nothing, and its
 * commit is a conflict, so that the client tries again.
 */
export class TransactionLives {
  readonly #base: number;
  #txId = 0;

  /** @param epoch how often the hypervisor was restarted */
  constructor(epoch: number) {
    this.#base = epoch % 1024 << LIFE_BITS;
  }

  /** What to hand to the server, or what to answer in its place. */
  inward(request: Buffer): { pass: Buffer; answer?: Buffer } {
    const txId = request.readUInt32LE(AT.txId);
    this.#txId = txId;
    if (txId === 0 || this.#base === 0) return { pass: request };
    const pass = Buffer.from(request);
    if (txId > this.#base) {
      pass.writeUInt32LE(txId - this.#base, AT.txId);
      return { pass };
    }
    pass.writeUInt32LE(0, AT.txId);
    const answer = this.#lost(request);
    return answer ? { pass, answer } : { pass };
  }

  /** A reply to the request that was last handed in. */
  outward(reply: Buffer): Buffer {
    if (this.#base === 0) return reply;
    const type = reply.readUInt32LE(AT.type);
    if (type === XS.TRANSACTION_START) {
      const id = Number(split(reply.subarray(HEADER_BYTES))[0]) + this.#base;
      return encodeMessage(type, reply.readUInt32LE(AT.reqId), 0, strings(String(id)));
    }
    const copy = Buffer.from(reply);
    copy.writeUInt32LE(this.#txId, AT.txId);
    return copy;
  }

  #lost(request: Buffer): Buffer | undefined {
    const type = request.readUInt32LE(AT.type);
    const reqId = request.readUInt32LE(AT.reqId);
    const commits = type === XS.TRANSACTION_END && request[HEADER_BYTES] === COMMIT;
    if (commits) return encodeMessage(XS.ERROR, reqId, this.#txId, strings('EAGAIN'));
    if (type !== XS.TRANSACTION_END && !CHANGES.has(type)) return undefined;
    return encodeMessage(type, reqId, this.#txId, strings('OK'));
  }
}
