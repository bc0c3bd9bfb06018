// SPDX-License-Identifier: MIT
'use strict';
// npm raw-socket, which only `nestfront ping` needs. npm builds it where node-gyp gets headers by
// itself, and takes it away again where it does not. Then it is built here, in build/raw-socket,
// with the headers that our own build uses. Nothing of this may stop an installation: without a
// compiler, or when it fails, `ping` says what is missing. Once a Node version.
const { spawnSync } = require('node:child_process');
const fs = require('node:fs');
const path = require('node:path');

const VERSION = '1.8.1';
const BUILD_MS = 600_000; // it takes seconds; a network that never answers takes for ever

function loads(file) {
  const code = `require(${JSON.stringify(file)})`;
  return spawnSync(process.execPath, ['-e', code], { stdio: 'ignore' }).status === 0;
}

function installed(root) {
  try {
    return path.dirname(require.resolve('raw-socket/package.json', { paths: [root] }));
  } catch {
    return undefined; // npm took it away, or was told to leave optional packages out
  }
}

/** Its sources into `to`: those npm left, else out of npm's cache or registry. */
function fetchSources(root, to, log) {
  const from = installed(root);
  if (from !== undefined) {
    for (const name of ['package.json', 'index.js', 'binding.gyp', 'src'])
      fs.cpSync(path.join(from, name), path.join(to, name), { recursive: true });
    return true;
  }
  if (!process.env.npm_execpath) return false; // not by npm: no registry without being asked
  const pack = [process.env.npm_execpath, 'pack', `raw-socket@${VERSION}`, '--prefer-offline'];
  const stdio = ['ignore', log, log];
  const packed = spawnSync(process.execPath, pack, { cwd: to, stdio, timeout: 60_000 });
  const tar = ['-xzf', `raw-socket-${VERSION}.tgz`, '--strip-components=1'];
  return packed.status === 0 && spawnSync('tar', tar, { cwd: to, stdio }).status === 0;
}

function hasCompiler() {
  const tools = ['make', process.env.CXX || 'c++', 'python3'];
  return tools.every((t) => spawnSync(t, ['--version'], { stdio: 'ignore' }).status === 0);
}

/**
 * Builds it where it is missing. Never throws, says one line.
 * @param root the package; @param gypArgs as for our own build; @param env likewise
 */
function buildRawSocket(root, gypArgs, env) {
  const to = path.join(root, 'build', 'raw-socket');
  const stamp = path.join(root, 'build', `raw-socket.${process.version}`);
  if (fs.existsSync(stamp)) return;
  try {
    const own = installed(root);
    if ((own !== undefined && loads(own)) || loads(to)) return fs.writeFileSync(stamp, 'there\n');
    if (!hasCompiler()) return;
    fs.rmSync(to, { recursive: true, force: true });
    fs.mkdirSync(to, { recursive: true });
    const log = fs.openSync(path.join(root, 'build', 'raw-socket.log'), 'w');
    const gyp = [require.resolve('node-gyp/bin/node-gyp.js'), 'rebuild', ...gypArgs];
    const isBuilt =
      fetchSources(root, to, log) &&
      spawnSync(process.execPath, gyp, {
        cwd: to,
        env,
        stdio: ['ignore', log, log],
        timeout: BUILD_MS,
      }).status === 0;
    fs.closeSync(log);
    console.log(
      isBuilt
        ? '  raw-socket … done'
        : '  raw-socket … not built: no `nestfront ping` (build/raw-socket.log); all else works',
    );
    fs.writeFileSync(stamp, isBuilt ? 'built\n' : 'failed\n');
  } catch (error) {
    console.log(`  raw-socket … not built: no \`nestfront ping\` (${error.message})`);
  }
}

module.exports = { buildRawSocket };
