// SPDX-License-Identifier: MIT
import type { StoreClient } from '../store/client.js';
import { inRange } from './check.js';
import type { Domain } from './domain.js';
import type { RelayKeys } from './netnodes.js';
import { writeEnds } from './nodes.js';

/** What both ends of a disk are to be. */
export interface BlkOptions {
  /** The store of the hypervisor both domains are on, as the toolstack sees it. */
  readonly store: StoreClient;
  /** Number of the device in both domains, 0 to 65535. */
  readonly devid: number;
  /** What drives the front: `none`, `gen`, `nbd:PATH[,ro][,name=EXPORT][,mode=0600]`. */
  readonly front: { readonly domain: Domain; readonly port?: string };
  /** The disk: `file:PATH`, `block:PATH`, `mem:SIZE`, `null:SIZE`, with options. */
  readonly back: { readonly domain: Domain; readonly port?: string };
  /** 1 to 8. Default 1. */
  readonly queues?: number;
  /** Pages of a ring: 1, 2, 4, 8 or 16. Default 1. */
  readonly ringPages?: number;
  /** Segments of 4 KiB a request may have, 1 to 512. Default 64. */
  readonly indirect?: number;
  /** Payload pages of a queue, 32 to 2048. Default 512. */
  readonly poolPages?: number;
  /** What the backend offers. Default `static`. */
  readonly grants?: 'static' | 'persistent' | 'copy' | 'map';
  readonly readonly?: boolean;
  /** The backend takes only registered grants; `direct` through it is then confined. */
  readonly registeredOnly?: boolean;
}

export function frontPath(o: BlkOptions): string {
  return `/local/domain/${o.front.domain.domid}/device/vbd/${o.devid}`;
}
export function backPath(o: BlkOptions): string {
  return `/local/domain/${o.back.domain.domid}/backend/vbd/${o.front.domain.domid}/${o.devid}`;
}

function shape(o: BlkOptions): Record<string, string> {
  const keys: Record<string, string> = {
    queues: String(inRange('queues', o.queues ?? 1, 1, 8)),
    'ring-pages': String(inRange('ringPages', o.ringPages ?? 1, 1, 16)),
  };
  if (o.indirect !== undefined) keys['indirect'] = String(inRange('indirect', o.indirect, 1, 512));
  if (o.poolPages !== undefined)
    keys['pool-pages'] = String(inRange('poolPages', o.poolPages, 32, 2048));
  if (o.registeredOnly === true) keys['registered-only'] = '1';
  return keys;
}

/** Writes both ends' nodes, as xl writes those of a vbd. */
export async function writeNodes(o: BlkOptions, keys: RelayKeys): Promise<void> {
  const front = o.front.domain.domid;
  const back = o.back.domain.domid;
  const devid = String(inRange('devid', o.devid, 0, 0xffff));
  const ours = shape(o);
  const port = (spec: string | undefined): Record<string, string> =>
    spec === undefined ? {} : { port: spec };
  await writeEnds(o.store, 'disk.attach', [
    {
      path: frontPath(o),
      owner: front,
      reader: back,
      standard: {
        backend: backPath(o),
        'backend-id': String(back),
        'virtual-device': devid,
        'device-type': 'disk',
        state: '1',
      },
      ours: { ...ours, ...port(o.front.port), ...keys.front },
    },
    {
      path: backPath(o),
      owner: back,
      reader: front,
      standard: {
        frontend: frontPath(o),
        'frontend-id': String(front),
        online: '1',
        removable: '0',
        mode: o.readonly === true ? 'r' : 'w',
        // pages of ours are not reused before the answer, so a device may fill them itself
        'direct-io-safe': '1',
        state: '1',
      },
      ours: { ...ours, grants: o.grants ?? 'static', ...port(o.back.port), ...keys.back },
    },
  ]);
}
