// SPDX-License-Identifier: MIT
import { markAsUntransferable } from 'node:worker_threads';
import bindings = require('bindings');

// The one file that loads the addon. It types what native/*.cc exports and adds nothing.
//
// Failures throw (or reject with) an Error that has `errno` (negative), `code` ('EACCES') and
// `syscall`; wrong types throw TypeError, numbers out of range RangeError. Every method of a closed
// object throws such an Error with code 'ENODEV'. Parents close their children.

/**
 * A connected SOCK_SEQPACKET on the event loop. Messages keep their bounds; descriptors travel.
 * With `peek` what `onMessage` is given stays in the socket until it is consumed, so that whoever
 * opens the socket next sees it again; its descriptors are copies, and a stream is allowed too.
 */
export interface NativeSeqSocket {
  /** -1 once closed. */
  readonly fd: number;
  /** Bytes of memory that messages hold which the peer has not read; 0: it read them all. */
  readonly unread: number;
  /** Sends one message; false when the socket is full (nothing is queued). Borrows `fds`. */
  send(data: Uint8Array, fds?: readonly number[]): boolean;
  /** Stops and starts reading; a paused socket still reports `onClose` when the peer hangs up. */
  pause(): void;
  resume(): void;
  /** Calls `onWritable` once, as soon as a message fits again. */
  wantWritable(): void;
  /** Peeking: the message leaves the socket (of a stream, so many bytes) and the next comes. */
  consume(bytes: number): void;
  /** Peeking: looks at the same again, with what came since. */
  again(): void;
  ref(): void;
  unref(): void;
  /** Idempotent. `onClose` is not called. */
  close(): void;
}

export interface SeqSocketEvents {
  /** `fds` become the receiver's to close. `truncated`: bytes or descriptors did not fit. */
  onMessage(data: Buffer, fds: number[], truncated: boolean): void;
  /** Peer gone (0) or a socket error (negative errno). The socket is closed already. */
  onClose(errno: number): void;
  onWritable?(): void;
}

/** A listening SOCK_SEQPACKET. */
export interface NativeSeqListener {
  readonly fd: number;
  ref(): void;
  unref(): void;
  close(): void;
}

/** Tells of a readable descriptor that is no socket, which stays the caller's. */
export interface NativeFdWatch {
  ref(): void;
  unref(): void;
  /** Before the descriptor is closed. Idempotent. */
  close(): void;
}

export interface PeerCredentials {
  pid: number;
  uid: number;
  gid: number;
}

/** One end of a shared ring over an arena's or a mapping's memory; closed with it. */
export interface NativeRing {
  readonly count: number;
  readonly slotBytes: number;
  /** Slots this end can still put. */
  free(): number;
  /** Slots waiting to be taken; throws code 'EPROTO' (sticky) when the peer's index lies. */
  pending(): number;
  /** Copies a slot in (short ones are zero-padded); false when there is no room. */
  put(slot: Uint8Array): boolean;
  /** Copies the next slot out, or undefined. */
  take(): Buffer | undefined;
  /** Publishes what was put; true: notify the peer. */
  push(): boolean;
  /** Asks for an event after so many more; > 0: they are there already, do not wait. */
  arm(after: number): number;
  close(): void;
}

interface NativeMemory {
  readonly bytes: number;
  read(offset: number, bytes: number): Buffer;
  /** Code 'EACCES' on a read-only mapping. */
  write(offset: number, data: Uint8Array): void;
  ringFront(offset: number, bytes: number, slotBytes: number): NativeRing;
  ringBack(offset: number, bytes: number, slotBytes: number, first: number): NativeRing;
}

/** Pages granted to a peer. */
export interface NativeArena extends NativeMemory {
  readonly grefs: Uint32Array;
  /** Owned by the arena. */
  readonly fd: number;
  /** Over the pages, detached by end(), never transferred; undefined with `noMap`. */
  readonly buffer: ArrayBuffer | undefined;
  /** Ends the grants: true when all pages came back, false when the peer still maps some. */
  end(): Promise<boolean>;
}

/** Pages of a peer mapped here, one after the other as `grefs` named them. */
export interface NativeMapping extends NativeMemory {
  readonly pages: number;
  unmap(): Promise<void>;
}

/** One end of an event channel. */
export interface NativeChannel {
  readonly port: number;
  /** Owned by the channel; readable = pending. */
  readonly fd: number;
  /** Never blocks. Code 'ENODEV' when the peer hung up. */
  notify(): void;
  /** Clears what is pending and returns how many notifications it merged. */
  clear(): number;
  /** `onEvent(count)` per wake-up, `onHangup()` once. Undefined stops watching. */
  watch(onEvent: ((count: number) => void) | undefined, onHangup?: () => void): void;
  ref(): void;
  unref(): void;
  close(): Promise<void>;
}

export interface ArenaKey {
  peer: number;
  innerOwner?: number;
  device: number;
  queue: number;
  purpose: number;
  readonly: boolean;
}

export interface CopyOp {
  peer: number;
  gref: number;
  offset: number;
  /** To the granted page; give either `data` or `bytes`. */
  data?: Uint8Array;
  /** From the granted page. */
  bytes?: number;
}

export interface CopyResult {
  /** 0 or a negative errno. */
  status: number;
  data?: Buffer;
}

/** One hypervisor as one of its domains sees it. Blocking verbs run in the threadpool, in order. */
export interface NativeLayer {
  readonly domid: number;
  readonly caps: number;
  readonly kind: string;
  /** Owned by the layer; -1 none. */
  readonly countersFd: number;
  readonly controlFd: number;
  alloc(key: ArenaKey, pages: number, noMap: boolean): Promise<NativeArena>;
  map(peer: number, grefs: Uint32Array, readonly: boolean): Promise<NativeMapping>;
  copy(ops: readonly CopyOp[]): Promise<CopyResult[]>;
  donate(inner: number, arena: NativeArena, equalGrefs: boolean): Promise<void>;
  donateChan(
    inner: number,
    device: number,
    queue: number,
    purpose: number,
    channel: NativeChannel,
  ): Promise<void>;
  allocChan(peer: number, device: number, queue: number, purpose: number): Promise<NativeChannel>;
  bindChan(peer: number, port: number): Promise<NativeChannel>;
  /** A stream descriptor speaking xenstore as this domain; the caller's to close. */
  storeFd(): Promise<number>;
  /** Another connection of the same domain; the caller's to close. Code 'ENOSYS' on xen. */
  clone(): Promise<number>;
  /** Ends arenas, unmaps mappings, closes channels, then the connection. Idempotent. */
  close(): Promise<void>;
}

export interface Native {
  SeqSocket: new (fd: number, events: SeqSocketEvents, peek?: boolean) => NativeSeqSocket;
  /** @param fd from `unixListen`, owned but on failure. A connection's is the callback's. */
  SeqListener: new (fd: number, onConnection: (fd: number) => void) => NativeSeqListener;
  /** A listening descriptor at a path, whose file has `mode` from the start. */
  unixListen(path: string, type: number, mode: number): number;
  /** Calls back whenever `fd` can be read, which it makes non-blocking. */
  FdWatch: new (fd: number, onReadable: () => void) => NativeFdWatch;
  /** Takes ownership of `fd`, also on failure. */
  openLayer(fd: number): Promise<NativeLayer>;
  /** @param directory of the kernel's Xen devices. Code 'ENOENT': no Xen, or modules not loaded. */
  openXenLayer(directory: string): Promise<NativeLayer>;

  /** Both ends, non-blocking and close-on-exec. */
  seqpacketPair(): [number, number];
  streamPair(): [number, number];
  seqpacketConnect(path: string): number;
  /** Sends one message, waiting up to `ms` for room: for a peer that reads. Borrows `fd`. */
  seqpacketSend(socket: number, data: Uint8Array, fd: number, ms: number): void;
  /** The next message of at most `bytes`, within `ms`: code 'ETIMEDOUT'. `fd` -1: none came. */
  seqpacketReceive(socket: number, bytes: number, ms: number): { data: Buffer; fd: number };
  /** `{domain, type}` as the kernel's numbers; code 'ENOTSOCK' for anything else. */
  socketInfo(fd: number): { domain: number; type: number };
  peerCredentials(fd: number): PeerCredentials;

  /** `pages` of 4096 bytes, in memory at once. Sealed against shrinking and growing. */
  memfdCreate(name: string, pages: number): number;
  memfdSeal(fd: number, seals: number): void;
  /** Code 'EINVAL' for what is not a memfd. */
  memfdSeals(fd: number): number;
  /** Frees the pages; they read as zeros. Code 'EPERM' when sealed against writes. */
  memfdPunch(fd: number, offset: number, bytes: number): void;
  fileBytes(fd: number): number;
  /** Bytes of memory the file holds now. */
  fileResident(fd: number): number;
  /** A descriptor of the same file that cannot write through itself. */
  reopenReadonly(fd: number): number;
  dup(fd: number): number;
  close(fd: number): void;

  /**
   * Live memory of `fd`, unmapped when the buffer is collected. Not writable: a store from here
   * stays private to this mapping, whose page is then no longer live. The range must lie in the
   * file, which must be sealed against shrinking.
   */
  mapShared(fd: number, offset: number, bytes: number, writable: boolean): SharedArrayBuffer;
  /** Wakes sleepers of other processes on 32-bit word `index`; returns how many. */
  futexWake(memory: SharedArrayBuffer, index: number): number;

  readonly F_SEAL_SEAL: number;
  readonly F_SEAL_SHRINK: number;
  readonly F_SEAL_GROW: number;
  readonly F_SEAL_WRITE: number;
  readonly F_SEAL_FUTURE_WRITE: number;
  readonly AF_UNIX: number;
  readonly SOCK_STREAM: number;
  readonly SOCK_SEQPACKET: number;
}

const addon = bindings('nestfront') as Native & { init(mark: (buffer: object) => void): void };
addon.init(markAsUntransferable);

export const native: Native = addon;
