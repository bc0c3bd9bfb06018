// SPDX-License-Identifier: MIT
import type { XsErrorName } from './wire.js';

/** A request the store refuses; the client gets the name. */
export class StoreError extends Error {
  override readonly name = 'StoreError';
  readonly code: XsErrorName;

  constructor(code: XsErrorName) {
    const { stackTraceLimit } = Error;
    Error.stackTraceLimit = 0; // an answer like any other, and a frequent one
    super(code);
    Error.stackTraceLimit = stackTraceLimit;
    this.code = code;
  }
}
