// SPDX-License-Identifier: MIT
// The hypervisor's end of its keeper's socket. Mirror of drivers/include/nf/keep.h.

import { native } from '../native.cjs';

export const KEEP_MAGIC = 0x4b45464e;
export const KEEP_FRAME_BYTES = 32;
export const KEEP = { PUT: 1, DROP: 2, STORE: 3, SYNC: 4, FETCH: 5, HAVE: 6, END: 7 } as const;

const AT = { magic: 0, op: 4, id: 8, offset: 16, value: 24 };
/** It reads at once; who has not after this long is as good as gone. */
const PATIENCE_MS = 5_000;

interface Frame {
  op: number;
  id?: number;
  offset?: number;
  value?: number;
}

export function encodeFrame({ op, id = 0, offset = 0, value = 0 }: Frame): Buffer {
  const out = Buffer.alloc(KEEP_FRAME_BYTES);
  out.writeUInt32LE(KEEP_MAGIC, AT.magic);
  out.writeUInt32LE(op, AT.op);
  out.writeBigUInt64LE(BigInt(id), AT.id);
  out.writeBigUInt64LE(BigInt(offset), AT.offset);
  out.writeBigUInt64LE(BigInt(value), AT.value);
  return out;
}

/** Descriptors by number, in a process that outlives this one. Once it is gone all calls throw. */
export class Keeper {
  readonly fd: number;
  #nonce = Math.floor(Math.random() * 2 ** 40);

  /** @param fd its socket; borrowed */
  constructor(fd: number) {
    this.fd = fd;
  }

  /** Keeps a copy of `fd`. `mapBytes` > 0: and maps so much of it for `store`. */
  put(id: number, fd: number, mapBytes: number): void {
    this.#send({ op: KEEP.PUT, id, value: mapBytes }, fd);
  }

  drop(id: number): void {
    this.#send({ op: KEEP.DROP, id });
  }

  /** Writes 32 bits into a mapping; done before the next `sync` returns. */
  store(id: number, offset: number, value: number): void {
    this.#send({ op: KEEP.STORE, id, offset, value });
  }

  sync(): void {
    const value = ++this.#nonce;
    this.#send({ op: KEEP.SYNC, value });
    for (;;) {
      const answer = this.#receive();
      if (answer.fd >= 0) native.close(answer.fd);
      if (answer.op === KEEP.SYNC && answer.value === value) return;
    }
  }

  /** Copies of everything it has. What it told a predecessor that did not listen is passed over. */
  fetch(): Map<number, number> {
    const value = ++this.#nonce;
    const out = new Map<number, number>();
    this.#send({ op: KEEP.FETCH, value });
    for (;;) {
      const answer = this.#receive();
      if (answer.value !== value || answer.op === KEEP.SYNC) {
        if (answer.fd >= 0) native.close(answer.fd);
      } else if (answer.op === KEEP.END) {
        return out;
      } else {
        out.set(answer.id, answer.fd);
      }
    }
  }

  #send(frame: Frame, fd = -1): void {
    native.seqpacketSend(this.fd, encodeFrame(frame), fd, PATIENCE_MS);
  }

  #receive(): { op: number; id: number; value: number; fd: number } {
    const { data, fd } = native.seqpacketReceive(this.fd, KEEP_FRAME_BYTES, PATIENCE_MS);
    if (data.length !== KEEP_FRAME_BYTES || data.readUInt32LE(AT.magic) !== KEEP_MAGIC) {
      if (fd >= 0) native.close(fd);
      throw new Error('the keeper talks nonsense');
    }
    return {
      op: data.readUInt32LE(AT.op),
      id: Number(data.readBigUInt64LE(AT.id)),
      value: Number(data.readBigUInt64LE(AT.value)),
      fd,
    };
  }
}
