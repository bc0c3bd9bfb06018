// SPDX-License-Identifier: MIT
// Random requests for two stores, from a seed: the same seed makes the same requests.
import { strings, XS } from '../../../lib/store/wire.js';

export interface Step {
  /** Which client sends it: 0 is privileged. */
  who: number;
  type: number;
  payload: Buffer;
  /** 0, or the n-th transaction this client opened, or one it never had. */
  tx: number;
  text: string;
}

const PATHS = [
  '/',
  '/a',
  '/a/b',
  '/a/b/c',
  '/d',
  '/d/e/f',
  '/one',
  '/one/x',
  '/one/x/y',
  '/two/x',
  'x',
  'x/y',
  'x/z',
  '/local/domain/1',
  '/local/domain/1/x',
  '/local/domain/2/x',
];
const ODD = [
  '',
  '//',
  '/a/',
  'a//b',
  '/b d',
  '@releaseDomain',
  '@introduceDomain',
  '@other',
  '/ä',
  `/${'l'.repeat(2047)}`,
  `/${'l'.repeat(2060)}`,
  `/${'l'.repeat(3080)}`,
  `${'l'.repeat(2047)}`,
];
const PERMS = ['n0', 'r0', 'b1', 'r1', 'n1', 'w2', 'b2', 'n2', 'r2'];
const ODD_PERMS = ['x1', '1', 'r', 'r70000', 'n9'];

/** mulberry32: small, seeded, good enough to pick requests. */
export function random(seed: number): (below: number) => number {
  let a = seed >>> 0;
  return (below) => {
    a = (a + 0x6d2b79f5) >>> 0;
    let t = a;
    t = Math.imul(t ^ (t >>> 15), t | 1);
    t ^= t + Math.imul(t ^ (t >>> 7), t | 61);
    return ((t ^ (t >>> 14)) >>> 0) % below;
  };
}

type Make = (pick: (from: readonly string[]) => string, path: () => string) => string[];

const REQUESTS: [weight: number, type: number, make: Make][] = [
  [14, XS.WRITE, (pick, path) => [path(), pick(['v', 'w', '', 'x'.repeat(1900)])]],
  [7, XS.READ, (_pick, path) => [path()]],
  [7, XS.DIRECTORY, (_pick, path) => [path()]],
  [3, XS.DIRECTORY_PART, (pick, path) => [path(), pick(['0', '2', '99', 'x', '-1'])]],
  [5, XS.MKDIR, (_pick, path) => [path()]],
  [8, XS.RM, (_pick, path) => [path()]],
  [4, XS.GET_PERMS, (_pick, path) => [path()]],
  [9, XS.SET_PERMS, (pick, path) => [path(), ...permissions(pick)]],
  [8, XS.WATCH, (pick, path) => [path(), pick(['t', 'u'])]],
  [4, XS.UNWATCH, (pick, path) => [path(), pick(['t', 'u'])]],
  [5, XS.TRANSACTION_START, () => ['']],
  [7, XS.TRANSACTION_END, (pick) => [pick(['T', 'T', 'T', 'F', 'x'])]],
  [1, XS.GET_DOMAIN_PATH, (pick) => [pick(['0', '1', '77', 'x', '-1', '70000'])]],
  [1, XS.IS_DOMAIN_INTRODUCED, (pick) => [pick(['0', '1', '9', '32752', 'x'])]],
  [1, XS.RESET_WATCHES, () => ['']],
  [1, XS.SET_TARGET, (pick) => [pick(['1', '2', '9']), pick(['1', '2', '9', '0'])]],
  [1, XS.RESUME, (pick) => [pick(['1', '9', 'x'])]],
  [1, 20, () => ['1']],
  [1, XS.WATCH_EVENT, () => ['/a', 't']],
  [1, 40, () => ['']],
];

function permissions(pick: (from: readonly string[]) => string): string[] {
  const count = Number(pick(['0', '1', '1', '2', '2', '3', '6']));
  return Array.from({ length: count }, () => {
    const odd = pick(['', '', '', '', '', '', '', '', '', 'odd']) !== '';
    return pick(odd ? ODD_PERMS : PERMS);
  });
}

/** WRITE's value has no NUL behind it. */
function payloadOf(type: number, words: string[]): Buffer {
  const bytes = strings(...words).subarray(0, 4096); // more would be the end of the connection
  return type === XS.WRITE ? bytes.subarray(0, -1) : bytes;
}

export function script(seed: number, steps: number): Step[] {
  const rand = random(seed);
  const pick = (from: readonly string[]): string => from[rand(from.length)] ?? '';
  const path = (): string => pick(rand(14) === 0 ? ODD : PATHS);
  const total = REQUESTS.reduce((sum, [weight]) => sum + weight, 0);
  return Array.from({ length: steps }, () => {
    let at = rand(total);
    const entry = REQUESTS.find(([weight]) => (at -= weight) < 0) ?? REQUESTS[0];
    if (!entry) throw new Error('unreachable');
    const [, type, make] = entry;
    const words = make(pick, path);
    const who = rand(3);
    // some of these end Debian's xenstored
    if (type === XS.SET_PERMS && words[0]?.startsWith('@')) words[0] = '/a';
    const tx = rand(3) === 0 || type === XS.TRANSACTION_END ? 1 + rand(3) : 0;
    const shown = words.map((w) => (w.length > 30 ? `${w[0]}…${w.length}` : w)).join(' ');
    const text = `${who}: ${nameOf(type)} ${shown}${tx ? ` tx ${tx}` : ''}`;
    return { who, type, payload: payloadOf(type, words), tx, text };
  });
}

function nameOf(type: number): string {
  return Object.entries(XS).find(([, value]) => value === type)?.[0] ?? `type ${type}`;
}
