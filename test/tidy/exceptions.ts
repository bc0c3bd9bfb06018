// SPDX-License-Identifier: MIT
// Where the house style is broken on purpose. An entry nobody needs any more fails the tidy test.
export interface Exception {
  rule: 'file-size' | 'function-size' | 'width' | 'direction';
  /** File, or `file#function`, or `file -> included`. */
  where: string;
  reason: string;
}

export const EXCEPTIONS: Exception[] = [
  {
    rule: 'direction',
    where: 'drivers/layer/xen/open.c -> nf/store.h',
    reason: 'nothing in /dev/xen tells a domain its own domid: it is a node of the store',
  },
];
