// SPDX-License-Identifier: MIT
import { spawn } from 'node:child_process';
import { once } from 'node:events';
import { mkdirSync, mkdtempSync, rmSync, symlinkSync, writeFileSync } from 'node:fs';
import { createServer } from 'node:net';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { createInterface } from 'node:readline';
import type { ExecutionContext } from 'ava';
import { StoreServer } from '../../../lib/store/server.js';

/** Joins a pseudo-terminal, a character device as xenbus is one, with a socket. */
const BRIDGE = `
import os, pty, select, socket, sys, tty
master, slave = pty.openpty()
tty.setraw(slave)
s = socket.socket(socket.AF_UNIX)
s.connect(sys.argv[1])
print(os.ttyname(slave), flush=True)
while True:
    for fd in select.select([master, s.fileno()], [], [])[0]:
        got = os.read(fd, 4096)
        if not got:
            sys.exit(0)
        os.write(s.fileno() if fd == master else master, got)
`;

export interface XenDir {
  readonly path: string;
  readonly server: StoreServer;
}

/**
 * A folder that looks like `/dev/xen` in a domain `domid`, a privileged one: plain files for the
 * devices, and a xenbus with one of our stores behind it. All openers of xenbus share one
 * connection, so there may be one at a time. Undefined without python3. Gone when the test ends.
 */
export async function xenDir(t: ExecutionContext, domid: number): Promise<XenDir | undefined> {
  const path = mkdtempSync(join(tmpdir(), 'nf-xendir-'));
  t.teardown(() => rmSync(path, { recursive: true, force: true }));
  const server = new StoreServer({ log: (line) => t.log(line) });
  server.introduce(domid, 'guest');
  const listener = createServer((socket) => {
    server.attach(socket, domid, true);
  });
  listener.listen(join(path, 'store'));
  await once(listener, 'listening');
  const bridge = spawn('python3', ['-c', BRIDGE, join(path, 'store')], {
    stdio: ['ignore', 'pipe', 'inherit'],
  });
  const exited = once(bridge, 'close').catch(() => undefined);
  t.teardown(async () => {
    bridge.kill();
    await exited;
    server.close();
    listener.close();
  });
  const lines = createInterface({ input: bridge.stdout });
  const line = await Promise.race([once(lines, 'line'), exited]);
  if (typeof line?.[0] !== 'string') return undefined;
  symlinkSync(line[0], join(path, 'xenbus'));
  for (const name of ['evtchn', 'gntdev', 'gntalloc']) writeFileSync(join(path, name), '');
  mkdirSync(join(path, 'sys/hypervisor'), { recursive: true });
  writeFileSync(join(path, 'sys/hypervisor/type'), 'xen\n');
  return { path, server };
}
