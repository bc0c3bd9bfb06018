// SPDX-License-Identifier: MIT
import { accessSync, constants, existsSync } from 'node:fs';
import { dirname, join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { NestfrontError } from '../errors.js';

let root: string | undefined;

/** The directory that holds package.json: of the clone, or of the installed package. */
export function packageRoot(): string {
  if (root !== undefined) return root;
  let directory = dirname(fileURLToPath(import.meta.url));
  while (!existsSync(join(directory, 'package.json'))) {
    const parent = dirname(directory);
    if (parent === directory)
      throw new NestfrontError('NF_ENOENT', 'paths.root', 'no package.json above the library');
    directory = parent;
  }
  root = directory;
  return directory;
}

/** Executables the package builds. */
export type Executable = 'nestfrontd' | 'nf-launch' | 'nf-keeper' | 'nf-netperf' | 'nf-window';

/**
 * Path of one of our executables.
 * @throws NestfrontError `NF_ENOENT` it was not built; the message says how
 */
export function executable(name: Executable): string {
  const path = join(packageRoot(), 'build', 'Release', name);
  try {
    accessSync(path, constants.X_OK);
  } catch (error) {
    throw new NestfrontError(
      'NF_ENOENT',
      'paths.executable',
      `${path} is not there; build it with: npm install (or npm run build)`,
      { cause: error },
    );
  }
  return path;
}

/** Compiled entry point of a hypervisor process. */
export function hypervisorMain(): string {
  return join(packageRoot(), 'dist', 'lib', 'hypervisor', 'main.js');
}
