// SPDX-License-Identifier: MIT
import { NestfrontError } from '../errors.js';
import type { StoreClient } from '../store/client.js';
import { within } from './check.js';

/** Bounds of a wait. */
export interface WaitOptions {
  readonly signal?: AbortSignal | undefined;
  /** Milliseconds. */
  readonly timeoutMs?: number | undefined;
}

/**
 * Watches store nodes until `check` answers something else than undefined; it is asked once at the
 * start and after every change.
 */
export async function until<T>(
  store: StoreClient,
  paths: readonly string[],
  check: () => Promise<T | undefined>,
  op: string,
  options: WaitOptions & { readonly what: string },
): Promise<T> {
  const stop = new AbortController();
  let asked: Promise<T | undefined> = Promise.resolve(undefined);
  let next: Promise<T | undefined> | undefined;
  /** One check at a time; one that has not begun sees all that changed before it does. */
  const ask = (): Promise<T | undefined> => {
    next ??= asked = asked.then(() => {
      next = undefined;
      return check();
    });
    return next;
  };
  const follow = async (path: string): Promise<T> => {
    const changes = store.watch(path, { signal: stop.signal });
    try {
      while ((await changes.next()).done !== true) {
        const answer = await ask();
        if (answer !== undefined) return answer;
      }
    } finally {
      await changes.return();
    }
    throw new NestfrontError('NF_ECONNRESET', op, 'the store ended the watch');
  };
  const followed = paths.map(follow);
  try {
    return await within(Promise.race(followed), op, options);
  } finally {
    stop.abort();
    await Promise.allSettled(followed); // watches are gone before we return
  }
}
