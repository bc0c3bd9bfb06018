// SPDX-License-Identifier: MIT
import type { Caller } from './perms.js';
import { StoreError } from './storeerror.js';
import { XS_ABS_PATH_MAX } from './wire.js';

export const INTRODUCE_DOMAIN = '@introduceDomain';
export const RELEASE_DOMAIN = '@releaseDomain';

const VALID = /^[A-Za-z0-9\-/_@]+$/;
const OF_A_DOMAIN = /^\/local\/domain\/\d{1,5}\//;

export function domainPath(domid: number): string {
  return `/local/domain/${domid}`;
}

/**
 * The absolute form of a path as the caller means it. EINVAL for what no path can be, and for one
 * longer than `most`.
 */
export function absolute(path: string, caller: Caller, most: number): string {
  if (path.startsWith('@')) throw new StoreError('EINVAL');
  const full = path.startsWith('/') ? path : `${domainPath(caller.domid)}/${path}`;
  if (!VALID.test(full) || full.includes('//')) throw new StoreError('EINVAL');
  if (full !== '/' && full.endsWith('/')) throw new StoreError('EINVAL');
  if (full.length > XS_ABS_PATH_MAX) throw new StoreError('EINVAL');
  const counted = full.length - (OF_A_DOMAIN.exec(full)?.[0].length ?? 0);
  if (counted > most) throw new StoreError('EINVAL');
  return full;
}

/** Of an absolute path other than `/`. */
export function parentOf(path: string): string {
  return path.slice(0, path.lastIndexOf('/')) || '/';
}

export function baseOf(path: string): string {
  return path.slice(path.lastIndexOf('/') + 1);
}

export function join(path: string, name: string): string {
  return path === '/' ? `/${name}` : `${path}/${name}`;
}
