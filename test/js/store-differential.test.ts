// SPDX-License-Identifier: MIT
// Our store and Debian's xenstored get the same requests from a privileged client and two domains;
// every reply and every watch event must be the same.
import { Socket } from 'node:net';
import test, { type ExecutionContext } from 'ava';
import { native } from '../../lib/native.cjs';
import { StoreServer } from '../../lib/store/server.js';
import { split, strings, XS } from '../../lib/store/wire.js';
import { reference, Reference } from '../model/xenstored/reference.js';
import { script, type Step } from '../model/xenstored/scripts.js';
import { SocketTalker, type Answer, type Talker } from '../model/xenstored/talker.js';

const SEEDS = Number(process.env['NESTFRONT_STORE_SEEDS'] ?? 40);
const FIRST = Number(process.env['NESTFRONT_STORE_FIRST'] ?? 1);
const STEPS = 60;
/** Differences shown, and requests before each. */
const MOST = Number(process.env['NESTFRONT_STORE_MOST'] ?? 3);
const SHOWN = Number(process.env['NESTFRONT_STORE_SHOWN'] ?? STEPS);

/** A store's three clients, and what each's transactions are called there. */
class Side {
  readonly #clients: Talker[];
  readonly #transactions: string[][] = [[], [], []];

  readonly close: () => Promise<void>;

  constructor(clients: Talker[], close: () => Promise<void>) {
    this.#clients = clients;
    this.close = close;
  }

  /** What it did, in words. */
  async run({ who, type, payload, tx }: Step): Promise<string[]> {
    const opened = this.#transactions[who] ?? [];
    const client = this.#clients[who];
    const id = tx === 0 ? 0 : Number(opened.at(-tx) ?? 4711);
    const answer = await client?.request(type, payload, id);
    if (type === XS.TRANSACTION_START && answer && !answer.error) {
      opened.push(split(Buffer.from(answer.payload))[0] ?? '');
    }
    const out = [this.#shown(type, answer)];
    for (const [i, other] of this.#clients.entries()) {
      await other.request(XS.GET_DOMAIN_PATH, strings('0')); // what came before is here then
      for (const event of other.takeEvents()) out.push(`  event for ${i}: ${event}`);
    }
    return out;
  }

  #shown(type: number, answer: Answer | undefined): string {
    if (!answer) return 'hung up';
    if (answer.error) return answer.error;
    if (type === XS.TRANSACTION_START) return 'a transaction';
    const words = answer.payload.split('\0');
    if (type === XS.DIRECTORY_PART) words[0] = 'generation';
    return words.join('|').slice(0, 200);
  }
}

/** The same nodes for both, whatever a server makes by itself. */
async function prepare(root: Talker): Promise<void> {
  const send = (type: number, ...words: string[]): Promise<Answer | undefined> =>
    root.request(type, strings(...words));
  for (const path of ['/tool', '/local', '/a', '/d', '/one', '/two']) await send(XS.RM, path);
  for (const domid of [1, 2]) {
    await send(XS.MKDIR, `/local/domain/${domid}`);
    await send(XS.SET_PERMS, `/local/domain/${domid}`, `n${domid}`);
  }
  await send(XS.MKDIR, '/one');
  await send(XS.SET_PERMS, '/one', 'r1', 'b2');
  await send(XS.MKDIR, '/a');
  await send(XS.SET_PERMS, '/a', 'r0', 'w1');
}

async function ours(t: ExecutionContext): Promise<Side> {
  const server = new StoreServer({ log: (line) => t.log(line) });
  for (const domid of [1, 2]) server.introduce(domid);
  const clients = [0, 1, 2].map((domid) => {
    const [mine, theirs] = native.streamPair();
    server.attach(mine, domid, domid === 0);
    return new SocketTalker(new Socket({ fd: theirs }));
  });
  if (clients[0]) await prepare(clients[0]);
  return new Side(clients, () => {
    for (const client of clients) client.close();
    server.close();
    return Promise.resolve();
  });
}

async function theirs(where: { binary: string; shim: string }): Promise<Side> {
  const server = await Reference.start(where);
  const root = await server.root();
  const clients = [root, await server.domain(root, 1), await server.domain(root, 2)];
  await prepare(root);
  return new Side(clients, () => server.close());
}

const found = reference();
const unless = 'reason' in found ? test.skip : test;
const why = 'reason' in found ? ` (${found.reason})` : '';

unless(`what we answer is what Debian's xenstored answers${why}`, async (t) => {
  if ('reason' in found) return;
  t.teardown(() => found.remove());
  t.timeout(600_000);
  const different: string[] = [];
  for (let seed = FIRST; seed < FIRST + SEEDS && different.length < MOST; seed++) {
    const first = await compare(t, found, seed);
    if (first) different.push(first);
  }
  t.is(different.join('\n\n'), '');
});

/** The first difference one script shows. */
async function compare(
  t: ExecutionContext,
  where: { binary: string; shim: string },
  seed: number,
): Promise<string | undefined> {
  const other = await theirs(where);
  const mine = await ours(t);
  try {
    const history: string[] = [];
    for (const step of script(seed, STEPS)) {
      history.push(step.text);
      const got = (await mine.run(step)).join('\n');
      const wanted = (await other.run(step)).join('\n');
      if (got === wanted) continue;
      const past = history.slice(-SHOWN).join('\n  ');
      return `seed ${seed}, after\n  ${past}\nwe say\n${got}\nxenstored says\n${wanted}`;
    }
    return undefined;
  } finally {
    await mine.close();
    await other.close();
  }
}
