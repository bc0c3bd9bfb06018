// SPDX-License-Identifier: MIT
// npm run fuzz: libFuzzer with ASan and UBSan on every target, two at a time. Flags:
//   --minutes N   of the clock, for all targets together (default 10)
//   --only TEXT   targets whose name has TEXT (the canary is always tried)
//   --jobs N      targets at a time (default 2)
//   --seed N      the mutations' (default: another one each time)
//   --save        adds what was found to the committed corpus, minimised
// Targets in TypeScript (dist/test/fuzz/*.js) are mutators of their own: what they test is no C.
// The last line is `targets N, execs N, crashes N, canary found|survived`; exit 1 unless crashes
// are 0, no target was skipped and the canary was found.
import { spawn, spawnSync } from 'node:child_process';
import { existsSync, mkdirSync, readdirSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { createRequire } from 'node:module';
import path from 'node:path';
import { fileURLToPath } from 'node:url';
import { parseArgs } from 'node:util';

const require = createRequire(import.meta.url);
const root = path.resolve(path.dirname(fileURLToPath(import.meta.url)), '../..');
const work = path.join(root, 'build/fuzz/work');
const committed = path.join(root, 'test/fuzz/corpus');
const scripts = path.join(root, 'dist/test/fuzz');
const program = path.join(root, 'build/fuzz/nf-fuzz');
const MAX_INPUT = 1024;
const CORPUS_MAX = 400;

const { values: flags } = parseArgs({
  options: {
    minutes: { type: 'string', default: '10' },
    only: { type: 'string', default: '' },
    jobs: { type: 'string', default: '2' },
    seed: { type: 'string', default: String((Date.now() % 0x7ffffffe) + 1) },
    save: { type: 'boolean', default: false },
  },
});
const minutes = Number(flags.minutes);
const jobs = Number(flags.jobs);
const seed = Number(flags.seed);
if (!(minutes > 0 && minutes <= 24 * 60) || !(jobs >= 1 && jobs <= 64)) {
  console.error('fuzz: --minutes is a number of minutes, --jobs of 1 to 64');
  process.exit(2);
}
if (!(Number.isInteger(seed) && seed > 0 && seed < 2 ** 31)) {
  console.error('fuzz: --seed is a whole number from 1 to 2147483647');
  process.exit(2);
}

function builds() {
  const cc = process.env.NF_FUZZ_CC ?? 'clang';
  if (spawnSync(cc, ['--version']).status !== 0) {
    console.error(`fuzz: no ${cc}; install it: apt-get install clang libclang-rt-dev`);
    process.exit(3);
  }
  const { build } = require('../../tools/build/variant.cjs');
  if (build('fuzz')) return;
  console.error('fuzz: the targets do not build');
  process.exit(1);
}

/** Names from test/fuzz/targets.c, so that a target cannot be forgotten here. */
function targets() {
  const text = readFileSync(path.join(root, 'test/fuzz/targets.c'), 'utf8');
  const c = [...text.matchAll(/^\s*\{"(\w+)",/gm)].map((m) => ({ name: m[1], script: null }));
  const ts = existsSync(scripts) ? readdirSync(scripts).filter((f) => f.endsWith('.js')) : [];
  const all = [...c, ...ts.map((f) => ({ name: f.slice(0, -3), script: path.join(scripts, f) }))];
  return all.filter((t) => t.name.includes(flags.only));
}

/** The committed inputs as files, which is what libFuzzer reads. */
function unpack(name) {
  const dir = path.join(work, name);
  rmSync(dir, { recursive: true, force: true });
  mkdirSync(dir, { recursive: true });
  const file = path.join(committed, `${name}.hex`);
  const lines = existsSync(file) ? readFileSync(file, 'utf8').split('\n').filter(Boolean) : [];
  lines.forEach((line, i) => writeFileSync(path.join(dir, `seed-${i}`), Buffer.from(line, 'hex')));
  return dir;
}

function run(command, args, env, seconds) {
  return new Promise((resolve) => {
    const child = spawn(command, args, {
      cwd: root,
      env: { ...process.env, ...env },
      stdio: ['ignore', 'pipe', 'pipe'],
    });
    let text = '';
    const take = (chunk) => (text = (text + chunk).slice(-200_000));
    child.stdout.setEncoding('utf8').on('data', take);
    child.stderr.setEncoding('utf8').on('data', take);
    // a fuzzer that does not end by itself is a failure, not a hang
    const timer = setTimeout(() => child.kill('SIGKILL'), (seconds + 120) * 1000);
    child.on('error', (error) => resolve({ code: -1, text: String(error) }));
    child.on('close', (code) => (clearTimeout(timer), resolve({ code, text })));
  });
}

const execsOf = (text) =>
  Number(/number_of_executed_units:\s*(\d+)/.exec(text)?.[1] ?? /execs (\d+)/.exec(text)?.[1] ?? 0);

function fuzzC(name, seconds, dir) {
  const crashes = path.join(root, 'build/fuzz/crashes');
  mkdirSync(crashes, { recursive: true });
  const args = [
    `-max_total_time=${Math.max(1, Math.round(seconds))}`,
    `-max_len=${MAX_INPUT}`,
    `-seed=${seed}`,
    '-timeout=20',
    '-rss_limit_mb=3072',
    '-print_final_stats=1',
    `-artifact_prefix=${crashes}/${name}-`,
    dir,
  ];
  const env = { NF_FUZZ_TARGET: name, ASAN_OPTIONS: 'detect_leaks=1:abort_on_error=0' };
  return run(program, args, env, seconds);
}

async function fuzzOne(target, seconds) {
  const args = [target.script, String(Math.round(seconds)), String(seed)];
  const r = target.script
    ? await run(process.execPath, args, {}, seconds)
    : await fuzzC(target.name, seconds, unpack(target.name));
  const execs = execsOf(r.text);
  const ok = r.code === 0 && execs > 0;
  console.log(
    `${target.name.padEnd(18)} ${String(execs).padStart(9)} execs  ${ok ? 'ok' : 'CRASH'}`,
  );
  if (!ok) console.log(r.text.split('\n').slice(-60).join('\n'));
  return { ok, execs };
}

/** The smallest set of inputs that reaches what all reach. */
async function save(name) {
  const from = path.join(work, name);
  const to = path.join(work, `${name}.min`);
  rmSync(to, { recursive: true, force: true });
  mkdirSync(to, { recursive: true });
  await run(
    program,
    ['-merge=1', `-max_len=${MAX_INPUT}`, to, from],
    { NF_FUZZ_TARGET: name },
    600,
  );
  const inputs = readdirSync(to).map((f) => readFileSync(path.join(to, f)).toString('hex'));
  inputs.sort((a, b) => a.length - b.length || (a < b ? -1 : 1));
  const kept = inputs.slice(0, CORPUS_MAX);
  mkdirSync(committed, { recursive: true });
  writeFileSync(path.join(committed, `${name}.hex`), `${kept.join('\n')}\n`);
  console.log(`${name}: ${kept.length} of ${inputs.length} inputs kept`);
}

builds();
const todo = targets();
if (todo.length === 0) {
  console.error(`fuzz: no target's name has "${flags.only}"`);
  process.exit(2);
}
const CANARY_SECONDS = 20;
const seconds = Math.max(1, (minutes * 60 * jobs - CANARY_SECONDS) / todo.length);
const canary = await fuzzC('canary', CANARY_SECONDS, unpack('canary'));
const found = canary.code !== 0 && /AddressSanitizer/.test(canary.text);

let execs = 0;
let crashes = 0;
const queue = [...todo];
const lane = async () => {
  for (let t = queue.shift(); t; t = queue.shift()) {
    const r = await fuzzOne(t, seconds);
    execs += r.execs;
    crashes += r.ok ? 0 : 1;
  }
};
await Promise.all(Array.from({ length: jobs }, lane));
if (flags.save && crashes === 0) for (const t of todo) if (!t.script) await save(t.name);
const verdict = found ? 'found' : 'survived';
console.log(`targets ${todo.length}, execs ${execs}, crashes ${crashes}, canary ${verdict}`);
process.exit(crashes === 0 && found ? 0 : 1);
