// SPDX-License-Identifier: MIT
// CONTROL: what xenstore-control asks for, in the commands that make sense here.
import { LIMIT_NAMES } from './limits.js';
import { join } from './path.js';
import { loose, OK, type Handler, type StoreState } from './request.js';
import { StoreError } from './storeerror.js';
import { split, strings } from './wire.js';

type Command = (state: StoreState, words: string[]) => string | undefined;

const LARGEST = 0x7fffffff;

/** Every node but the root is its parent's child, and every child a node. */
function check(state: StoreState): string {
  const seen = new Set<string>();
  const paths = ['/'];
  for (let path = paths.pop(); path !== undefined; path = paths.pop()) {
    const node = state.tree.get(path);
    if (!node) throw new StoreError('EIO');
    seen.add(path);
    for (const name of node.children) paths.push(join(path, name));
  }
  if (seen.size !== state.tree.size) throw new StoreError('EIO');
  return 'OK';
}

function setQuota(state: StoreState, [name, text]: string[]): string {
  const [, key] = LIMIT_NAMES.find(([known]) => known === name) ?? [];
  if (!key || !/^\d{1,10}$/.test(text ?? '')) throw new StoreError('EINVAL');
  const value = Number(text);
  if (value < 1 || value > LARGEST) throw new StoreError('EINVAL');
  state.limits[key] = value;
  state.journal({ quota: key, value });
  return 'OK';
}

const commands: Readonly<Record<string, { run: Command; words: [number, number]; help: string }>> =
  {
    check: { run: check, words: [0, 0], help: '' },
    print: {
      run: (state, [text = '']) => (state.log(`control: ${text}`), 'OK'),
      words: [1, 1],
      help: '<string>',
    },
    quota: {
      run: (state, words) => {
        if (words[0] === 'set') return setQuota(state, words.slice(1));
        if (words.length > 1) throw new StoreError('EINVAL');
        if (words.length === 0) {
          const lines = LIMIT_NAMES.map(([name, key, help]) => {
            return `${name.padEnd(17)}: ${String(state.limits[key]).padStart(8)} ${help}\n`;
          });
          return `Quota settings:\n${lines.join('')}`;
        }
        const domid = loose(words[0]);
        if (!state.introduced.has(domid)) throw new StoreError('ENOENT');
        const used = state.usage(domid).map(({ name, used: value }) => {
          return `${name.padEnd(16)}: ${String(value).padStart(8)}\n`;
        });
        return `Domain ${domid}:\n${used.join('')}`;
      },
      words: [0, 3],
      help: '[set <name> <val>|<domid>]',
    },
    help: {
      run: () => {
        const all = Object.entries(commands);
        return all.map(([name, { help }]) => `${name}\t${help}\n`).join('');
      },
      words: [0, 0],
      help: '',
    },
  };

export const control: Handler = (state, _conn, message) => {
  const [name = '', ...words] = split(message.payload);
  if (words.pop() !== '') throw new StoreError('EINVAL');
  const command = Object.hasOwn(commands, name) ? commands[name] : undefined;
  if (!command) throw new StoreError('EINVAL');
  const [least, most] = command.words;
  if (words.length < least || words.length > most) throw new StoreError('EINVAL');
  const text = command.run(state, words);
  return text === undefined ? OK : strings(text);
};
