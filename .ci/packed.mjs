// SPDX-License-Identifier: MIT
// node packed.mjs TARBALL DIR: installs the tarball into an empty project where there is no
// compiler and uses it as its users do: ESM import, require, a Worker, types of README's sample,
// the command, a nested stack; the same with the other Nodes it has an addon for. Then once more
// into another project, built from source.
import { spawnSync } from 'node:child_process';
import fs from 'node:fs';
import os from 'node:os';
import path from 'node:path';

const [tarball, dir] = process.argv.slice(2).map((p) => path.resolve(p));
const clone = path.resolve(import.meta.dirname, '..');
let failures = 0;

function run(label, command, args, { cwd = dir, env = process.env } = {}) {
  const r = spawnSync(command, args, { cwd, env, encoding: 'utf8', timeout: 600_000 });
  const ok = r.status === 0;
  console.log(`${label} … ${ok ? 'ok' : 'FAILED'}`);
  if (!ok) {
    failures++;
    console.log(r.stdout, r.stderr, r.error?.message ?? '');
  }
  return ok;
}

/** The first ```ts block of the README: the nested stack in fifteen lines. */
function sample() {
  const text = fs.readFileSync(path.join(clone, 'README.md'), 'utf8');
  const block = /```ts\n([\s\S]*?)```/.exec(text)?.[1];
  if (block === undefined) throw new Error('README.md has no ```ts block');
  return block;
}

const files = {
  'package.json': JSON.stringify({ name: 'empty', private: true, type: 'module' }),
  'esm.mjs':
    "import * as n from 'nestfront';\n" +
    "for (const name of ['Hypervisor', 'Stack', 'Counters', 'Ring', 'NestfrontError'])\n" +
    "  if (typeof n[name] !== 'function') throw new Error(`no ${name}`);\n",
  'require.cjs':
    "const n = require('nestfront');\n" +
    "if (typeof n.Hypervisor !== 'function') throw new Error('no Hypervisor');\n",
  'worker.mjs':
    "import { Worker, isMainThread } from 'node:worker_threads';\n" +
    "import * as n from 'nestfront';\n" +
    "if (typeof n.Hypervisor !== 'function') throw new Error('no Hypervisor');\n" +
    'if (isMainThread) {\n' +
    '  const worker = new Worker(new URL(import.meta.url));\n' +
    "  worker.on('error', (e) => { console.error(e); process.exitCode = 1; });\n" +
    '}\n',
  'tsconfig.json': JSON.stringify({
    compilerOptions: {
      target: 'ES2023',
      lib: ['ES2023', 'ESNext.Disposable'],
      module: 'NodeNext',
      moduleResolution: 'NodeNext',
      strict: true,
      exactOptionalPropertyTypes: true,
      noEmit: true,
      skipLibCheck: false,
      types: ['node'],
      typeRoots: [path.join(clone, 'node_modules', '@types')],
    },
    include: ['sample.ts'],
  }),
  'sample.ts': sample(),
};
fs.mkdirSync(dir, { recursive: true });
for (const [name, text] of Object.entries(files)) fs.writeFileSync(path.join(dir, name), text);

/** A PATH with Node and a shell, and nothing that compiles. */
function barePath() {
  const bin = path.join(dir, 'bin');
  fs.mkdirSync(bin, { recursive: true });
  for (const name of ['npm', 'npx', 'sh', 'env']) {
    const found = spawnSync('sh', ['-c', `command -v ${name}`], { encoding: 'utf8' }).stdout.trim();
    fs.symlinkSync(found, path.join(bin, name));
  }
  fs.symlinkSync(process.execPath, path.join(bin, 'node'));
  return bin;
}

/** Nodes that `npm run prebuilt` fetched: version -> program. */
function otherNodes() {
  const cache = process.env.XDG_CACHE_HOME || path.join(os.homedir(), '.cache');
  const nodes = path.join(cache, 'nestfront', 'node');
  const versions = fs.existsSync(nodes) ? fs.readdirSync(nodes).filter((v) => /^\d/.test(v)) : [];
  return versions.map((v) => [v, path.join(nodes, v, 'bin', 'node')]);
}

const example = 'node_modules/nestfront/dist/tools/examples/embed.js';
const install = ['install', '--no-fund', '--no-audit', tarball];
const bare = { env: { ...process.env, PATH: barePath() } };
if (run('npm install without a compiler', 'npm', install, bare)) {
  const types = path.join(dir, 'node_modules', '@types');
  if (!fs.existsSync(types)) fs.symlinkSync(path.join(clone, 'node_modules', '@types'), types);
  run("types of README's sample", process.execPath, [
    path.join(clone, 'node_modules', 'typescript', 'bin', 'tsc'),
    '-p',
    '.',
  ]);
  run('the command', 'npx', ['--no-install', 'nestfront', '--version']);
  run('doctor', 'npx', ['--no-install', 'nestfront', 'doctor']);
  const nodes = otherNodes();
  if (nodes.length < 3)
    throw new Error('run `npm run prebuilt` first: the Nodes to try are missing');
  for (const [version, node] of nodes) {
    run(`Node ${version}: ESM import`, node, ['esm.mjs']);
    run(`Node ${version}: require`, node, ['require.cjs']);
    run(`Node ${version}: Worker`, node, ['worker.mjs']);
    run(`Node ${version}: a nested stack`, node, [example]);
  }
}
const source = path.join(dir, 'from-source');
fs.mkdirSync(source);
for (const name of ['package.json', 'esm.mjs'])
  fs.writeFileSync(path.join(source, name), files[name]);
if (
  run('npm install --build-from-source', 'npm', [...install, '--build-from-source'], {
    cwd: source,
  })
)
  run('ESM import', process.execPath, ['esm.mjs'], { cwd: source });
process.exitCode = failures === 0 ? 0 : 1;
