// SPDX-License-Identifier: MIT
import { NestfrontError } from '../errors.js';
import type { StoreClient } from '../store/client.js';

/** @internal One end's node: keys the other end reads, and ours below `nestfront/`. */
export interface EndNode {
  readonly path: string;
  /** Domids: it writes the node, the other reads it. */
  readonly owner: number;
  readonly reader: number;
  readonly standard: Readonly<Record<string, string>>;
  readonly ours: Readonly<Record<string, string>>;
}

/** Writes both ends' nodes in one transaction, as xl does: each owns its own, the other reads. */
export async function writeEnds(
  store: StoreClient,
  op: string,
  ends: readonly EndNode[],
): Promise<void> {
  await store.transaction(async (tx) => {
    for (const end of ends) {
      if ((await tx.readIfThere(`${end.path}/state`)) !== undefined)
        throw new NestfrontError(
          'NF_EEXIST',
          op,
          `${end.path} is there already; use another devid`,
        );
      await tx.mkdir(end.path);
      await tx.setPerms(end.path, [
        { domid: end.owner, access: 'n' },
        { domid: end.reader, access: 'r' },
      ]);
      await tx.mkdir(`${end.path}/nestfront`);
      await tx.setPerms(`${end.path}/nestfront`, [{ domid: end.owner, access: 'n' }]);
      for (const [key, value] of Object.entries(end.ours))
        await tx.write(`${end.path}/nestfront/${key}`, value);
      for (const [key, value] of Object.entries(end.standard))
        await tx.write(`${end.path}/${key}`, value);
    }
  });
}
