// SPDX-License-Identifier: MIT
/** Running a host program to its end, with a time limit and an error that shows what it said. */
import { spawn } from 'node:child_process';

import { NestfrontError } from '../../lib/errors.js';

export interface RunOptions {
  /** Killed after so many seconds. */
  readonly seconds: number;
  readonly cwd?: string;
  readonly env?: Record<string, string>;
  /** A failure is not an error; look at `code`. */
  readonly tolerate?: boolean;
}

export interface RunResult {
  readonly code: number;
  readonly stdout: string;
  readonly stderr: string;
}

/** Throws NestfrontError (op = program) when it cannot start, fails or takes too long. */
export function run(
  program: string,
  args: readonly string[],
  options: RunOptions,
): Promise<RunResult> {
  return new Promise((resolve, reject) => {
    const child = spawn(program, args, {
      stdio: ['ignore', 'pipe', 'pipe'],
      cwd: options.cwd,
      env: { ...process.env, ...options.env, LC_ALL: 'C' },
      timeout: options.seconds * 1000,
      killSignal: 'SIGKILL',
    });
    let stdout = '';
    let stderr = '';
    child.stdout.on('data', (d: Buffer) => (stdout += d.toString('latin1')));
    child.stderr.on('data', (d: Buffer) => (stderr += d.toString('latin1')));
    child.on('error', (cause: NodeJS.ErrnoException) => {
      const hint = cause.code === 'ENOENT' ? `: it is not installed` : '';
      reject(new NestfrontError('NF_ENOENT', program, `cannot run${hint}`, { cause }));
    });
    child.on('close', (code, signal) => {
      if (code === 0 || (options.tolerate && code !== null)) {
        resolve({ code: code ?? 1, stdout, stderr });
        return;
      }
      const said = (stderr.trim() || stdout.trim()).split('\n').slice(-5).join('\n');
      const how = signal ? `was killed after ${options.seconds} s` : `failed with ${code}`;
      reject(new NestfrontError('NF_EIO', program, `${args.join(' ')} ${how}:\n${said}`));
    });
  });
}
