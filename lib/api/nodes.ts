// SPDX-License-Identifier: MIT
import { NestfrontError } from '../errors.js';
import type { StoreClient } from '../store/client.js';
import type { StoreView } from '../store/view.js';

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
    const states = await Promise.all(ends.map((end) => tx.readIfThere(`${end.path}/state`)));
    const taken = ends.find((_end, i) => states[i] !== undefined);
    if (taken !== undefined)
      throw new NestfrontError(
        'NF_EEXIST',
        op,
        `${taken.path} is there already; use another devid`,
      );
    // all asked for before the first answer: the store takes them in this order
    await Promise.all(ends.flatMap((end) => writesOf(tx, end)));
  });
}

function writesOf(tx: StoreView, end: EndNode): Promise<void>[] {
  const ours = `${end.path}/nestfront`;
  return [
    tx.mkdir(end.path),
    tx.setPerms(end.path, [
      { domid: end.owner, access: 'n' },
      { domid: end.reader, access: 'r' },
    ]),
    tx.mkdir(ours),
    tx.setPerms(ours, [{ domid: end.owner, access: 'n' }]),
    ...Object.entries(end.ours).map(([key, value]) => tx.write(`${ours}/${key}`, value)),
    ...Object.entries(end.standard).map(([key, value]) => tx.write(`${end.path}/${key}`, value)),
  ];
}
