// SPDX-License-Identifier: MIT
import { StoreError } from './storeerror.js';

/** Bits of a permission; the first entry of a node's list is its owner's. */
export const READ = 1;
export const WRITE = 2;
/** May set permissions; never in a list. */
export const OWNER = 4;

export interface Permission {
  readonly domid: number;
  /** READ | WRITE, for everybody else when it is the owner's entry. */
  readonly bits: number;
  /** The domain did not exist when this was set, or died since: a later one gets nothing by it. */
  readonly void?: true;
}
export type Permissions = readonly [Permission, ...Permission[]];

/** Who asks. */
export interface Caller {
  readonly domid: number;
  readonly privileged: boolean;
  /** A domain whose rights it has as well (SET_TARGET). */
  target?: number | undefined;
}

const letters = ['n', 'r', 'w', 'b'] as const;

/** What `caller` may do: the owner and privileged ones everything. */
export function rights(permissions: Permissions, caller: Caller): number {
  const mine = (domid: number): boolean => domid === caller.domid || domid === caller.target;
  const [owner, ...others] = permissions;
  if (caller.privileged || mine(owner.domid)) return READ | WRITE | OWNER;
  return (others.find((p) => !p.void && mine(p.domid)) ?? owner).bits;
}

/** `n0`, `r5` … */
export function formatPermission({ domid, bits }: Permission): string {
  return `${letters[bits & 3] ?? 'n'}${domid}`;
}

/** EINVAL for anything but a letter and a decimal domid. */
export function parsePermission(text: string): Permission {
  const match = /^([nrwb])(\d{1,10})$/.exec(text);
  const bits = letters.findIndex((letter) => letter === match?.[1]);
  const domid = Number(match?.[2]);
  if (bits < 0 || domid > 0xffffffff) throw new StoreError('EINVAL');
  return { domid, bits };
}

/** A whole list; EINVAL when it is empty. */
export function parsePermissions(words: readonly string[]): Permissions {
  const [owner, ...others] = words.map(parsePermission);
  if (!owner) throw new StoreError('EINVAL');
  return [owner, ...others];
}

/** Marks the entries of domains that do not exist; ENOENT when the owner does not. */
export function checkDomains(
  [owner, ...others]: Permissions,
  exists: (domid: number) => boolean,
): Permissions {
  if (!exists(owner.domid)) throw new StoreError('ENOENT');
  return [owner, ...others.map((p) => (exists(p.domid) ? p : { ...p, void: true as const }))];
}

/** A new node's: the parent's, owned by who made it unless that is privileged. */
export function inherit(parent: Permissions, caller: Caller): Permissions {
  if (caller.privileged) return parent;
  const [owner, ...others] = parent;
  return [{ domid: caller.domid, bits: owner.bits }, ...others];
}

/** With a domain's entries void: its domid may be given to another one. */
export function without(permissions: Permissions, domid: number): Permissions {
  const [owner, ...others] = permissions;
  if (!others.some((p) => p.domid === domid && !p.void)) return permissions;
  const gone = (p: Permission): Permission => (p.domid === domid ? { ...p, void: true } : p);
  return [owner, ...others.map(gone)];
}
