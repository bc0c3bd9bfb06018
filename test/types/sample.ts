// SPDX-License-Identifier: MIT
// Compiled, never run: what users' programs rely on, and (@ts-expect-error) what must not compile.
import {
  type ControlPage,
  type Counters,
  EventChannel,
  Hypervisor,
  NestfrontError,
  Ring,
  Stack,
  checkConfig,
  planStack,
} from '../../lib/index.js';
import type {
  CounterValues,
  Domain,
  ErrorCode,
  Grant,
  StackConfig,
  Store,
} from '../../lib/index.js';

const config = {
  name: 'sample',
  notify: 'poll',
  cpus: { back: 0, front: 1 },
  devices: [{ name: 'net', path: 'direct', queues: 4, front: { port: 'tap:eth0' } }],
} satisfies StackConfig;

export async function stack(signal: AbortSignal): Promise<number> {
  await using up = await Stack.up(config, { signal, notice: (line: string) => void line });
  const { front, back, devid, relay } = up.device('net');
  front.control.order(devid, { mode: 'send', frameBytes: 60 });
  const total: CounterValues = back.counters.total({ kind: 'netback', devid });
  const mode: 'copy' | 'translate' | 'direct' | 'mux' | undefined = relay?.mode;
  const { code }: { code: number } = await up.domain('L2').exec(['true'], { signal });
  const pids: Readonly<Record<string, number>> = up.metadata().pids;
  // @ts-expect-error no such mode
  front.control.order(devid, { mode: 'shout' });
  // @ts-expect-error no such counter
  void total.packets;
  // @ts-expect-error a stack's configuration has no such key
  await Stack.up({ ...config, isolate: true });
  // @ts-expect-error nor such a path
  await Stack.up({ name: 'x', devices: [{ name: 'a', path: 'relay' }] });
  return total.sink_packets + code + (mode === 'direct' ? 1 : 0) + (pids['L2'] ?? 0);
}

export async function layer(): Promise<bigint> {
  await using hypervisor = await Hypervisor.start({ name: 'H0' });
  const a: Domain = await (await hypervisor.createDomain({ name: 'a' })).attach();
  const b: Domain = await (await hypervisor.createDomain({ name: 'b', privileged: true })).attach();
  await using grant: Grant = await a.grants.grant(b.domid, 1, { readonly: false });
  await using mapping = await b.grants.map(a.domid, grant.grefs);
  using front = Ring.front(grant, { slotBytes: 12 });
  using back = Ring.back(mapping, { slotBytes: 12 });
  if (front.put(Buffer.alloc(12)) && front.push()) back.take();
  await using channel = await EventChannel.alloc(a, b.domid);
  for await (const count of channel.events()) return BigInt(count);
  const store: Store = await hypervisor.store();
  await store.transaction(async (tx) => tx.write('/tool/key', 'value'));
  // @ts-expect-error read-only
  grant.grefs = new Uint32Array();
  const counters: Counters = await a.counters();
  const control: ControlPage = await a.control();
  control.park(false);
  return counters.word(0, 'tx_packets');
}

export function errors(thrown: unknown): ErrorCode | undefined {
  planStack(checkConfig(JSON.parse('{}')));
  if (!(thrown instanceof NestfrontError)) return undefined;
  // @ts-expect-error not a code of errors.def
  if (thrown.code === 'NF_EWHATEVER') return undefined;
  return thrown.code;
}
