// SPDX-License-Identifier: MIT
// The command line as a user calls it, in a registry of its own.
import { spawn } from 'node:child_process';
import type { ChildProcess } from 'node:child_process';
import { once } from 'node:events';
import { mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { packageRoot } from '../../../lib/stack/paths.js';

const PROGRAM = join(packageRoot(), 'dist/tools/cli.js');

export interface Answer {
  code: number | null;
  stdout: string;
  stderr: string;
}

/** A program under way, with what it has written so far. */
export interface Running {
  readonly child: ChildProcess;
  readonly answer: Answer;
  /** Resolves when it has ended and all it wrote was read. */
  readonly ended: Promise<Answer>;
}

/** Runs stacks where no other test and no user does. */
export class CommandLine {
  readonly runtime = mkdtempSync(join(tmpdir(), 'nf-cli-'));
  readonly #env = { ...process.env, XDG_RUNTIME_DIR: this.runtime };

  /** The words that run it, for other programs. */
  readonly words = [process.execPath, PROGRAM] as const;

  spawn(program: string, ...args: readonly string[]): Running {
    const child = spawn(program, args, { env: this.#env });
    const answer: Answer = { code: null, stdout: '', stderr: '' };
    child.stdout.setEncoding('utf8').on('data', (text: string) => (answer.stdout += text));
    child.stderr.setEncoding('utf8').on('data', (text: string) => (answer.stderr += text));
    child.stdin.on('error', () => undefined); // it need not read its input
    const ended = once(child, 'close').then(([code]) =>
      Object.assign(answer, { code: code as number | null }),
    );
    return { child, answer, ended };
  }

  start(...args: readonly string[]): Running {
    return this.spawn(process.execPath, PROGRAM, ...args);
  }

  /** Runs it to its end, with that on its standard input. */
  async run(args: readonly string[], input = ''): Promise<Answer> {
    const { child, ended } = this.start(...args);
    child.stdin!.end(input);
    return ended;
  }

  /** Runs it; its `--json` answer. */
  async json<T>(...args: readonly string[]): Promise<T> {
    const { stdout, stderr } = await this.run([...args, '--json']);
    try {
      return JSON.parse(stdout) as T;
    } catch (cause) {
      throw new Error(`${args.join(' ')}: ${stdout}${stderr}`, { cause });
    }
  }

  /** A configuration in a file of that name. */
  file(config: { readonly name: string }): string {
    const path = join(this.runtime, `${config.name}.json`);
    writeFileSync(path, JSON.stringify(config));
    return path;
  }

  remove(): void {
    rmSync(this.runtime, { recursive: true, force: true });
  }
}
