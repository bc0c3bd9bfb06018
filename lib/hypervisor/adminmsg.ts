// SPDX-License-Identifier: MIT
// The admin channel between the toolstack and a hypervisor: SOCK_SEQPACKET, one JSON object a
// message, descriptors beside it. Requests carry an id and may overlap; each gets one reply.

export const ADMIN_VERSION = 1;
/** Largest message either way, in bytes. */
export const ADMIN_MESSAGE_MAX = 65536;

export interface CreateDomainOptions {
  name: string;
  /** May donate pages to other domains and sees the whole store. Domid 0 always is. */
  privileged?: boolean;
  /** Wanted domid, 0 to 32751; the lowest free one from 1 on otherwise. */
  domid?: number;
}

export interface DomainInfo {
  domid: number;
  name: string;
  privileged: boolean;
  /** `created`: never connected; `running`; `dead`: its last connection closed. */
  state: 'created' | 'running' | 'dead';
  connections: number;
  arenas: number;
  /** Pages it granted. */
  pages: number;
  /** Pages others took back that it still maps. */
  quarantinedPages: number;
  ports: number;
  mappings: number;
}

export interface HypervisorStats {
  name: string;
  pid: number;
  domains: number;
  arenas: number;
  pages: number;
  quarantinedArenas: number;
  quarantinedPages: number;
  ports: number;
  donations: number;
  storeConnections: number;
  storeNodes: number;
  watches: number;
  /** Open descriptors of the process. */
  fds: number;
}

export type AdminRequest = { id: number } & (
  | { op: 'hello'; version: number }
  | ({ op: 'createDomain' } & CreateDomainOptions)
  | { op: 'connectDomain' | 'destroyDomain' | 'counters' | 'control'; domid: number }
  | { op: 'listGrants' | 'listPorts'; from?: number }
  | { op: 'listDomains' | 'store' | 'stats' | 'shutdown' }
);

export type AdminReply =
  | { id: number; ok: true; result: unknown }
  | { id: number; ok: false; errno: number; message: string };
