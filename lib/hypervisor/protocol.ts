// SPDX-License-Identifier: MIT
// Mirror of drivers/include/nf/hvmsg.h; test/js/hvmsg.test.ts compares every number.

export const HV_MAGIC = 0x4e465631;
export const HV_VERSION = 1;
export const HV_MESSAGE_MAX = 65536;
export const HV_FDS_MAX = 200;
export const HV_GREFS_MAX = 2048;
export const HV_REPLY = 1;

export const HV = {
  HELLO: 1,
  CLONE: 2,
  STORE: 3,
  ALLOC: 4,
  END: 5,
  DONATE: 6,
  MAP: 7,
  UNMAP: 8,
  CHAN_ALLOC: 9,
  CHAN_BIND: 10,
  CHAN_CLOSE: 11,
  CHAN_DONATE: 12,
  TABLE: 13,
} as const;

/** From nf/layer.h. */
export const PAGE_BYTES = 4096;
export const DOMID_SELF = 0x7ff0;
/** TX_RING, RX_RING, CTRL, BLK_RING. */
export const RING_PURPOSES: ReadonlySet<number> = new Set([1, 2, 3, 8]);
export const GREF_RESERVED = 8;
export const ARENA_PAGES_MAX = 2048;

export const GTF_PERMIT_ACCESS = 1;
export const GTF_READONLY = 0x04;
export const GTF_READING = 0x08;
export const GTF_WRITING = 0x10;

/** Size and field offsets of each struct, as the codec below uses them. */
export const LAYOUT = {
  nf_hv_header: { size: 16, magic: 0, type: 4, flags: 6, seq: 8, status: 12 },
  nf_hv_hello: { size: 24, version: 16 },
  nf_hv_hello_reply: {
    size: 40,
    version: 16,
    domid: 20,
    privileged: 22,
    table_entries: 24,
    counters_bytes: 28,
    control_bytes: 32,
  },
  nf_hv_key: {
    size: 12,
    peer: 0,
    inner_owner: 2,
    device: 4,
    queue: 6,
    purpose: 8,
    readonly: 9,
  },
  nf_hv_alloc: { size: 32, key: 16, pages: 28 },
  nf_hv_alloc_reply: { size: 40, arena: 16, fd_offset: 24, pages: 32, donated: 36 },
  nf_hv_end: { size: 24, arena: 16 },
  nf_hv_donate: { size: 48, key: 16, pages: 28, fd_offset: 32, equal_grefs: 40 },
  nf_hv_map: { size: 24, peer: 16, readonly: 18, count: 20 },
  nf_hv_map_arena: { size: 24, arena: 0, fd_offset: 8, pages: 16, readonly: 20 },
  nf_hv_map_slot: { size: 8, arena_index: 0, page: 4 },
  nf_hv_map_reply: { size: 24, arenas: 16, count: 20 },
  nf_hv_unmap: { size: 24, peer: 16, readonly: 18, count: 20 },
  nf_hv_chan: { size: 32, peer: 16, device: 18, queue: 20, purpose: 22, port: 24 },
  nf_hv_chan_reply: { size: 24, port: 16 },
  nf_hv_table: { size: 24, peer: 16 },
  nf_grant_entry: { size: 8, flags: 0, domid: 2, frame: 4 },
} as const;

const L = LAYOUT;

export interface Header {
  type: number;
  seq: number;
}

/** The header, or undefined for what is no message of this protocol. */
export function decodeHeader(m: Buffer): Header | undefined {
  const h = L.nf_hv_header;
  if (m.length < h.size || m.readUInt32LE(h.magic) !== HV_MAGIC) return undefined;
  if (m.readUInt16LE(h.flags) !== 0) return undefined;
  return { type: m.readUInt16LE(h.type), seq: m.readUInt32LE(h.seq) };
}

/** A reply of `bytes` (at least a header) with status 0. */
export function newReply(bytes: number): Buffer {
  return Buffer.alloc(bytes);
}

/** Fills in the header of a reply; `status` is 0 or a negative errno. */
export function finishReply(reply: Buffer, { type, seq }: Header, status: number): Buffer {
  const h = L.nf_hv_header;
  reply.writeUInt32LE(HV_MAGIC, h.magic);
  reply.writeUInt16LE(type, h.type);
  reply.writeUInt16LE(HV_REPLY, h.flags);
  reply.writeUInt32LE(seq, h.seq);
  reply.writeInt32LE(status, h.status);
  return reply;
}

export interface Key {
  peer: number;
  innerOwner: number;
  device: number;
  queue: number;
  purpose: number;
  readonly: boolean;
}

export function decodeKey(m: Buffer, at: number): Key {
  const k = L.nf_hv_key;
  return {
    peer: m.readUInt16LE(at + k.peer),
    innerOwner: m.readUInt16LE(at + k.inner_owner),
    device: m.readUInt16LE(at + k.device),
    queue: m.readUInt16LE(at + k.queue),
    purpose: m.readUInt8(at + k.purpose),
    readonly: m.readUInt8(at + k.readonly) !== 0,
  };
}

/** The words behind a struct. */
export function decodeWords(m: Buffer, at: number, count: number): Uint32Array {
  const words = new Uint32Array(count);
  for (let i = 0; i < count; i++) words[i] = m.readUInt32LE(at + i * 4);
  return words;
}
