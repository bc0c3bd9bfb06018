// SPDX-License-Identifier: MIT
// npm's raw-socket: an optional dependency, so it may be missing, or be there without its addon.
// npm installs it where it builds with node-gyp's own headers; where only ours are found,
// tools/build/rawsocket.cjs builds it beside our addon.
import { createRequire } from 'node:module';
import { join } from 'node:path';

/** The part of raw-socket that is used here. */
export interface RawSocket {
  send(
    packet: Buffer,
    offset: number,
    length: number,
    address: string,
    before: () => void,
    after: (error: Error | null, bytes: number) => void,
  ): unknown;
  setOption(level: number, option: number, value: Buffer | number, length?: number): void;
  on(event: 'message', heard: (packet: Buffer, source: string) => void): this;
  on(event: 'error', heard: (error: Error) => void): this;
  once(event: 'close', heard: () => void): this;
  close(): unknown;
}

/** raw-socket itself. */
export interface RawSocketModule {
  createSocket(options: { protocol: number; bufferSize: number }): RawSocket;
}

const load = createRequire(import.meta.url);

/** Loads raw-socket. @throws Error why neither place has one that loads */
export function loadRawSocket(packageRoot: string): RawSocketModule {
  try {
    return load('raw-socket') as RawSocketModule;
  } catch (first) {
    try {
      return load(join(packageRoot, 'build', 'raw-socket')) as RawSocketModule;
    } catch {
      throw first;
    }
  }
}
