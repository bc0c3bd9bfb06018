// SPDX-License-Identifier: MIT
import { StoreError } from './storeerror.js';

/** Bits of a permission; the first entry of a node's list is its owner's. */
export const READ = 1;
export const WRITE = 2;

export interface Permission {
  readonly domid: number;
  /** READ | WRITE, for everybody else when it is the owner's entry. */
  readonly bits: number;
}
export type Permissions = readonly [Permission, ...Permission[]];

/** Who asks. */
export interface Caller {
  readonly domid: number;
  readonly privileged: boolean;
}

const letters = ['n', 'r', 'w', 'b'] as const;

/** What `caller` may do: the owner and privileged ones everything. */
export function rights(permissions: Permissions, caller: Caller): number {
  const [owner, ...others] = permissions;
  if (caller.privileged || owner.domid === caller.domid) return READ | WRITE;
  return (others.find((p) => p.domid === caller.domid) ?? owner).bits;
}

export function isOwner(permissions: Permissions, caller: Caller): boolean {
  return caller.privileged || permissions[0].domid === caller.domid;
}

/** `n0`, `r5` … */
export function formatPermission({ domid, bits }: Permission): string {
  return `${letters[bits & 3] ?? 'n'}${domid}`;
}

/** EINVAL for anything but a letter and a decimal domid. */
export function parsePermission(text: string): Permission {
  const match = /^([nrwb])(0|[1-9]\d{0,4})$/.exec(text);
  const bits = letters.findIndex((letter) => letter === match?.[1]);
  const domid = Number(match?.[2]);
  if (bits < 0 || domid > 0x7fff) throw new StoreError('EINVAL');
  return { domid, bits };
}

/** A whole list; EINVAL when it is empty. */
export function parsePermissions(words: readonly string[]): Permissions {
  const [owner, ...others] = words.map(parsePermission);
  if (!owner) throw new StoreError('EINVAL');
  return [owner, ...others];
}

/** A new node's: the parent's, owned by who made it unless that is privileged. */
export function inherit(parent: Permissions, caller: Caller): Permissions {
  if (caller.privileged) return parent;
  const [owner, ...others] = parent;
  return [{ domid: caller.domid, bits: owner.bits }, ...others];
}

/** Without a domain's entries: its domid may be given to another one. */
export function without(permissions: Permissions, domid: number): Permissions {
  const [owner, ...others] = permissions;
  if (!others.some((p) => p.domid === domid)) return permissions;
  return [owner, ...others.filter((p) => p.domid !== domid)];
}
