// SPDX-License-Identifier: MIT
// A domain that sends its hypervisor process any message, with any descriptors, beside one that
// behaves: HOSTILE.md group 20. The other's pages and answers must be as if it were alone, and
// nothing may be left behind once it hung up.
import { readdirSync } from 'node:fs';
import { HV, HV_REPLY, LAYOUT } from '../../lib/hypervisor/protocol.js';
import { native, type NativeArena } from '../../lib/native.cjs';
import { eventually, openDomain, RawDomain, startHypervisor } from '../js/helpers/hypervisor.js';
import { expect, Frame, fuzz, type Source } from './lib/mutate.js';

const SIZES: readonly number[] = Object.values(LAYOUT).map((l) => l.size);
const BURST = 200;

/** Numbers that mean something: ours, the other's, and none. */
interface Names {
  domids: number[];
  words: number[];
}

/** The fixed part of each type; a list of grefs may follow. */
const BODY: Readonly<Record<number, keyof typeof LAYOUT>> = {
  [HV.ALLOC]: 'nf_hv_alloc',
  [HV.END]: 'nf_hv_end',
  [HV.DONATE]: 'nf_hv_donate',
  [HV.MAP]: 'nf_hv_map',
  [HV.UNMAP]: 'nf_hv_unmap',
  [HV.CHAN_ALLOC]: 'nf_hv_chan',
  [HV.CHAN_BIND]: 'nf_hv_chan',
  [HV.CHAN_CLOSE]: 'nf_hv_chan',
  [HV.CHAN_DONATE]: 'nf_hv_chan',
  [HV.TABLE]: 'nf_hv_table',
};

function key(out: Buffer, source: Source, names: Names): void {
  const k = LAYOUT.nf_hv_key;
  out.writeUInt16LE(source.pick(names.domids), 16 + k.peer);
  out.writeUInt16LE(source.below(4) === 0 ? source.pick(names.domids) : 0x7ff0, 16 + k.inner_owner);
  out.writeUInt16LE(source.below(3), 16 + k.device);
  out.writeUInt16LE(source.below(3), 16 + k.queue);
  out.writeUInt8(1 + source.below(8), 16 + k.purpose);
  out.writeUInt8(source.below(2), 16 + k.readonly);
}

/** What an honest domain could send, of numbers it need not have. */
function honest(raw: RawDomain, source: Source, names: Names): Buffer {
  const type = 2 + source.below(12);
  const layout = BODY[type];
  const count = source.below(4) === 0 ? source.below(64) : 1 + source.below(3);
  const lists = type === HV.MAP || type === HV.UNMAP || type === HV.DONATE;
  const size = layout === undefined ? 16 : LAYOUT[layout].size;
  const out = raw.message(type, size + (lists ? 4 * count : 0));
  if (type === HV.ALLOC || type === HV.DONATE) {
    key(out, source, names);
    out.writeUInt32LE(count, LAYOUT.nf_hv_alloc.pages);
    if (type === HV.DONATE) out.writeUInt32LE(source.below(2), LAYOUT.nf_hv_donate.equal_grefs);
  } else if (type === HV.END) {
    out.writeUInt32LE(source.pick(names.words), LAYOUT.nf_hv_end.arena);
  } else if (layout !== undefined) {
    out.writeUInt16LE(source.pick(names.domids), 16);
    out.writeUInt16LE(source.below(2), 18);
    out.writeUInt32LE(lists ? count : source.pick(names.words), lists ? 20 : size - 8);
  }
  for (let at = size; at + 4 <= out.length; at += 4)
    out.writeUInt32LE(source.pick(names.words), at);
  return out;
}

/** Any bytes behind a header that is right, most of the time. */
function junk(raw: RawDomain, source: Source, names: Names): Buffer {
  const type = source.below(16) === 0 ? source.word() & 0xffff : 2 + source.below(13);
  const bytes = source.pick(SIZES) + (source.below(3) === 0 ? 4 * source.below(40) : 0);
  const out = raw.message(type, Math.max(16, bytes));
  for (let at = 16; at + 4 <= out.length; at += 4) {
    const kind = source.below(4);
    if (kind === 0) out.writeUInt32LE(source.word(), at);
    else if (kind === 1) out.writeUInt32LE(source.pick(names.words), at);
    else {
      out.writeUInt16LE(source.pick(names.domids), at);
      out.writeUInt16LE(source.below(4), at + 2);
    }
  }
  if (source.below(64) === 0) out.writeUInt32LE(source.word(), 4 * source.below(4));
  return out;
}

function message(raw: RawDomain, source: Source, names: Names): Buffer {
  if (source.below(4) === 0) return junk(raw, source, names);
  const out = honest(raw, source, names);
  if (source.below(8) === 0 && out.length > 16)
    out.writeUInt32LE(source.word(), 16 + 4 * source.below((out.length - 16) / 4));
  return out;
}

/** The other domain: a page of its own that nobody may touch, and calls that work. */
async function bystander(frame: Frame, hv: Hv): Promise<() => Promise<void>> {
  const layer = await openDomain(frame as never, hv, 'bystander');
  await hv.client.createDomain({ name: 'peer', domid: 9 });
  const key = { peer: 9, device: 0, queue: 0, purpose: 4, readonly: false };
  const arena: NativeArena = await layer.alloc(key, 2, false);
  const bytes = Buffer.alloc(arena.bytes, 0x77);
  arena.write(0, bytes);
  return async () => {
    expect(arena.read(0, arena.bytes).equals(bytes), 'a page of another domain changed');
    const more = await layer.alloc({ ...key, queue: 1 }, 1, false);
    expect(await more.end(), 'another domain ends its own arena');
  };
}

type Hv = Awaited<ReturnType<typeof startHypervisor>>;

/** Arenas, grefs and ports it was given are names it may use. */
function learn(names: Names, type: number, body: Buffer): void {
  const { arena, size } = LAYOUT.nf_hv_alloc_reply;
  if (type === HV.ALLOC) names.words.push(body.readUInt32LE(arena), body.readUInt32LE(size));
  if (type === HV.CHAN_ALLOC || type === HV.CHAN_BIND)
    names.words.push(body.readUInt32LE(LAYOUT.nf_hv_chan_reply.port));
}

/** One life of the hostile domain: what it sends, and the answers it must get. */
async function burst(source: Source, hv: Hv, fds: number[]): Promise<number> {
  const life = new Frame();
  const raw = await RawDomain.open(life as never, hv, `raw${source.u32()}`);
  const names = { domids: [raw.domid, 1, 9, 0, 0x7ff0], words: [1, 2, 3, 8, 9, 10, 4096] };
  let sent = 0;
  for (; sent < BURST && !raw.closed; sent++) {
    const request = message(raw, source, names);
    const along = Array.from({ length: source.below(8) === 0 ? source.below(4) : 0 }, () =>
      source.pick(fds),
    );
    if (!raw.socket.send(request, along)) break;
    const reply = await raw.next();
    if (!reply) break; // what is no message ends the connection: fine
    const h = LAYOUT.nf_hv_header;
    expect(reply.body.readUInt16LE(h.flags) === HV_REPLY, 'an answer is marked as one');
    expect(reply.status <= 0 && reply.status > -4096, 'a status is 0 or -errno');
    expect(reply.status === 0 || reply.fds.length === 0, 'a refusal carries no descriptor');
    if (reply.status === 0) learn(names, request.readUInt16LE(h.type), reply.body);
  }
  await life.end(); // hangs up and closes what it was given
  await hv.client.destroyDomain(raw.domid);
  return sent;
}

await fuzz(async (frame, source) => {
  const hv = await startHypervisor(frame as never);
  const check = await bystander(frame, hv);
  const [a, b] = native.seqpacketPair();
  const fds = [native.memfdCreate('fuzz', 4), a, b];
  const count = (): number => readdirSync(`/proc/${hv.process.pid}/fd`).length;
  await burst(source, hv, fds); // what is made once is made now
  const base = count();
  return async () => {
    const sent = await burst(source, hv, fds);
    expect(hv.process.exitCode === null, `the hypervisor ended: ${hv.log.join('')}`);
    await check();
    await eventually(() => count() <= base, 10_000);
    return sent;
  };
});
