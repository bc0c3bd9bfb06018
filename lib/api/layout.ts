// SPDX-License-Identifier: MIT
import * as n from '../generated/layout.js';

/** Byte offsets of `struct nf_counters_header` and `struct nf_block_header`, counters.h. */
export const HEADER = { magic: 0, version: 4, counters: 6, blocks: 8, pid: 16, domid: 20 } as const;
export const BLOCK = {
  seq: 0,
  kind: 4,
  mode: 5,
  grants: 6,
  state: 7,
  peer: 8,
  devid: 10,
  queue: 12,
  confined: 14,
  generation: 16,
  error: 20,
  of: 25,
  words: 64,
} as const;

/** Byte offsets of `struct nf_control_page` and `struct nf_control_dev`, control.h. */
export const CONTROL = {
  magic: 0,
  park: 4,
  bell: 8,
  devices: 64,
  deviceBytes: 64,
  bytes: 4096,
} as const;
export const CONTROL_DEV = {
  mode: 0,
  frameBytes: 4,
  blockBytes: 4, // the same word, by another name
  batch: 8,
  verifyEvery: 12,
  limit: 16,
  epoch: 20,
} as const;

const kinds = {
  [n.NF_BLOCK_NETFRONT]: 'netfront',
  [n.NF_BLOCK_NETBACK]: 'netback',
  [n.NF_BLOCK_NETRELAY]: 'netrelay',
  [n.NF_BLOCK_LATENCY]: 'latency',
  [n.NF_BLOCK_BLKFRONT]: 'blkfront',
  [n.NF_BLOCK_BLKBACK]: 'blkback',
  [n.NF_BLOCK_BLKRELAY]: 'blkrelay',
} as const;
/** What a counters block belongs to. */
export type BlockKind = (typeof kinds)[keyof typeof kinds];

const modes = {
  [n.NF_MODE_NONE]: 'none',
  [n.NF_MODE_SINGLE]: 'single',
  [n.NF_MODE_COPY]: 'copy',
  [n.NF_MODE_TRANSLATE]: 'translate',
  [n.NF_MODE_DIRECT]: 'direct',
  [n.NF_MODE_MUX]: 'mux',
} as const;
/** What a relay does with payload; `none` on other blocks. */
export type BlockMode = (typeof modes)[keyof typeof modes];

const grants = {
  [n.NF_GRANTS_NONE]: 'none',
  [n.NF_GRANTS_STATIC]: 'static',
  [n.NF_GRANTS_PERSISTENT]: 'persistent',
  [n.NF_GRANTS_COPY]: 'copy',
  [n.NF_GRANTS_MAP]: 'map',
} as const;
/** How payload pages reach the other end. */
export type BlockGrants = (typeof grants)[keyof typeof grants];

const states = [
  'Unknown',
  'Initialising',
  'InitWait',
  'Initialised',
  'Connected',
  'Closing',
  'Closed',
  'Reconfiguring',
  'Reconfigured',
] as const;
/** Xen's xenbus states. */
export type XenbusState = (typeof states)[number];

/** `undefined` for a free block or one of a kind this version does not know. */
export function kindName(value: number): BlockKind | undefined {
  return (kinds as Record<number, BlockKind>)[value];
}
export function modeName(value: number): BlockMode {
  return (modes as Record<number, BlockMode>)[value] ?? 'none';
}
export function grantsName(value: number): BlockGrants {
  return (grants as Record<number, BlockGrants>)[value] ?? 'none';
}
/** The name of a xenbus state; junk reads as `Unknown`, as in C. */
export function stateName(value: number): XenbusState {
  return states[value] ?? 'Unknown';
}
