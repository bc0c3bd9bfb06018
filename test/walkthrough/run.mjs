// SPDX-License-Identifier: MIT
// npm run walkthroughs [-- NAME]: does what docs/walkthroughs/*.md say, as their reader would: in
// bash, from the clone, in one shell a walk. Files go to a scratch directory ($TMPDIR), stacks to a
// registry of their own; what a walk leaves behind is ended and is a failure.
import { spawn, spawnSync } from 'node:child_process';
import { mkdtempSync, readdirSync, readFileSync, rmSync, mkdirSync } from 'node:fs';
import { tmpdir } from 'node:os';
import path from 'node:path';
import { fileURLToPath } from 'node:url';
import { difference, steps } from './parse.mjs';

const root = path.resolve(path.dirname(fileURLToPath(import.meta.url)), '../..');
const folder = path.join(root, 'docs/walkthroughs');
const cli = path.join(root, 'dist/tools/cli.js');
const TOTAL_MS = 240_000; // idle they take 40 s together
const deadline = Date.now() + TOTAL_MS;

/** Runs the steps, each with its output in a file, until one exits as it should not. */
function script(list, out) {
  const lines = ['exec 9>&1'];
  list.forEach(({ command, code }, i) => {
    lines.push(`exec >'${out}/${i}' 2>&1 </dev/null`, command, `code=$?`);
    lines.push(`echo "${i} $code" >&9`, `[ $code = ${code} ] || exit 1`);
  });
  return `${lines.join('\n')}\n`;
}

function killGroup(pid) {
  try {
    process.kill(-pid, 'SIGKILL');
  } catch (error) {
    if (error.code !== 'ESRCH') throw error; // it has ended, and its children too
  }
}

/** @returns the exit code of each step that ended */
function shell(text, env) {
  return new Promise((resolve, reject) => {
    const options = { cwd: root, env, detached: true, stdio: ['ignore', 'pipe', 'inherit'] };
    const child = spawn('bash', ['--noprofile', '--norc', '-c', text], options);
    let said = '';
    let timedOut = false;
    const end = () => {
      timedOut = true;
      killGroup(child.pid);
    };
    const timer = setTimeout(end, Math.max(0, deadline - Date.now()));
    child.stdout.setEncoding('utf8').on('data', (chunk) => (said += chunk));
    child.on('error', reject);
    child.on('exit', () => killGroup(child.pid)); // what it left in the background
    child.on('close', () => {
      clearTimeout(timer);
      const codes = new Map();
      for (const line of said.trim().split('\n')) {
        const [step, code] = line.split(' ').map(Number);
        codes.set(step, code);
      }
      resolve({ codes, timedOut });
    });
  });
}

function nestfront(env, ...args) {
  const { stdout, stderr } = spawnSync(process.execPath, [cli, ...args], { env, encoding: 'utf8' });
  return stdout + stderr;
}

/** Ends stacks that are still there. */
function tearDown(env) {
  const problems = [];
  const { stacks } = JSON.parse(nestfront(env, 'ls', '--json'));
  for (const { name, stale } of stacks) {
    problems.push(`stack ${name} was left behind`);
    if (!stale) nestfront(env, 'down', name);
  }
  nestfront(env, 'gc');
  return problems;
}

function judge(list, { codes, timedOut }, out) {
  for (const [i, { line, command, expected, code }] of list.entries()) {
    const at = `line ${line}: ${command.split('\n')[0]}`;
    const seen = codes.get(i);
    if (seen === undefined && timedOut) return [`${at}: not done in time`];
    const output = readFileSync(path.join(out, String(i)), 'utf8');
    if (seen !== code) return [`${at}: exit code ${seen}, not ${code}`, output];
    const lines = output.split('\n').filter((text) => !text.startsWith('npm warn'));
    if (lines.at(-1) === '') lines.pop();
    const missing = expected.length === 0 ? undefined : difference(expected, lines);
    if (missing !== undefined) return [`${at}: not as it says: ${missing}`, output];
  }
  return [];
}

async function walk(name) {
  const started = Date.now();
  const list = steps(readFileSync(path.join(folder, `${name}.md`), 'utf8'));
  const scratch = mkdtempSync(path.join(tmpdir(), 'nf-walk-'));
  const [runtime, out, files] = ['run', 'out', 'tmp'].map((sub) => path.join(scratch, sub));
  for (const directory of [runtime, out, files]) mkdirSync(directory, { mode: 0o700 });
  const env = { ...process.env, XDG_RUNTIME_DIR: runtime, TMPDIR: files, NO_COLOR: '1' };
  Object.assign(env, { npm_config_update_notifier: 'false' });
  try {
    const result = await shell(script(list, out), env);
    const problems = judge(list, result, out);
    const left = tearDown(env);
    if (problems.length === 0) problems.push(...left);
    const seconds = ((Date.now() - started) / 1000).toFixed(0);
    console.log(
      `${problems.length === 0 ? 'ok' : 'not ok'} - ${name}: ${list.length} steps, ${seconds} s`,
    );
    for (const problem of problems) console.log(problem.replaceAll(/^/gm, '  '));
    return problems.length === 0;
  } finally {
    rmSync(scratch, { recursive: true, force: true });
  }
}

const [only] = process.argv.slice(2);
const names = readdirSync(folder).map((file) => path.basename(file, '.md'));
const wanted = names.filter((name) => only === undefined || name === only);
if (wanted.length === 0) throw new Error(`no walkthrough "${only}"; there are ${names.join(', ')}`);
for (const name of wanted) if (!(await walk(name))) process.exitCode = 1;
