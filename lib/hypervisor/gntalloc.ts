// SPDX-License-Identifier: MIT
import { fstatSync, statSync } from 'node:fs';

/** The kernel's device that makes pages granted to another domain of real Xen. */
const GNTALLOC = '/dev/xen/gntalloc';

/**
 * Whether a descriptor is of pages granted on real Xen. They cannot shrink under who maps them: the
 * kernel keeps a page until its last mapping is gone.
 */
export function isGntalloc(fd: number): boolean {
  const file = fstatSync(fd);
  if (!file.isCharacterDevice()) return false;
  return file.rdev === statSync(GNTALLOC, { throwIfNoEntry: false })?.rdev;
}
