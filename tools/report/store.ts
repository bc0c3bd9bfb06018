// SPDX-License-Identifier: MIT
// A store's tree for a report: every node, but values only of keys that are known to hold neither
// payload nor secrets.
import type { StoreClient } from '../../lib/store/client.js';

/** Deeper, or more nodes, than a stack of ours makes is cut short, and that is said. */
const NODES_MAX = 5000;

const SHOWN = new RegExp(
  '(^|/)(state|name|domid|online|backend-id|frontend-id|backend|frontend|handle|mtu|mac|error|' +
    'feature-[a-z0-9-]+|request-[a-z0-9-]+|multi-queue-[a-z-]+|(max-)?ring-page-order|' +
    'ring-ref\\d*|tx-ring-ref|rx-ring-ref|ctrl-ring-ref|ring-refs|num-ring-pages|' +
    'event-channel|event-channel-tx|event-channel-rx|event-channel-ctrl|protocol|' +
    'sectors|sector-size|physical-sector-size|info|discard-[a-z]+|type|mode|device-type|' +
    'hotplug-status|rate|nestfront/(queues|grants|static-only|relay|relay-outer|relayed|' +
    'trust-inner|flood|port))$',
);

export function isShown(path: string): boolean {
  return SHOWN.test(path);
}

/** A line a node, children indented by their path. */
export async function storeLines(store: StoreClient): Promise<string[]> {
  const lines: string[] = [];
  const queue = ['/'];
  for (let path = queue.pop(); path !== undefined; path = queue.pop()) {
    if (lines.length >= NODES_MAX) return [...lines, `... more than ${NODES_MAX} nodes`];
    const value = path === '/' ? '' : ((await store.readIfThere(path)) ?? '');
    const bytes = Buffer.byteLength(value);
    const shown = isShown(path) ? JSON.stringify(value) : `(${bytes} bytes left out)`;
    if (path !== '/') lines.push(bytes === 0 ? path : `${path} = ${shown}`);
    const names = await store.directory(path).catch(() => []); // went while we looked
    const base = path === '/' ? '' : path;
    queue.push(...names.reverse().map((name) => `${base}/${name}`));
  }
  return lines;
}
