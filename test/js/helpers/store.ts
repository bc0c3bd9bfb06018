// SPDX-License-Identifier: MIT
import type { ExecutionContext } from 'ava';
import { native } from '../../../lib/native.cjs';
import { StoreClient } from '../../../lib/store/client.js';
import { StoreServer } from '../../../lib/store/server.js';
import type { Limits } from '../../../lib/store/limits.js';

export interface TestStore {
  server: StoreServer;
  /** Privileged. */
  root: StoreClient;
  log: string[];
  /** A client as a domain that was introduced. */
  as: (domid: number) => StoreClient;
}

/** A store in this process, with domains 1 to 3. Closed when the test ends. */
export function testStore(t: ExecutionContext, limits: Partial<Limits> = {}): TestStore {
  const log: string[] = [];
  const server = new StoreServer({ log: (line) => log.push(line), limits });
  for (const domid of [1, 2, 3]) server.introduce(domid, `domain${domid}`);
  const open = (domid: number, privileged: boolean): StoreClient => {
    const [ours, theirs] = native.streamPair();
    server.attach(ours, domid, privileged);
    const client = new StoreClient(theirs);
    t.teardown(() => client.close());
    return client;
  };
  t.teardown(() => server.close());
  return { server, root: open(0, true), log, as: (domid) => open(domid, false) };
}
