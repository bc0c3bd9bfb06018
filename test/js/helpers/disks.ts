// SPDX-License-Identifier: MIT
import type { DevicePath } from '../../../lib/index.js';

/** The paths a disk can take so far. */
export const DISK_PATHS: readonly Exclude<DevicePath, 'mux'>[] = ['single'];
