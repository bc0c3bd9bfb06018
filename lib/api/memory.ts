// SPDX-License-Identifier: MIT
import { createRequire } from 'node:module';
import { NestfrontError, toNestfrontError } from '../errors.js';
import type { Native } from '../native.cjs';
import { CONTROL } from './layout.js';

let loaded: Native | undefined;

/**
 * The addon, loaded on first use so that what needs none of it (config, `doctor`) works without it.
 * @throws NestfrontError `NF_ENOSYS`: it was not built, or for another Node
 */
export function addon(): Native {
  if (loaded !== undefined) return loaded;
  try {
    const load = createRequire(import.meta.url);
    loaded = (load('../native.cjs') as { native: Native }).native;
  } catch (error) {
    const reason = error instanceof Error ? error.message.split('\n')[0] : String(error);
    throw new NestfrontError(
      'NF_ENOSYS',
      'addon.load',
      `the addon does not load (${reason}); build it with npm install, or npm rebuild nestfront`,
      { cause: error },
    );
  }
  return loaded;
}

/** Maps a counters memfd, live and not writable. */
export function mapCounters(fd: number): SharedArrayBuffer {
  try {
    return addon().mapShared(fd, 0, addon().fileBytes(fd), false);
  } catch (error) {
    throw toNestfrontError(error, 'counters.open');
  }
}

/** Maps a control memfd, writable. */
export function mapControl(fd: number): SharedArrayBuffer {
  try {
    return addon().mapShared(fd, 0, CONTROL.bytes, true);
  } catch (error) {
    throw toNestfrontError(error, 'control.open');
  }
}

/** Wakes pollers of other processes that sleep on the 32-bit word at byte `offset`. */
export function wakeAll(memory: SharedArrayBuffer, offset: number): void {
  addon().futexWake(memory, offset / 4);
}
