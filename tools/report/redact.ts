// SPDX-License-Identifier: MIT
// What must not leave the machine with a report: who and where it is. Equal things stay equal, so
// that a reader still sees that two lines mean the same address.
import { isIP } from 'node:net';
import { homedir, hostname, userInfo } from 'node:os';

const MAC = /\b([0-9a-f]{2}:[0-9a-f]{2}:[0-9a-f]{2}):[0-9a-f]{2}:[0-9a-f]{2}:[0-9a-f]{2}\b/gi;
const ADDRESS = /(?<![\w.:])(?:[0-9a-f:]*:[0-9a-f:.]+|\d{1,3}(?:\.\d{1,3}){3})(?![\w.:])/gi;
/** Where backends keep payload and their servers listen. */
const PATH = /\b(file|block|nbd|pcap|in|out|create|unix)([:=])(\/[^\s,"']+)/g;
/** Values that look like a secret, whatever wrote them. */
const SECRET = new RegExp(
  '\\b([\\w-]*(?:token|secret|passw(?:or)?d|apikey|api[-_]key|credential)[\\w-]*)' +
    '(["\']?\\s*[:=]\\s*["\']?)[^\\s"\',;]+',
  'gi',
);

/** Names of the machine and of its user; too short ones would take words apart. */
export interface Who {
  readonly host: string;
  readonly user: string;
  readonly home: string;
}

export function thisMachine(): Who {
  const { username } = userInfo();
  return { host: hostname(), user: username, home: homedir() };
}

function escaped(text: string): string {
  return text.replace(/[.*+?^${}()|[\]\\]/g, '\\$&');
}

/** Takes names, addresses, places and secrets out of text; one object for a whole report. */
export class Redactor {
  readonly #who: Who;
  readonly #numbered = new Map<string, string>();

  constructor(who: Who = thisMachine()) {
    this.#who = who;
  }

  readonly text = (input: string): string => {
    const named = this.#names(input)
      .replace(SECRET, '$1$2REDACTED')
      .replace(
        PATH,
        (_all, kind: string, sign: string, path: string) =>
          `${kind}${sign}${this.#number('PATH', path)}`,
      )
      .replace(MAC, (mac: string, vendor: string) =>
        mac === 'fe:ff:ff:ff:ff:ff' ? mac : `${vendor}:${this.#number('MAC', mac.toLowerCase())}`,
      );
    return named.replace(ADDRESS, (found) => this.#address(found));
  };

  #address(found: string): string {
    if (isIP(found) === 0 || /^(127\.|0\.0\.0\.0|::1?$)/.test(found)) return found;
    return this.#number('IP', found.toLowerCase());
  }

  #number(kind: string, value: string): string {
    const key = `${kind} ${value}`;
    const count = [...this.#numbered.keys()].filter((k) => k.startsWith(`${kind} `)).length;
    const name = this.#numbered.get(key) ?? `${kind}-${count + 1}`;
    this.#numbered.set(key, name);
    return name;
  }

  #names(input: string): string {
    const { host, user, home } = this.#who;
    let text = input;
    if (home.length > 1) text = text.replaceAll(home, '~');
    for (const [name, mark] of [
      [host, 'HOST'],
      [user, 'USER'],
    ] as const) {
      if (name.length < 3 || name === 'root') continue;
      text = text.replace(new RegExp(`(?<![\\w-])${escaped(name)}(?![\\w-])`, 'g'), mark);
    }
    return text;
  }
}
