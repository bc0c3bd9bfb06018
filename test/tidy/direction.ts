// SPDX-License-Identifier: MIT
// Who may include or import whom: tools, bench, test -> lib -> native -> drivers; in drivers
// relay -> net|blk -> xenbus|ring -> layer. Never upward, never sideways between net and blk.
import { basename, dirname, join, normalize } from 'node:path';
import type { SourceFile } from './files.js';
import type { Finding } from './sizes.js';

/** Public header -> the module it is the face of. `base` knows nobody. */
const HEADERS: Record<string, string> = {
  'atomics.h': 'base',
  'control.h': 'base',
  'counters.h': 'counters',
  'counters.def': 'counters',
  'errors.def': 'base',
  'ring.h': 'ring',
  'layer.h': 'layer',
  'hvmsg.h': 'layer',
  'keep.h': 'base',
  'xen.h': 'layer',
  'store.h': 'xenbus',
  'device.h': 'xenbus',
  'netif.h': 'wire',
  'blkif.h': 'wire',
  'blk.h': 'blk',
  'blkrelay.h': 'relay',
  'blkport.h': 'port',
  'mux.h': 'relay',
  'net.h': 'net',
  'port.h': 'port',
  'offload.h': 'port',
  'poll.h': 'poll',
  'relay.h': 'relay',
};

const MAY: Record<string, string[]> = {
  base: [],
  counters: ['base'],
  ring: ['base'],
  wire: ['base'],
  layer: ['base', 'counters'],
  xenbus: ['base', 'layer', 'ring'],
  poll: ['base', 'counters'],
  port: ['base', 'counters', 'wire'],
  net: ['base', 'counters', 'ring', 'wire', 'layer', 'xenbus', 'poll', 'port'],
  blk: ['base', 'counters', 'ring', 'wire', 'layer', 'xenbus', 'poll', 'port'],
  relay: ['base', 'counters', 'ring', 'wire', 'layer', 'xenbus', 'poll', 'port', 'net', 'blk'],
};

function cModule(path: string): string | undefined {
  const header = /^drivers\/include\/nf\/([^/]+)$/.exec(path)?.[1];
  if (header !== undefined) return HEADERS[header] ?? `unknown header ${header}`;
  return /^drivers\/([^/]+)\//.exec(path)?.[1];
}

/** <net/if.h> is the system's, not of our module net. */
const includes = (file: SourceFile): string[] =>
  file.lines.flatMap((l) => /^\s*#\s*include\s+(?:"|<(?!net\/))([^">]+)[">]/.exec(l)?.[1] ?? []);

/** Of one C file: includes that point upward, sideways, or to Node from drivers/. */
export function cDirection(file: SourceFile): Finding[] {
  const from = cModule(file.path);
  if (from === undefined || from === 'daemon') return [];
  const bad: Finding[] = [];
  for (const name of includes(file)) {
    const where = `${file.path} -> ${name}`;
    if (/^(node|v8|uv|nan)[./]|^(node|v8|uv|nan)\.h$/.test(name))
      bad.push({ where, what: 'drivers/ knows no Node' });
    const to = name.startsWith('nf/') ? cModule(`drivers/include/${name}`) : privateModule(name);
    if (to === undefined || to === from) continue;
    if (!(MAY[from] ?? []).includes(to)) bad.push({ where, what: `${from} must not know ${to}` });
  }
  return bad;
}

/** "net/x.h" is net's own header; a plain "x.h" is the includer's. */
function privateModule(name: string): string | undefined {
  const folder = name.split('/')[0] ?? '';
  return name.includes('/') && (folder in MAY || folder === 'daemon') ? folder : undefined;
}

const LEVEL: Record<string, number> = { lib: 0, bench: 1, tools: 2, test: 3 };

/** Of one TypeScript file: relative imports that point upward. */
export function tsDirection(file: SourceFile): Finding[] {
  const own = LEVEL[file.path.split('/')[0] ?? ''];
  if (own === undefined) return [];
  const bad: Finding[] = [];
  for (const line of file.lines) {
    const target = /(?:from|import)\s*\(?\s*'(\.[^']*)'/.exec(line)?.[1];
    if (target === undefined) continue;
    const to = normalize(join(dirname(file.path), target));
    const level = LEVEL[to.split('/')[0] ?? ''];
    if (level === undefined || level > own)
      bad.push({ where: `${file.path} -> ${to}`, what: `${basename(file.path)} imports upward` });
  }
  return bad;
}
