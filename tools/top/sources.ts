// SPDX-License-Identifier: MIT
// Where `top` reads: the counters pages of running stacks, and of nestfrontd's run directories.
import { existsSync, readFileSync, readdirSync, statSync } from 'node:fs';
import { join } from 'node:path';
import { Counters } from '../../lib/api/counters.js';
import { NestfrontError } from '../../lib/errors.js';
import { findStack, listStacks } from '../../lib/stack/registry.js';
import type { DomainRecord, LinkRecord, StackEntry } from '../../lib/stack/registry.js';

/** Where nestfrontd keeps a folder a name, unless told otherwise. */
const RUN_DIRECTORY = '/run/nestfront';
const PAGES = ['counters', 'counters-outer'] as const;

/** One counters page, mapped or read anew each time. */
export interface Page {
  /** Stack, or run directory. */
  readonly stack: string;
  readonly layer: string;
  readonly domain: string;
  readonly links: readonly LinkRecord[];
  /** Same as long as it is the same page: rates are over the same key only. */
  readonly key: string;
  readonly counters: Counters;
}

/** What is watched: one name, or all there is. */
export interface Watch {
  /** The pages there are now. */
  pages(): Promise<Page[]>;
  /** Stacks and daemons that ended since the last call. */
  ended(): string[];
}

/** Hypervisor whose counters page a domain writes. */
export function layerOf(domain: DomainRecord): 'H0' | 'H1' {
  return domain.name === 'L1' ? 'H1' : domain.layer;
}

/** The counters pages of stacks, each mapped once and kept while its domain is the same. */
class Stacks {
  readonly #name: string | undefined;
  readonly #pages = new Map<string, Page>();
  #seen = new Set<string>();
  #ended: string[] = [];

  constructor(name: string | undefined) {
    this.#name = name;
  }

  async pages(): Promise<Page[]> {
    const entries = listStacks().filter(
      (e) =>
        !e.stale &&
        e.state?.phase === 'running' &&
        (this.#name === undefined || e.name === this.#name),
    );
    const now = new Set(entries.map((e) => e.name));
    this.#ended.push(...[...this.#seen].filter((name) => !now.has(name)));
    this.#seen = now;
    const pages = (await Promise.all(entries.map((entry) => this.#pagesOf(entry)))).flat();
    const live = new Set(pages.map((page) => page.key));
    for (const key of this.#pages.keys()) if (!live.has(key)) this.#pages.delete(key);
    return pages;
  }

  ended(): string[] {
    return this.#ended.splice(0);
  }

  async #pagesOf(entry: StackEntry): Promise<Page[]> {
    const state = entry.state!;
    const pages: Page[] = [];
    for (const domain of state.domains) {
      const layer = layerOf(domain);
      const key = `${entry.name}/${state.owner.pid}/${layer}/${domain.name}/${domain.pids.join()}`;
      const counters = this.#pages.get(key)?.counters ?? (await map(entry, layer, domain));
      if (counters === undefined) continue;
      const { name } = domain;
      const page = { stack: entry.name, layer, domain: name, links: state.links, key, counters };
      this.#pages.set(key, page);
      pages.push(page);
    }
    return pages;
  }
}

/** A page, or undefined while its domain or hypervisor is being started anew, or going. */
async function map(
  entry: StackEntry,
  layer: string,
  domain: DomainRecord,
): Promise<Counters | undefined> {
  const { Hypervisor } = await import('../../lib/api/hypervisor.js');
  try {
    const socket = join(entry.directory, layer, 'admin.sock');
    await using hypervisor = await Hypervisor.connect(socket);
    return await hypervisor.domain(domain.name, domain.inside).counters();
  } catch (error) {
    if (error instanceof NestfrontError && error.code !== 'NF_EACCES') return undefined;
    throw error;
  }
}

/** A nestfrontd's run directory. Its page is read as a file: a new daemon makes a new one. */
class Folder {
  readonly #directory: string;
  #wasThere = false;

  constructor(directory: string) {
    this.#directory = directory;
  }

  pages(): Promise<Page[]> {
    const name = this.#directory.split('/').at(-1) ?? this.#directory;
    const pages = PAGES.flatMap((file, index): Page[] => {
      const counters = readPage(join(this.#directory, file));
      if (counters === undefined) return [];
      const pid = new DataView(counters.memory).getUint32(16, true); // whose counting it is
      const key = `${this.#directory}/${file}/${pid}`;
      const layer = index === 0 ? 'in' : 'out';
      return [{ stack: this.#directory, layer, domain: name, links: [], key, counters }];
    });
    this.#wasThere ||= pages.length > 0;
    return Promise.resolve(pages);
  }

  ended(): string[] {
    if (!this.#wasThere || existsSync(join(this.#directory, PAGES[0]))) return [];
    this.#wasThere = false;
    return [this.#directory];
  }
}

function readPage(file: string): Counters | undefined {
  let bytes: Buffer;
  try {
    bytes = readFileSync(file);
  } catch (cause) {
    const { code } = cause as NodeJS.ErrnoException;
    if (code === 'ENOENT') return undefined;
    const message = `${file} cannot be read (${code}); run as the user of that nestfrontd`;
    throw new NestfrontError('NF_EACCES', 'top', message, { cause });
  }
  if (bytes.length === 0) return undefined; // a daemon that starts
  const memory = new SharedArrayBuffer(bytes.length);
  new Uint8Array(memory).set(bytes);
  return new Counters(memory);
}

function isDirectory(path: string): boolean {
  return statSync(path, { throwIfNoEntry: false })?.isDirectory() === true;
}

/** Daemons with a counters page below `base`; none when it is not there. */
function folders(base: string): Folder[] {
  if (!isDirectory(base)) return [];
  return readdirSync(base)
    .map((name) => join(base, name))
    .filter((path) => PAGES.some((page) => existsSync(join(path, page))))
    .map((path) => new Folder(path));
}

/**
 * What to watch.
 * @param name a running stack, or an absolute path: one run directory, or the folder of several;
 *   left out: every stack of this user and every daemon below /run/nestfront
 * @throws NestfrontError `NF_ENOENT` there is nothing of that name, or nothing at all
 */
export function watch(name: string | undefined, base = RUN_DIRECTORY): Watch {
  let parts: Watch[];
  if (name?.startsWith('/') === true) {
    parts = existsSync(join(name, PAGES[0])) ? [new Folder(name)] : folders(name);
    if (parts.length === 0)
      throw new NestfrontError('NF_ENOENT', 'top', `${name} is no run directory of a nestfrontd`);
  } else {
    if (name !== undefined) findStack(name);
    parts = [new Stacks(name), ...(name === undefined ? folders(base) : [])];
    const isNothing = name === undefined && parts.length === 1 && !listStacks().some(isUp);
    if (isNothing)
      throw new NestfrontError(
        'NF_ENOENT',
        'top',
        `no stack is running, and no nestfrontd below ${base}; start one: nestfront up STACK.json`,
      );
  }
  return {
    pages: async () => (await Promise.all(parts.map((part) => part.pages()))).flat(),
    ended: () => parts.flatMap((part) => part.ended()),
  };
}

function isUp(entry: StackEntry): boolean {
  return !entry.stale;
}
