// SPDX-License-Identifier: MIT
import { StoreError } from './storeerror.js';
import { XS_ABS_PATH_MAX, XS_REL_PATH_MAX } from './wire.js';

export const INTRODUCE_DOMAIN = '@introduceDomain';
export const RELEASE_DOMAIN = '@releaseDomain';

const VALID = /^[A-Za-z0-9\-/_@]+$/;

export function domainPath(domid: number): string {
  return `/local/domain/${domid}`;
}

/** The absolute form of a path as `domid` means it. EINVAL for what no path can be. */
export function absolute(path: string, domid: number): string {
  if (!VALID.test(path) || path.includes('//')) throw new StoreError('EINVAL');
  if (path !== '/' && path.endsWith('/')) throw new StoreError('EINVAL');
  if (path.startsWith('/')) {
    if (path.length > XS_ABS_PATH_MAX) throw new StoreError('EINVAL');
    return path;
  }
  if (path.startsWith('@') || path.length > XS_REL_PATH_MAX) throw new StoreError('EINVAL');
  return `${domainPath(domid)}/${path}`;
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
