// SPDX-License-Identifier: MIT
// What a program inside a domain can't do to its siblings and to the hypervisors.
import { readFileSync, readlinkSync } from 'node:fs';
import { spawnSync } from 'node:child_process';
import { join } from 'node:path';
import test from 'ava';
import type { ExecutionContext } from 'ava';
import type { Stack } from '../../../lib/index.js';
import { isolationRefused } from '../../../lib/stack/mounts.js';
import { runtimeDirectory } from '../../../lib/stack/registry.js';
import * as e from '../helpers/stacks.js';

const isolated = isolationRefused() === undefined ? test.serial : test.serial.skip;

/**
 * Tries every way into process argv[1] and into the sockets after it; prints {attempt: errno name}.
 * 'OK' is a way in. On a process of its own it must get in, which shows that it knows how.
 */
const ATTACK = `
import ctypes, errno, json, os, socket, sys
libc = ctypes.CDLL(None, use_errno=True)
pid = int(sys.argv[1])
result = {}
def attempt(name, call):
    try:
        call()
        result[name] = 'OK'
    except OSError as e:
        result[name] = errno.errorcode.get(e.errno, str(e.errno))
def checked(value):
    if value < 0:
        raise OSError(ctypes.get_errno(), '')
    return value
def mem():
    line = open('/proc/%d/maps' % pid).readline()
    with open('/proc/%d/mem' % pid, 'rb') as f:
        f.seek(int(line.split('-')[0], 16))
        f.read(1)
def ptrace():
    checked(libc.ptrace(0x4206, pid, None, None))  # PTRACE_SEIZE: does not stop it
    libc.ptrace(17, pid, None, None)
def getfd():
    pidfd = checked(libc.syscall(434, pid, 0))
    checked(libc.syscall(438, pidfd, 3, 0))
def readv():
    class iovec(ctypes.Structure):
        _fields_ = [('base', ctypes.c_void_p), ('len', ctypes.c_size_t)]
    buf = ctypes.create_string_buffer(8)
    line = open('/proc/%d/maps' % pid).readline()
    local = iovec(ctypes.addressof(buf), 8)
    remote = iovec(int(line.split('-')[0], 16), 8)
    checked(libc.process_vm_readv(pid, ctypes.byref(local), 1, ctypes.byref(remote), 1, 0))
attempt('readlink', lambda: os.readlink('/proc/%d/fd/3' % pid))
attempt('open', lambda: os.open('/proc/%d/fd/3' % pid, os.O_RDWR))
attempt('mem', mem)
attempt('ptrace', ptrace)
attempt('pidfd_getfd', getfd)
attempt('process_vm_readv', readv)
attempt('kill', lambda: os.kill(pid, 0))
for path in sys.argv[2:]:
    for kind in (socket.SOCK_SEQPACKET, socket.SOCK_STREAM):
        s = socket.socket(socket.AF_UNIX, kind)
        attempt('connect %s %d' % (path, kind), lambda: s.connect(path))
print(json.dumps(result))
`;

const WAYS = ['readlink', 'open', 'mem', 'ptrace', 'pidfd_getfd', 'process_vm_readv'];

function sockets(stack: Stack): string[] {
  const directory = join(runtimeDirectory(), stack.name);
  const paths = ['H0', 'H1'].flatMap((h) => ['admin.sock', 'store.sock'].map((s) => join(h, s)));
  return [...paths, 'stack.sock'].map((path) => join(directory, path));
}

/** Every attempt must have failed, `allowed` ones aside. */
function walled(t: ExecutionContext, what: string, text: string, allowed: string[] = []): void {
  const result = JSON.parse(text) as Record<string, string>;
  for (const way of [...WAYS, ...Object.keys(result)]) {
    t.truthy(result[way], `${what}: ${way} was tried`);
    if (!allowed.includes(way)) t.not(result[way], 'OK', `${what}: ${way}`);
  }
}

isolated(
  'from inside a domain no sibling, no hypervisor and no socket can be reached',
  async (t) => {
    const stack = await e.up(t, { devices: e.genDevices(e.PATHS) });
    const { pids, hypervisors } = stack.metadata();
    for (const attacker of ['L2', 'guest', 'L0'])
      for (const [name, victim] of Object.entries({ ...pids, ...hypervisors })) {
        if (name === attacker) continue;
        const argv = ['/usr/bin/python3', '-c', ATTACK, String(victim), ...sockets(stack)];
        const { code, stdout, stderr } = await stack.domain(attacker).exec(argv);
        t.is(code, 0, stderr);
        walled(t, `${attacker} to ${name}`, stdout);
      }
  },
);

isolated('L1 reaches what is its own, H1, and nothing of H0', async (t) => {
  const stack = await e.up(t, { devices: e.genDevices(['translate']) });
  const paths = sockets(stack);
  const { pids, hypervisors } = stack.metadata();
  for (const victim of [hypervisors.H0!, pids['L0']!, pids['L2']!]) {
    const argv = ['/usr/bin/python3', '-c', ATTACK, String(victim), ...paths];
    const { stdout } = await stack.domain('L1').exec(argv);
    const own = Object.keys(JSON.parse(stdout) as object).filter((way) => way.includes('/H1/'));
    walled(t, `L1 to ${victim}`, stdout, own);
  }
});

/**
 * The kernel's wall by itself: the attacker keeps the host's pid namespace and files, so that it
 * can name its victim, but has only the attacking domain's user namespace.
 */
isolated('even one that could name its victim is refused by the kernel', async (t) => {
  const stack = await e.up(t, { devices: e.genDevices(['single']) });
  const { pids, hypervisors } = stack.metadata();
  const attack = (from: number, victim: number): string => {
    const enter = [`--user=/proc/${from}/ns/user`, '--preserve-credentials', '--'];
    const argv = [...enter, '/usr/bin/python3', '-c', ATTACK, String(victim)];
    const result = spawnSync('nsenter', argv, { encoding: 'utf8' });
    if (result.status !== 0) throw new Error(result.stderr);
    return result.stdout;
  };
  for (const victim of [pids['L0']!, hypervisors.H0!])
    walled(t, `guest to ${victim}`, attack(pids['guest']!, victim), ['kill']);
});

isolated('the attack is able to succeed: on a plain process it gets in', async (t) => {
  const stack = await e.up(t, { devices: e.genDevices(['single']) });
  const script = `/usr/bin/sleep 5 3</dev/null & exec /usr/bin/python3 -c "$0" $!`;
  const { stdout, stderr } = await stack.domain('guest').exec(['sh', '-c', script, ATTACK]);
  const result = JSON.parse(stdout || '{}') as Record<string, string>;
  for (const way of WAYS) t.is(result[way], 'OK', `${way} ${stderr}`);
});

isolated(
  'drivers are not dumpable, may gain no privileges and live in namespaces of their own',
  async (t) => {
    const stack = await e.up(t, { devices: e.genDevices(['translate', 'single']) });
    const { pids } = stack.metadata();
    for (const kind of ['user', 'pid', 'mnt', 'ipc', 'uts', 'net']) {
      const seen = [...Object.values(pids), process.pid].map((p) =>
        readlinkSync(`/proc/${p}/ns/${kind}`),
      );
      t.is(new Set(seen).size, seen.length, kind);
    }
    for (const [name, pid] of Object.entries(pids))
      t.regex(readFileSync(`/proc/${pid}/status`, 'utf8'), /^NoNewPrivs:\t1$/m, name);
  },
);
