// SPDX-License-Identifier: MIT
// A seeded stream over TCP, hashed at both ends, as two programs for `node -e` inside domains.
import type { ChildProcess } from 'node:child_process';

/** Listens on 5001, prints `ready`, takes one connection, prints hash and length. */
export const LISTEN = `
const { createHash } = require('crypto');
const server = require('net').createServer((socket) => {
  const hash = createHash('sha256');
  let bytes = 0;
  socket.on('data', (chunk) => { hash.update(chunk); bytes += chunk.length; });
  socket.on('end', () => { console.log(hash.digest('hex') + ' ' + bytes); server.close(); });
}).listen(5001, () => console.log('ready'));
`;

/** HOST SEED MEGABYTES: sends a keystream of SEED to HOST:5001, prints hash and length. */
export const SEND = `
const { createCipheriv, createHash } = require('crypto');
const [host, seed, megabytes] = process.argv.slice(1);
const cipher = createCipheriv('aes-128-ctr', seed.padEnd(16).slice(0, 16), Buffer.alloc(16));
const zeros = Buffer.alloc(1 << 20);
const hash = createHash('sha256');
const socket = require('net').connect(5001, host, async () => {
  for (let i = 0; i < Number(megabytes); i++) {
    const block = cipher.update(zeros);
    hash.update(block);
    if (!socket.write(block)) await new Promise((go) => socket.once('drain', go));
  }
  socket.end();
});
socket.on('close', () => console.log(hash.digest('hex') + ' ' + (Number(megabytes) << 20)));
socket.on('error', (error) => { console.error(String(error)); process.exitCode = 1; });
`;

/** Resolves when the program says `ready`, and with its last line when it ends. */
export function lastLine(child: ChildProcess): { ready: Promise<void>; last: Promise<string> } {
  let text = '';
  let said: () => void;
  const ready = new Promise<void>((resolve) => (said = resolve));
  child.stdout!.setEncoding('utf8').on('data', (chunk: string) => {
    text += chunk;
    if (text.includes('ready\n')) said();
  });
  const last = new Promise<string>((resolve) => {
    child.on('close', () => resolve(text.trim().split('\n').at(-1) ?? ''));
  });
  return { ready, last };
}
