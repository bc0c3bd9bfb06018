// SPDX-License-Identifier: MIT
// A full-screen display that leaves the terminal as it was, whatever ends the program.
import type { ReadStream, WriteStream } from 'node:tty';

const ENTER = '\x1b[?1049h\x1b[?25l\x1b[?7l'; // other screen, no cursor, no wrapping
const LEAVE = '\x1b[?7h\x1b[?25h\x1b[?1049l';

/** The terminal while `top` has it. */
export class Screen implements Disposable {
  readonly #out: WriteStream;
  readonly #in: ReadStream | undefined;
  readonly #onKey: (chunk: Buffer) => void;
  readonly #restore = (): void => this[Symbol.dispose]();
  #isOpen = true;

  /** @param onKey a key was pressed: its text; Ctrl-C does not come here, it is a SIGINT */
  constructor(out: WriteStream, input: ReadStream, onKey: (key: string) => void) {
    this.#out = out;
    this.#onKey = (chunk) => {
      const text = chunk.toString();
      if (text.includes('\x03'))
        process.kill(process.pid, 'SIGINT'); // raw mode: ours to send
      else onKey(text);
    };
    this.#in = input.isTTY ? input : undefined;
    process.once('exit', this.#restore); // also when nothing caught an error
    this.#in?.setRawMode(true).on('data', this.#onKey).resume();
    out.write(ENTER);
  }

  get height(): number {
    return this.#out.rows || 24;
  }

  draw(lines: readonly string[]): void {
    const text = lines.map((line) => `${line}\x1b[K`).join('\r\n');
    this.#out.write(`\x1b[H${text}\x1b[J`);
  }

  [Symbol.dispose](): void {
    if (!this.#isOpen) return;
    this.#isOpen = false;
    process.off('exit', this.#restore);
    this.#in?.off('data', this.#onKey).setRawMode(false).pause();
    if (!this.#out.destroyed) this.#out.write(LEAVE);
  }
}
