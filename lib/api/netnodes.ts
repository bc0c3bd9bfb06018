// SPDX-License-Identifier: MIT
import type { StoreClient } from '../store/client.js';
import { inRange } from './check.js';
import { writeEnds } from './nodes.js';
import type { Domain } from './domain.js';

/** What both ends of a network device are to be. */
export interface NetOptions {
  /** The store of the hypervisor both domains are on, as the toolstack sees it. */
  readonly store: StoreClient;
  /** Number of the device in both domains, 0 to 65535. */
  readonly devid: number;
  readonly front: { readonly domain: Domain; readonly port?: string };
  readonly back: { readonly domain: Domain; readonly port?: string };
  /** Of the guest's end, six bytes in hex. */
  readonly mac: string;
  /** Bytes, 68 to 65521. Default 1500. */
  readonly mtu?: number;
  /** 1 to 8. Default 1. */
  readonly queues?: number;
  /** What the backend offers. Default `static`. */
  readonly grants?: 'static' | 'copy';
  /** The backend takes only static grants; `direct` through it is then confined. */
  readonly staticOnly?: boolean;
  /** What the guest may send, in xl's key `rate`: bytes in each window of so many microseconds. */
  readonly rate?: { readonly bytes: number; readonly microseconds: number } | undefined;
  /** Addresses the guest may send from, in xl's key `ip`. */
  readonly ip?: readonly string[] | undefined;
}

/** @internal Keys of ours beyond {@link NetOptions}, by which a relay knows its two ends. */
export interface RelayKeys {
  readonly front?: Readonly<Record<string, string>>;
  readonly back?: Readonly<Record<string, string>>;
}

export function frontPath(o: NetOptions): string {
  return `/local/domain/${o.front.domain.domid}/device/vif/${o.devid}`;
}
export function backPath(o: NetOptions): string {
  return `/local/domain/${o.back.domain.domid}/backend/vif/${o.front.domain.domid}/${o.devid}`;
}

/** Writes both ends' nodes in one transaction, as xl does: each owns its own, the other reads. */
export async function writeNodes(o: NetOptions, keys: RelayKeys): Promise<void> {
  const front = o.front.domain.domid;
  const back = o.back.domain.domid;
  const queues = String(inRange('queues', o.queues ?? 1, 1, 8));
  const common = {
    handle: String(inRange('devid', o.devid, 0, 0xffff)),
    mac: o.mac,
    mtu: String(inRange('mtu', o.mtu ?? 1500, 68, 65_521)),
    state: '1',
  };
  const ends = [
    {
      path: frontPath(o),
      owner: front,
      reader: back,
      standard: { backend: backPath(o), 'backend-id': String(back), ...common },
      ours: { queues, ...port(o.front.port), ...keys.front },
    },
    {
      path: backPath(o),
      owner: back,
      reader: front,
      standard: {
        frontend: frontPath(o),
        'frontend-id': String(front),
        online: '1',
        ...common,
        ...(o.rate === undefined ? {} : { rate: `${o.rate.bytes},${o.rate.microseconds}` }),
        ...(o.ip === undefined ? {} : { ip: o.ip.join(' ') }),
      },
      ours: {
        queues,
        grants: o.grants ?? 'static',
        ...(o.staticOnly === true ? { 'static-only': '1' } : {}),
        ...port(o.back.port),
        ...keys.back,
      },
    },
  ];
  await writeEnds(o.store, 'net.attach', ends);
}

function port(spec: string | undefined): Record<string, string> {
  return spec === undefined ? {} : { port: spec };
}
