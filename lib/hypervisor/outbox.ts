// SPDX-License-Identifier: MIT
import { XS_HEADER_BYTES } from '../store/wire.js';

/** A message that waits, and who wants to know that it is out. */
interface Waiting {
  readonly message: Buffer;
  readonly taken: (() => void) | undefined;
}

/** A local stream takes so much as a whole or not at all. */
const TOGETHER_BYTES = XS_HEADER_BYTES + 4096;

/** Whole messages on their way out, in order; those that wait go together. */
export class Outbox {
  readonly #waiting: Waiting[] = [];
  #bytes = 0;

  /** Messages that wait. */
  get length(): number {
    return this.#waiting.length;
  }

  get bytes(): number {
    return this.#bytes;
  }

  get messages(): readonly Buffer[] {
    return this.#waiting.map(({ message }) => message);
  }

  push(message: Buffer, taken?: () => void): void {
    this.#waiting.push({ message, taken });
    this.#bytes += message.length;
  }

  /** The first ones as one: the reader wakes once. */
  first(): { readonly data: Buffer; readonly count: number } {
    let bytes = 0;
    const over = this.#waiting.findIndex(({ message }, i) => {
      bytes += message.length;
      return i > 0 && bytes > TOGETHER_BYTES;
    });
    const count = over < 0 ? this.#waiting.length : over;
    const messages = this.messages.slice(0, count);
    return { data: count === 1 ? messages[0]! : Buffer.concat(messages), count };
  }

  /** So many are out. */
  shift(count: number): void {
    for (const { message, taken } of this.#waiting.splice(0, count)) {
      this.#bytes -= message.length;
      taken?.();
    }
  }
}
