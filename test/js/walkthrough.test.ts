// SPDX-License-Identifier: MIT
// What makes a walkthrough fail; `npm run walkthroughs` then does those of docs/walkthroughs.
import { join } from 'node:path';
import { pathToFileURL } from 'node:url';
import test from 'ava';
import { packageRoot } from '../../lib/stack/paths.js';

interface Step {
  line: number;
  command: string;
  expected: string[];
  code: number;
}

const file = pathToFileURL(join(packageRoot(), 'test/walkthrough/parse.mjs')).href;
const { steps, difference } = (await import(file)) as {
  steps: (markdown: string) => Step[];
  difference: (expected: string[], lines: string[]) => string | undefined;
};

const page = (...lines: string[]): string => ['text', ...lines, 'text'].join('\n');

test('steps: commands with what they print and exit with, files, and blocks only shown', (t) => {
  const markdown = page(
    ...['```console', '$ a \\', '  b', 'one', '...', '[3]', '$ c', '```'],
    ...['```js $dir/x.mjs', '$ not a command', '```', '```', '$ shown', '```'],
  );
  const [first, second, written, ...more] = steps(markdown);
  t.deepEqual(first, { line: 3, command: 'a \\\n  b', expected: ['one', '...'], code: 3 });
  t.deepEqual(second, { line: 8, command: 'c', expected: [], code: 0 });
  t.regex(written!.command, /^cat > "\$dir\/x\.mjs" <<'(\w+)'\n\$ not a command\n\1$/);
  t.deepEqual(more, []);
});

test('steps: a page without steps, a block without end or beginning is refused', (t) => {
  t.throws(() => steps(page('nothing')), { message: /no step/ });
  t.throws(() => steps(page('```console', '$ a')), { message: /line 2: the block has no end/ });
  t.throws(() => steps(page('```console', 'out', '```')), { message: /line 3: .* begins with/ });
});

test('difference: each expected line in its place, with gaps where it says', (t) => {
  const lines = ['pid 17 runs', 'two', 'three', 'four'];
  for (const good of [
    lines,
    ['pid … runs', 'two', 'three', 'f…'],
    ['...', 'two', '...'],
    ['pid 17 runs', '...'],
    ['...', 'three', 'four'],
    ['pid…', '...', 'three', '...', 'four'],
  ])
    t.is(difference(good, lines), undefined, good.join('|'));
  for (const bad of [
    ['pid . runs', '...'],
    ['two', '...'],
    ['pid 17 runs', 'two', 'three'],
    ['...', 'three'],
    ['...', 'two', 'four', '...'],
    ['...', 'three', '...', 'two', '...'],
    [...lines, 'five'],
    ['...', 'five', '...'],
  ])
    t.not(difference(bad, lines), undefined, bad.join('|'));
});
