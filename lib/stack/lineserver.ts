// SPDX-License-Identifier: MIT
// JSON lines over a Unix socket: a request a line, a reply a line, `id` in both.
import { chmodSync } from 'node:fs';
import { createServer } from 'node:net';
import type { Server, Socket } from 'node:net';
import { toNestfrontError } from '../errors.js';
import { addon } from '../api/memory.js';

/** What a request asks for, beside `id` and `op`. */
export type LineArgs = Readonly<Record<string, unknown>>;
export type LineOperation = (args: LineArgs, signal: AbortSignal) => unknown;

const LINE_MAX = 65_536; // bytes of a request
const CLIENTS_MAX = 32;
const PENDING_MAX = 64; // requests of one client under way

/** A request: an object with `op`, and an `id` that comes back. */
interface LineRequest extends LineArgs {
  readonly id?: number | string;
  readonly op: string;
}

function parse(line: string): LineRequest {
  const request: unknown = JSON.parse(line);
  if (typeof request !== 'object' || request === null || !('op' in request))
    throw new TypeError('a request is an object with "op"');
  return request as LineRequest;
}

/** Only our own user and root may drive a stack. */
function trusted(socket: Socket): boolean {
  // Node has no name for it; every version from 20 on has the field
  const { fd } = (socket as unknown as { _handle: { fd: number } })._handle;
  const { uid } = addon().peerCredentials(fd);
  return uid === 0 || uid === process.getuid?.();
}

/** Serves operations; replies come in the order operations end. Never keeps its process alive. */
export class LineServer {
  readonly #operations: Readonly<Record<string, LineOperation>>;
  readonly #server: Server;
  readonly #clients = new Set<Socket>();
  readonly #stop = new AbortController();

  private constructor(operations: Readonly<Record<string, LineOperation>>) {
    this.#operations = operations;
    this.#server = createServer((socket) => this.#accept(socket));
    this.#server.unref();
  }

  /** @param path of the socket, made with mode 0600 in a directory that is ours alone */
  static async listen(
    path: string,
    operations: Readonly<Record<string, LineOperation>>,
  ): Promise<LineServer> {
    const server = new LineServer(operations);
    await new Promise<void>((resolve, reject) => {
      server.#server.once('error', reject);
      server.#server.listen(path, resolve);
    });
    chmodSync(path, 0o600);
    return server;
  }

  /** Hangs up on every client; what they asked for is aborted. */
  close(): void {
    this.#stop.abort();
    this.#server.close();
    for (const client of this.#clients) client.destroy();
  }

  #accept(socket: Socket): void {
    socket.unref();
    if (this.#clients.size >= CLIENTS_MAX || !trusted(socket)) return void socket.destroy();
    this.#clients.add(socket);
    let rest = '';
    let pending = 0;
    socket.setEncoding('utf8');
    socket.on('error', () => socket.destroy()); // it went away: nobody to tell
    socket.on('close', () => this.#clients.delete(socket));
    socket.on('data', (chunk: string) => {
      const lines = (rest + chunk).split('\n');
      rest = lines.pop() ?? '';
      pending += lines.length;
      if (rest.length > LINE_MAX || pending > PENDING_MAX) return void socket.destroy();
      for (const line of lines)
        void this.#answer(line).then((reply) => {
          pending -= 1;
          if (!socket.destroyed) socket.write(`${JSON.stringify(reply)}\n`);
        });
    });
  }

  async #answer(line: string): Promise<object> {
    let id: number | string | null = null;
    try {
      const { id: asked, op, ...args } = parse(line);
      id = asked ?? null;
      const operation = Object.hasOwn(this.#operations, op) ? this.#operations[op] : undefined;
      if (operation === undefined)
        throw new TypeError(
          `no operation "${op}"; there are ${Object.keys(this.#operations).join(', ')}`,
        );
      return { id, ok: true, result: (await operation(args, this.#stop.signal)) ?? null };
    } catch (error) {
      const misuse = error instanceof TypeError || error instanceof RangeError;
      const { code, op, message } = toNestfrontError(error, 'toolstack');
      return { id, ok: false, error: { code: misuse ? 'NF_EINVAL' : code, op, message } };
    }
  }
}
