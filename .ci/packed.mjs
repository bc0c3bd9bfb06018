// SPDX-License-Identifier: MIT
// node packed.mjs TARBALL DIR: installs the tarball into an empty project and uses it as its users
// do: ESM import, require, a Worker, the types of README's sample, the command.
import { spawnSync } from 'node:child_process';
import { existsSync, readFileSync, symlinkSync, writeFileSync, mkdirSync } from 'node:fs';
import path from 'node:path';

const [tarball, dir] = process.argv.slice(2).map((p) => path.resolve(p));
const clone = path.resolve(import.meta.dirname, '..');
let failures = 0;

function run(label, command, args) {
  const r = spawnSync(command, args, { cwd: dir, encoding: 'utf8', timeout: 600_000 });
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
  const text = readFileSync(path.join(clone, 'README.md'), 'utf8');
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
mkdirSync(dir, { recursive: true });
for (const [name, text] of Object.entries(files)) writeFileSync(path.join(dir, name), text);

if (run('npm install of the tarball', 'npm', ['install', '--no-fund', '--no-audit', tarball])) {
  const types = path.join(dir, 'node_modules', '@types');
  if (!existsSync(types)) symlinkSync(path.join(clone, 'node_modules', '@types'), types);
  run('ESM import', process.execPath, ['esm.mjs']);
  run('require', process.execPath, ['require.cjs']);
  run('Worker', process.execPath, ['worker.mjs']);
  run("types of README's sample", process.execPath, [
    path.join(clone, 'node_modules', 'typescript', 'bin', 'tsc'),
    '-p',
    '.',
  ]);
  run('the command', 'npx', ['--no-install', 'nestfront', '--version']);
  run('doctor', 'npx', ['--no-install', 'nestfront', 'doctor']);
}
process.exitCode = failures === 0 ? 0 : 1;
