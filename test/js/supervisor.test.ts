// SPDX-License-Identifier: MIT
import test from 'ava';
import { NestfrontError } from '../../lib/errors.js';
import { Supervisor } from '../../lib/stack/supervisor.js';

interface Told {
  readonly notices: string[];
  readonly givenUp: Promise<readonly [name: string, error: NestfrontError]>;
  readonly supervisor: Supervisor;
}

function supervise(attempts: number): Told {
  const notices: string[] = [];
  let tell: (told: readonly [string, NestfrontError]) => void;
  const givenUp = new Promise<readonly [string, NestfrontError]>((resolve) => (tell = resolve));
  const listener = {
    notice: (line: string): void => void notices.push(line),
    gaveUp: (name: string, error: NestfrontError): void => tell([name, error]),
  };
  const patience = { firstMs: 1, longestMs: 4, attempts };
  return { notices, givenUp, supervisor: new Supervisor(listener, patience) };
}

test('what cannot be started is given up after so many attempts, with an error', async (t) => {
  const { notices, givenUp, supervisor } = supervise(4);
  let tries = 0;
  supervisor.run('H0', () => {
    tries++;
    return Promise.reject(new NestfrontError('NF_EIO', 'test', 'no disk'));
  });
  const [name, error] = await givenUp;
  t.is(tries, 4);
  t.is(name, 'H0');
  t.is(error.code, 'NF_EIO');
  t.regex(error.message, /H0 is given up after 4 attempts: .*no disk; mend the cause/);
  t.is(notices.length, 4);
});

test('attempts count anew after one that worked', async (t) => {
  const { notices, givenUp, supervisor } = supervise(3);
  let tries = 0;
  const worked = new Promise<void>((resolve) => {
    supervisor.run('H1', async () => {
      if (++tries < 3) throw new Error('not yet');
      resolve();
      return Promise.resolve();
    });
  });
  await worked;
  await new Promise((resolve) => setImmediate(resolve));
  t.deepEqual(notices.at(-1), 'H1 was started again');
  supervisor.run('H1', () => Promise.reject(new Error(`try ${++tries}`)));
  const [, error] = await givenUp;
  t.is(tries, 6, 'three more, not one');
  t.regex(error.message, /after 3 attempts: .*try 6/);
});

test('nothing is started once it is closed', async (t) => {
  const { supervisor } = supervise(3);
  supervisor.run('H0', () => Promise.resolve(t.fail('started')));
  supervisor.close();
  await new Promise((resolve) => setTimeout(resolve, 20));
  t.pass();
});
