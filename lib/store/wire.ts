// SPDX-License-Identifier: MIT
// Xen's store protocol (io/xs_wire.h): a 16-byte header of four little-endian words, then at most
// 4096 bytes of NUL-terminated strings.

export const XS = {
  CONTROL: 0,
  DIRECTORY: 1,
  READ: 2,
  GET_PERMS: 3,
  WATCH: 4,
  UNWATCH: 5,
  TRANSACTION_START: 6,
  TRANSACTION_END: 7,
  INTRODUCE: 8,
  RELEASE: 9,
  GET_DOMAIN_PATH: 10,
  WRITE: 11,
  MKDIR: 12,
  RM: 13,
  SET_PERMS: 14,
  WATCH_EVENT: 15,
  ERROR: 16,
  IS_DOMAIN_INTRODUCED: 17,
  RESUME: 18,
  SET_TARGET: 19,
  RESET_WATCHES: 21,
  DIRECTORY_PART: 22,
} as const;

export const XS_HEADER_BYTES = 16;
export const XS_PAYLOAD_MAX = 4096;
export const XS_ABS_PATH_MAX = 3072;
export const XS_REL_PATH_MAX = 2048;

/** The errors the protocol can name. */
export const XS_ERRORS = [
  'EINVAL',
  'EACCES',
  'EEXIST',
  'EISDIR',
  'ENOENT',
  'ENOMEM',
  'ENOSPC',
  'EIO',
  'ENOTEMPTY',
  'ENOSYS',
  'EROFS',
  'EBUSY',
  'EAGAIN',
  'EISCONN',
  'E2BIG',
  'EPERM',
] as const;
export type XsErrorName = (typeof XS_ERRORS)[number];

export interface XsMessage {
  type: number;
  reqId: number;
  txId: number;
  payload: Buffer;
}

export function encodeMessage(type: number, reqId: number, txId: number, payload: Buffer): Buffer {
  const out = Buffer.allocUnsafe(XS_HEADER_BYTES + payload.length);
  out.writeUInt32LE(type, 0);
  out.writeUInt32LE(reqId, 4);
  out.writeUInt32LE(txId, 8);
  out.writeUInt32LE(payload.length, 12);
  payload.copy(out, XS_HEADER_BYTES);
  return out;
}

/** Strings, each with its NUL. */
export function strings(...parts: string[]): Buffer {
  return Buffer.from(parts.map((part) => `${part}\0`).join(''), 'latin1');
}

/** Splits a payload at its NULs; what follows the last one is the last element ('' if nothing). */
export function split(payload: Buffer): string[] {
  return payload.toString('latin1').split('\0');
}

/** Cuts a byte stream into messages, pulled one by one. */
export class MessageReader {
  #held: Buffer = Buffer.alloc(0);

  push(chunk: Buffer): void {
    this.#held = this.#held.length === 0 ? chunk : Buffer.concat([this.#held, chunk]);
  }

  /** Bytes not yet taken. */
  get heldBytes(): number {
    return this.#held.length;
  }

  /** @throws RangeError when a header announces more than 4096 bytes: the stream is useless then */
  next(): XsMessage | undefined {
    const data = this.#held;
    if (data.length < XS_HEADER_BYTES) return undefined;
    const bytes = data.readUInt32LE(12);
    if (bytes > XS_PAYLOAD_MAX) throw new RangeError(`a message of ${bytes} bytes (most: 4096)`);
    const end = XS_HEADER_BYTES + bytes;
    if (data.length < end) return undefined;
    this.#held = data.subarray(end);
    return {
      type: data.readUInt32LE(0),
      reqId: data.readUInt32LE(4),
      txId: data.readUInt32LE(8),
      payload: data.subarray(XS_HEADER_BYTES, end),
    };
  }
}
