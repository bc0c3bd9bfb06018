// SPDX-License-Identifier: MIT
// The API of one hypervisor, with two domains attached in this process.
import { readdirSync, readlinkSync } from 'node:fs';
import { closeSync, openSync, writeSync } from 'node:fs';
import test from 'ava';
import type { ExecutionContext } from 'ava';
import { EventChannel, Hypervisor, NestfrontError, Ring } from '../../lib/index.js';
import type { Domain } from '../../lib/index.js';

async function layer(
  t: ExecutionContext,
): Promise<{ hypervisor: Hypervisor; a: Domain; b: Domain }> {
  const hypervisor = await Hypervisor.start();
  t.teardown(() => hypervisor.close());
  const a = await (await hypervisor.createDomain({ name: 'a' })).attach();
  const b = await (await hypervisor.createDomain({ name: 'b' })).attach();
  return { hypervisor, a, b };
}

async function code(t: ExecutionContext, call: Promise<unknown>): Promise<string> {
  const error = await t.throwsAsync(call, { instanceOf: NestfrontError });
  return error.code;
}

test('pages granted are pages mapped; ending them is seen', async (t) => {
  const { a, b } = await layer(t);
  const grant = await a.grants.grant(b.domid, 3);
  t.is(grant.grefs.length, 3);
  t.is(grant.bytes, 3 * 4096);
  const mapping = await b.grants.map(a.domid, grant.grefs);
  grant.write(4096, Buffer.from('from a'));
  t.is(mapping.read(4096, 6).toString(), 'from a');
  mapping.write(0, Buffer.from('from b'));
  t.is(grant.read(0, 6).toString(), 'from b');
  await mapping.unmap();
  t.true(await grant.end(), 'every page came back');
  t.is(await code(t, b.grants.map(a.domid, grant.grefs)), 'NF_EACCES');
  t.throws(() => grant.read(0, 1), { code: 'NF_ENODEV' });
});

test('pages still mapped by the peer are not given back', async (t) => {
  const { hypervisor, a, b } = await layer(t);
  const grant = await a.grants.grant(b.domid, 1);
  const mapping = await b.grants.map(a.domid, grant.grefs);
  t.false(await grant.end());
  t.is((await hypervisor.stats()).quarantinedPages, 1);
  await mapping.unmap();
});

test('a read-only grant cannot be written, nor its descriptor reopened for it', async (t) => {
  const { a, b } = await layer(t);
  const grant = await a.grants.grant(b.domid, 1, { readonly: true, device: 4242 });
  grant.write(0, Buffer.from('early'));
  t.is(await code(t, b.grants.map(a.domid, grant.grefs)), 'NF_EACCES');
  const mapping = await b.grants.map(a.domid, grant.grefs, { readonly: true });
  t.is(mapping.read(0, 5).toString(), 'early');
  grant.write(0, Buffer.from('later'));
  t.is(mapping.read(0, 5).toString(), 'later', 'the granter may still write');
  t.throws(() => mapping.write(0, Buffer.from('x')), { code: 'NF_EACCES' });
  const arena = `/memfd:nf-${a.domid}-${b.domid}-4242.`; // other tests have arenas here too
  const fds = readdirSync('/proc/self/fd').filter((fd) => {
    try {
      return readlinkSync(`/proc/self/fd/${fd}`).startsWith(arena);
    } catch {
      return false; // the directory's own descriptor
    }
  });
  t.true(fds.length > 0);
  for (const fd of fds) {
    const again = openSync(`/proc/self/fd/${fd}`, 'r+');
    t.throws(() => writeSync(again, 'x'), { code: 'EPERM' });
    closeSync(again);
  }
  t.is(mapping.read(0, 5).toString(), 'later');
});

test('nobody but the grantee may use a grant', async (t) => {
  const { hypervisor, a, b } = await layer(t);
  const c = await (await hypervisor.createDomain({ name: 'c' })).attach();
  const grant = await a.grants.grant(b.domid, 1);
  t.is(await code(t, c.grants.map(a.domid, grant.grefs)), 'NF_EACCES');
  t.is(await code(t, b.grants.map(c.domid, grant.grefs)), 'NF_EACCES');
  t.is(await code(t, b.grants.map(a.domid, [99_999])), 'NF_EACCES');
});

test('grant copy goes both ways, each operation with its status', async (t) => {
  const { a, b } = await layer(t);
  const grant = await a.grants.grant(b.domid, 2);
  const gref = grant.grefs[1]!;
  grant.write(4096, Buffer.from('page one'));
  const [read, wrote, wrong] = await b.grants.copy([
    { peer: a.domid, gref, offset: 0, bytes: 8 },
    { peer: a.domid, gref, offset: 4090, data: Buffer.from('edge') },
    { peer: a.domid, gref: 77_777, offset: 0, bytes: 1 },
  ]);
  t.is(read!.data?.toString(), 'page one');
  t.is(wrote!.status, 0);
  t.true(wrong!.status < 0);
  t.is(grant.read(4096 + 4090, 4).toString(), 'edge');
  const [over] = await b.grants.copy([{ peer: a.domid, gref, offset: 4090, bytes: 7 }]);
  t.true(over!.status < 0, 'past the page');
});

test('misuse is told by the argument, the value and the range', async (t) => {
  const { a, b } = await layer(t);
  await t.throwsAsync(a.grants.grant(b.domid, 0), {
    instanceOf: RangeError,
    message: /pages is 0; use a whole number from 1 to 2048/,
  });
  await t.throwsAsync(a.grants.grant(-1, 1), { instanceOf: RangeError, message: /peer is -1/ });
  await t.throwsAsync(a.grants.grant('1' as never, 1), { instanceOf: TypeError });
  await t.throwsAsync(a.grants.map(b.domid, []), { message: /grefs\.length is 0/ });
  t.throws(() => void a.grants.copy([{ peer: 1, gref: 1, offset: 0 }]), { instanceOf: TypeError });
});

test('an event channel tells, merges, hangs up and aborts', async (t) => {
  const { a, b } = await layer(t);
  const left = await EventChannel.alloc(a, b.domid);
  const right = await EventChannel.bind(b, a.domid, left.port);
  const events = right.events();
  left.send();
  left.send();
  let seen = 0;
  while (seen < 2) seen += (await events.next()).value as number;
  t.is(seen, 2);
  const abort = new AbortController();
  const waiting = left.events({ signal: abort.signal }).next();
  abort.abort();
  t.is(await code(t, waiting), 'NF_EABORTED');
  t.is(await code(t, EventChannel.bind(b, a.domid, left.port)), 'NF_EBUSY');
  await left.close();
  await left.close();
  t.is(await code(t, events.next()), 'NF_ENODEV');
  await right.close();
});

test('a ring carries requests and responses between two domains', async (t) => {
  const { a, b } = await layer(t);
  const grant = await a.grants.grant(b.domid, 1);
  const mapping = await b.grants.map(a.domid, grant.grefs);
  using front = Ring.front(grant, { slotBytes: 16 });
  using back = Ring.back(mapping, { slotBytes: 16 });
  t.is(front.count, 128);
  for (let round = 0; round < 3; round += 1) {
    for (let i = 0; i < 100; i += 1) t.true(front.put(Buffer.from(`request ${i}`)));
    t.true(front.push() || round > 0);
    t.is(back.pending, 100);
    for (let i = 0; i < 100; i += 1) {
      const request = back.take()!;
      t.is(request.toString().replace(/\0+$/, ''), `request ${i}`);
      back.put(Buffer.from(`response ${i}`));
    }
    t.is(back.take(), undefined);
    back.push();
    for (let i = 0; i < 100; i += 1)
      t.regex(front.take()!.toString(), new RegExp(`^response ${i}\\0`));
    t.is(front.free, 128);
  }
  grant.write(0, Buffer.from([0xff, 0xff, 0xff, 0x7f]));
  t.throws(() => back.pending, { code: 'NF_EPROTO' });
  t.throws(() => back.take(), { code: 'NF_EPROTO' }, 'for good');
});

test('a domain reads, watches and changes its part of the store', async (t) => {
  const { hypervisor, a, b } = await layer(t);
  const [own, other, tool] = [await a.store(), await b.store(), await hypervisor.store()];
  const path = `/local/domain/${a.domid}/data`;
  await tool.mkdir(path);
  await tool.setPerms(path, [{ domid: a.domid, access: 'n' }]);
  await own.write(`${path}/key`, 'one');
  t.is(await tool.read(`${path}/key`), 'one');
  t.is(await code(t, other.read(`${path}/key`)), 'NF_EACCES');
  const watch = own.watch(path);
  t.is((await watch.next()).value, path);
  await tool.transaction(async (tx) => {
    await tx.write(`${path}/key`, `${await tx.read(`${path}/key`)} and two`);
  });
  t.is((await watch.next()).value, `${path}/key`);
  t.is(await own.read(`${path}/key`), 'one and two');
  await watch.return();
});

test('close ends everything, twice is once, and what follows says so', async (t) => {
  const { hypervisor, a, b } = await layer(t);
  await a.grants.grant(b.domid, 4);
  t.is(await code(t, a.attach()), 'NF_EEXIST');
  t.is(await code(t, hypervisor.createDomain({ name: 'a' })), 'NF_EEXIST');
  await a.close();
  await a.close();
  t.throws(() => a.grants, { message: /domain a is closed/ });
  t.deepEqual(
    (await hypervisor.listDomains()).map((domain) => domain.name),
    ['b'],
  );
  await hypervisor.close();
  await hypervisor.close();
  t.is(await code(t, hypervisor.listDomains()), 'NF_ECONNRESET');
});

test('await using takes a hypervisor down', async (t) => {
  let pid: number;
  {
    await using hypervisor = await Hypervisor.start({ name: 'scoped' });
    pid = hypervisor.pid!;
    t.true((await hypervisor.stats()).pid > 0);
  }
  t.throws(() => process.kill(pid, 0), { code: 'ESRCH' });
});

test('when the hypervisor dies control fails clearly and running channels go on', async (t) => {
  const { hypervisor, a, b } = await layer(t);
  const left = await EventChannel.alloc(a, b.domid);
  const right = await EventChannel.bind(b, a.domid, left.port);
  const grant = await a.grants.grant(b.domid, 1);
  const mapping = await b.grants.map(a.domid, grant.grefs);
  process.kill(hypervisor.pid!, 'SIGKILL');
  t.is(await code(t, a.grants.grant(b.domid, 1)), 'NF_ECONNRESET');
  left.send();
  t.is((await right.events().next()).value, 1);
  grant.write(0, Buffer.from('still'));
  t.is(mapping.read(0, 5).toString(), 'still');
  await right.close();
  await left.close();
});
