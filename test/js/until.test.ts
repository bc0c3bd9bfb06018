// SPDX-License-Identifier: MIT
import test from 'ava';
import { within } from '../../lib/api/check.js';

test('within: an abort before is told, and the work it leaves may fail unheard', async (t) => {
  const unheard: unknown[] = [];
  const hear = (reason: unknown): void => void unheard.push(reason);
  process.on('unhandledRejection', hear);
  t.teardown(() => process.off('unhandledRejection', hear));
  let fail: (reason: Error) => void = () => undefined;
  const work = new Promise<never>((_resolve, reject) => (fail = reject));
  const limits = { signal: AbortSignal.abort(), what: 'work' };
  await t.throwsAsync(within(work, 'test', limits), { code: 'NF_EABORTED' });
  fail(new Error('too late'));
  await new Promise((resolve) => setTimeout(resolve, 20));
  t.deepEqual(unheard, []);
});
