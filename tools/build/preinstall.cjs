// SPDX-License-Identifier: MIT
'use strict';
// Names what is missing before anything is compiled, and the exact command that installs it.
// Uses nothing but node itself: it runs before dependencies are there. Old syntax on purpose.
// Where the package brings an addon for this Node, no compiler is asked for.
var spawnSync = require('child_process').spawnSync;
var fs = require('fs');
var os = require('os');
var path = require('path');

var NODE_MIN = [20, 19];

function nodeIsNewEnough() {
  var v = process.versions.node.split('.').map(Number);
  return v[0] > NODE_MIN[0] || (v[0] === NODE_MIN[0] && v[1] >= NODE_MIN[1]);
}

function works(command, args) {
  return spawnSync(command, args, { stdio: 'ignore' }).status === 0;
}

/* A compiler that is there but cannot link (no libc6-dev) is as good as none. */
function compiles(command, suffix, flags) {
  var dir = fs.mkdtempSync(path.join(os.tmpdir(), 'nestfront-'));
  var source = path.join(dir, 'probe' + suffix);
  fs.writeFileSync(source, '#include <linux/if_tun.h>\nint main(void) { return 0; }\n');
  var ok = works(command, flags.concat([source, '-o', path.join(dir, 'probe')]));
  fs.rmSync(dir, { recursive: true, force: true });
  return ok;
}

var missing = [];
var packages = [];
function need(ok, what, apt) {
  if (ok) return;
  missing.push(what);
  if (apt && packages.indexOf(apt) < 0) packages.push(apt);
}

if (process.platform !== 'linux' || process.arch !== 'x64') {
  console.error('nestfront: needs Linux on x86-64, not ' + process.platform + '/' + process.arch);
  process.exit(1);
}
need(nodeIsNewEnough(), 'Node >= 20.19 (this is ' + process.version + ')', '');
/* The rule of install.cjs, as far as it can be told before anything is loaded. */
function isPrebuilt() {
  var root = path.join(__dirname, '..', '..');
  var abi = 'node-v' + process.versions.modules + '-linux-x64';
  return (
    !/^(true|nestfront)$/.test(process.env.npm_config_build_from_source || '') &&
    fs.existsSync(path.join(root, 'prebuilt')) &&
    !fs.existsSync(path.join(root, 'test')) &&
    fs.existsSync(path.join(root, 'lib', 'binding', abi, 'nestfront.node'))
  );
}

function needTools() {
  need(
    works('python3', ['-c', 'import sys; sys.exit(sys.version_info < (3, 8))']),
    'python3 >= 3.8',
    'python3',
  );
  need(works('make', ['--version']), 'make', 'make');
  need(
    compiles(process.env.CC || 'cc', '.c', ['-static', '-pthread']),
    'a C compiler and libc6-dev',
    'gcc',
  );
  need(compiles(process.env.CXX || 'c++', '.cc', ['-std=c++17']), 'a C++ compiler', 'g++');
}
if (!isPrebuilt()) needTools();

if (missing.length > 0) {
  console.error('nestfront: missing: ' + missing.join(', '));
  if (packages.indexOf('gcc') >= 0) packages.push('libc6-dev');
  if (packages.length > 0) {
    var sudo = process.getuid() === 0 ? '' : 'sudo ';
    console.error(
      '  ' + sudo + 'apt-get update && ' + sudo + 'apt-get install -y ' + packages.join(' '),
    );
  }
  if (!nodeIsNewEnough())
    console.error(
      '  Node: https://nodejs.org/en/download, or your package manager (nodejs 20 LTS)',
    );
  process.exit(1);
}
