// SPDX-License-Identifier: MIT
'use strict';
// Builds the addon, the daemons and (in a clone) the C tests with node-gyp. One line a step on the
// terminal, everything in build/build.log; on failure the first errors and what to install.
// A lock lets several builds of one tree take turns. The npm package brings all of it built
// (tools/build/prebuild.cjs): then nothing is compiled unless that does not run here, or
// `npm install --build-from-source` asks for it.
const { spawn, spawnSync } = require('node:child_process');
const fs = require('node:fs');
const os = require('node:os');
const path = require('node:path');
const { buildRawSocket } = require('./rawsocket.cjs');

const ROOT = path.resolve(__dirname, '..', '..');
const LOG = path.join(ROOT, 'build', 'build.log');
const LOCK = path.join(ROOT, 'node_modules', '.nestfront-build.lock');

/** Headers beside the running node if they are of this very version; node-gyp fetches otherwise. */
function nodeDirectory() {
  const prefix = path.dirname(path.dirname(fs.realpathSync(process.execPath)));
  const header = path.join(prefix, 'include', 'node', 'node_version.h');
  try {
    const text = fs.readFileSync(header, 'utf8');
    const part = (name) => new RegExp(`#define NODE_${name}_VERSION (\\d+)`).exec(text)?.[1];
    const version = `v${part('MAJOR')}.${part('MINOR')}.${part('PATCH')}`;
    return version === process.version ? prefix : undefined;
  } catch {
    return undefined; // no headers there: not an error, node-gyp has its own way
  }
}

/** npm passes every npmrc key on, nodedir too, which may be of another version than this node. */
function environment() {
  const env = { ...process.env };
  for (const key of Object.keys(env)) if (/^npm_config_nodedir$/i.test(key)) delete env[key];
  env.MAKEFLAGS = 'k'; // go on after an error: one broken program does not hide the others
  return env;
}

function holderAlive() {
  try {
    const pid = Number(fs.readFileSync(LOCK, 'utf8'));
    process.kill(pid, 0);
    return true;
  } catch (error) {
    return error.code === 'EPERM';
  }
}

async function lock() {
  fs.mkdirSync(path.dirname(LOCK), { recursive: true });
  for (let waited = 0; ; waited++) {
    try {
      fs.writeFileSync(LOCK, String(process.pid), { flag: 'wx' });
      process.on('exit', () => fs.rmSync(LOCK, { force: true }));
      for (const s of ['SIGINT', 'SIGTERM', 'SIGHUP']) process.on(s, () => process.exit(130));
      return;
    } catch (error) {
      if (error.code !== 'EEXIST') throw error;
      if (!holderAlive() && waited > 0) fs.rmSync(LOCK, { force: true });
      if (waited === 2) console.log('  another build of this tree is running; waiting for it');
      await new Promise((done) => setTimeout(done, 500));
    }
  }
}

function step(label, args, out) {
  const started = Date.now();
  return new Promise((done) => {
    fs.writeSync(out, `\n== ${label}: node ${args.join(' ')}\n`);
    const child = spawn(process.execPath, args, {
      cwd: ROOT,
      env: environment(),
      stdio: ['ignore', out, out],
    });
    child.on('error', (error) => {
      fs.writeSync(out, `${error.stack}\n`);
      done(false);
    });
    child.on('close', (code) => {
      const seconds = ((Date.now() - started) / 1000).toFixed(1);
      console.log(`  ${label} … ${code === 0 ? 'done' : 'FAILED'} (${seconds} s)`);
      done(code === 0);
    });
  });
}

function explain() {
  const lines = fs.readFileSync(LOG, 'utf8').split('\n');
  const wanted =
    /\berror\b|Error:|undefined reference|multiple definition|No such file|not found|ERR! find/;
  const first = lines
    .filter((l) => wanted.test(l) && !/^make|cflags|collect2|ERR! build error/.test(l))
    .slice(0, 8);
  for (const line of first) console.error(`    ${line.trim().slice(0, 160)}`);
  console.error(`  the whole log: ${path.relative(process.cwd(), LOG) || LOG}`);
  spawnSync(process.execPath, [path.join(__dirname, 'preinstall.cjs')], { stdio: 'inherit' });
  if (/libc\.a|-lc\b|-lpthread/.test(first.join('\n')))
    console.error('  a static C library is needed: sudo apt-get install -y libc6-dev');
  if (/ENOTFOUND|ECONNREFUSED|getaddrinfo/.test(first.join('\n')))
    console.error(
      "  node's headers are neither beside node nor to be fetched: install libnode-dev of this\n" +
        '  version, or run once with a network: npx node-gyp install',
    );
}

const fromSource = () => /^(true|nestfront)$/.test(process.env.npm_config_build_from_source ?? '');

/** What the npm package brought, put where a build would have put it. False: build. */
function usePrebuilt() {
  const programs = path.join(ROOT, 'prebuilt');
  const abi = `node-v${process.versions.modules}-${process.platform}-${process.arch}`;
  const addon = path.join(ROOT, 'lib', 'binding', abi, 'nestfront.node');
  // a clone builds: its tests are not in the package
  const isPackage = fs.existsSync(programs) && !fs.existsSync(path.join(ROOT, 'test'));
  if (!isPackage || fromSource()) return false;
  const load = ['-e', `require(${JSON.stringify(addon)})`];
  const tried = spawnSync(process.execPath, load, { encoding: 'utf8' });
  if (tried.status === 0) {
    const to = path.join(ROOT, 'build', 'Release');
    fs.mkdirSync(to, { recursive: true });
    for (const name of fs.readdirSync(programs).filter((n) => !n.endsWith('.json'))) {
      fs.copyFileSync(path.join(programs, name), path.join(to, name));
      fs.chmodSync(path.join(to, name), 0o755);
    }
    console.log(`nestfront: prebuilt for ${abi}; --build-from-source compiles it here`);
    return true;
  }
  const why = fs.existsSync(addon)
    ? (/^.*(?:Error|GLIBC).*$/m.exec(tried.stderr)?.[0] ?? 'it does not load')
    : 'none for this ABI';
  console.log(`nestfront: no prebuilt addon for ${abi} (${why.trim()}): building`);
  const check = spawnSync(process.execPath, [path.join(__dirname, 'preinstall.cjs')], {
    stdio: 'inherit',
    env: { ...process.env, npm_config_build_from_source: 'true' },
  });
  if (check.status !== 0) process.exit(1);
  return false;
}

async function main() {
  const dir = nodeDirectory();
  const extra = dir ? [`--nodedir=${dir}`] : [];
  if (usePrebuilt()) return buildRawSocket(ROOT, extra, environment());
  const gyp = require.resolve('node-gyp/bin/node-gyp.js');
  await lock();
  fs.mkdirSync(path.dirname(LOG), { recursive: true });
  const out = fs.openSync(LOG, 'w');
  console.log(`nestfront: building for node ${process.version}`);
  const jobs = Math.max(1, Math.min(os.availableParallelism(), 8));
  const ok =
    (await step('configure', [gyp, 'configure', '--loglevel=warn', ...extra], out)) &&
    (await step('compile', [gyp, 'build', '--loglevel=warn', `--jobs=${jobs}`, ...extra], out));
  fs.closeSync(out);
  if (!ok) {
    explain();
    process.exit(1);
  }
  buildRawSocket(ROOT, extra, environment());
}

main().catch((error) => {
  console.error(`nestfront: the build could not run: ${error.message}`);
  process.exit(1);
});
