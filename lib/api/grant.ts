// SPDX-License-Identifier: MIT
import type { CopyResult, NativeArena, NativeLayer, NativeMapping } from '../native.cjs';
import { DOMID_MAX, guarded, guardedSync, inRange } from './check.js';

/** Bytes of a page. */
export const PAGE_BYTES = 4096;
const PAGES_MAX = 2048;
const PURPOSE_OTHER = 15;

/** What pages are granted for. */
export interface GrantOptions {
  /** The peer may only read; the kernel enforces it. Default false. */
  readonly readonly?: boolean;
  /** devid the pages belong to, 0 to 65535. Default 0. */
  readonly device?: number;
  /** Queue of that device. Default 0. */
  readonly queue?: number;
}

/** Memory of whole pages that both ends of a grant see. Offsets and lengths are in bytes. */
export abstract class SharedPages {
  /** @internal */
  abstract readonly native: NativeArena | NativeMapping;

  get bytes(): number {
    return this.native.bytes;
  }

  /** A copy of `bytes` bytes from `offset`. @throws RangeError outside the pages */
  read(offset: number, bytes: number): Buffer {
    return guardedSync('grant.read', () => this.native.read(offset, bytes));
  }

  /** @throws RangeError outside the pages; NestfrontError `NF_EACCES` mapped read-only */
  write(offset: number, data: Uint8Array): void {
    guardedSync('grant.write', () => this.native.write(offset, data));
  }
}

/** Pages of this domain granted to a peer. */
export class Grant extends SharedPages implements AsyncDisposable {
  /** @internal */
  readonly native: NativeArena;
  #ended: Promise<boolean> | undefined;

  /** @internal */
  constructor(native: NativeArena) {
    super();
    this.native = native;
    this.grefs = native.grefs;
  }

  /** Grant references, one a page, to tell the peer. */
  readonly grefs: Uint32Array;

  /**
   * Takes the pages back; idempotent.
   * @returns false when the peer still maps some: they are never used again and charged to it
   */
  end(): Promise<boolean> {
    this.#ended ??= guarded('grant.end', () => this.native.end());
    return this.#ended;
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await this.end();
  }
}

/** Pages of a peer mapped here. */
export class Mapping extends SharedPages implements AsyncDisposable {
  /** @internal */
  readonly native: NativeMapping;
  #unmapped: Promise<void> | undefined;

  /** @internal */
  constructor(native: NativeMapping) {
    super();
    this.native = native;
  }

  /** Idempotent. */
  unmap(): Promise<void> {
    this.#unmapped ??= guarded('grant.unmap', () => this.native.unmap());
    return this.#unmapped;
  }

  [Symbol.asyncDispose](): Promise<void> {
    return this.unmap();
  }
}

/** One grant copy: give `data` to write into the granted page, or `bytes` to read from it. */
export interface GrantCopy {
  /** The domain that granted the page. */
  readonly peer: number;
  readonly gref: number;
  /** In the page; offset and length together at most 4,096. */
  readonly offset: number;
  readonly data?: Uint8Array;
  readonly bytes?: number;
}

/** Grants of one domain: pages given to peers, pages of peers used here. */
export class GrantTable {
  readonly #layer: NativeLayer;

  /** @internal */
  constructor(layer: NativeLayer) {
    this.#layer = layer;
  }

  /**
   * Allocates pages and grants them to a peer.
   * @param peer domid, 0 to 32752
   * @param pages 1 to 2,048
   * @throws NestfrontError `NF_EDQUOT`, `NF_ENOSPC`, `NF_ENOENT` (no such peer), `NF_ECONNRESET`
   */
  async grant(peer: number, pages: number, options: GrantOptions = {}): Promise<Grant> {
    const key = {
      peer: inRange('peer', peer, 0, DOMID_MAX),
      device: inRange('device', options.device ?? 0, 0, 0xffff),
      queue: inRange('queue', options.queue ?? 0, 0, 0xffff),
      purpose: PURPOSE_OTHER,
      readonly: options.readonly ?? false,
    };
    inRange('pages', pages, 1, PAGES_MAX);
    return new Grant(await guarded('grant.grant', () => this.#layer.alloc(key, pages, false)));
  }

  /** {@link Grant.end}, for symmetry with {@link grant}. */
  end(grant: Grant): Promise<boolean> {
    return grant.end();
  }

  /**
   * Maps pages a peer granted to this domain: all of them or none.
   * @throws NestfrontError `NF_EACCES` one is not granted to this domain, or read-only
   */
  async map(
    peer: number,
    grefs: ArrayLike<number>,
    options: { readonly readonly?: boolean } = {},
  ): Promise<Mapping> {
    inRange('peer', peer, 0, DOMID_MAX);
    inRange('grefs.length', grefs.length, 1, PAGES_MAX);
    const list = Uint32Array.from(grefs);
    const readonly = options.readonly ?? false;
    return new Mapping(await guarded('grant.map', () => this.#layer.map(peer, list, readonly)));
  }

  /**
   * Copies to and from granted pages, a batch at once. Each operation has its own status: 0 or a
   * negative errno; one that failed does not stop the others.
   */
  copy(ops: readonly GrantCopy[]): Promise<CopyResult[]> {
    for (const op of ops) {
      if ((op.data === undefined) === (op.bytes === undefined))
        throw new TypeError('a grant copy takes either data (to write) or bytes (to read)');
      inRange('peer', op.peer, 0, DOMID_MAX);
      inRange('offset', op.offset, 0, PAGE_BYTES);
    }
    return guarded('grant.copy', () => this.#layer.copy(ops));
  }
}
