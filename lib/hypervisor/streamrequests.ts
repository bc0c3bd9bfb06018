// SPDX-License-Identifier: MIT
// Requests of a store connection as they lie in its socket, and what is written down of them.
import { XS_HEADER_BYTES, XS_PAYLOAD_MAX } from '../store/wire.js';

/** Words of a message's header. */
export const AT = { type: 0, reqId: 4, length: 12 };

/** What a hypervisor's successor learns of a store connection. */
export interface StreamFact {
  domid: number;
  privileged: boolean;
  fd: number;
  /** Payloads of the WATCH requests that stand, each byte a character. */
  watches: string[];
}

/** Of a request that is carried out but perhaps not answered. */
export interface StreamPendingFact {
  reqId: number;
  /** Its answer, base64. */
  answer: string;
}

export interface RestoredStream {
  uid: number;
  fact: StreamFact;
  /** In their order. */
  pending: readonly StreamPendingFact[];
  /** How often this hypervisor was restarted. */
  epoch: number;
}

/** The one in front announces more than a message can have. */
export function isTooLong(data: Buffer): boolean {
  return data.length >= XS_HEADER_BYTES && data.readUInt32LE(AT.length) > XS_PAYLOAD_MAX;
}

/** The request that begins there; undefined: it is not whole, or what follows is no request. */
export function requestAt(data: Buffer, at: number): Buffer | undefined {
  if (data.length < at + XS_HEADER_BYTES) return undefined;
  const payload = data.readUInt32LE(at + AT.length);
  const end = at + XS_HEADER_BYTES + payload;
  if (payload > XS_PAYLOAD_MAX || data.length < end) return undefined;
  return data.subarray(at, end);
}
