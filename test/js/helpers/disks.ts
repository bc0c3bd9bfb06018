// SPDX-License-Identifier: MIT
import type { DevicePath } from '../../../lib/index.js';

/** The paths a disk can take. */
export const DISK_PATHS: readonly Exclude<DevicePath, 'mux'>[] = [
  'single',
  'copy',
  'translate',
  'direct',
];
