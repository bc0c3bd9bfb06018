// SPDX-License-Identifier: MIT
// prober.js ADDRESS FROM PACKAGE-ROOT: what `nestfront ping` runs inside the guest's domain. Takes
// orders as JSON lines on stdin, answers each with a line on stdout.
import { createInterface } from 'node:readline';
import { setTimeout as sleep } from 'node:timers/promises';
import { randomBytes } from 'node:crypto';
import { hrtime } from 'node:process';
import * as p from './packet.js';
import { PROBES } from './probes.js';
import type { Probe } from './probes.js';
import type { LatencyAnswer, Order, ProbeAnswer } from './protocol.js';
import { loadRawSocket } from './rawsocket.js';

const [to = '', from = '', root = ''] = process.argv.slice(2);
const IPPROTO_IP = 0;
const IP_HDRINCL = 3;
const MAGIC = 0x6e66_7069; // begins every payload of ours

type Listener = (heard: p.Heard) => void;

const module_ = loadRawSocket(root);
const listeners = new Set<Listener>();
const sockets = [p.ICMP, p.TCP].map((protocol) => {
  const socket = module_.createSocket({ protocol, bufferSize: 65_535 });
  socket.on('message', (packet) => {
    const heard = p.parse(packet);
    if (heard?.source === to) for (const listener of listeners) listener(heard);
  });
  socket.on('error', fail);
  return socket;
});
const icmp = sockets[0]!;
const verbatim = module_.createSocket({ protocol: p.UDP, bufferSize: 65_535 });
verbatim.setOption(IPPROTO_IP, IP_HDRINCL, 1);
verbatim.on('error', fail);

function fail(error: Error): void {
  process.stdout.write(`${JSON.stringify({ error: error.message })}\n`);
}

/** Hands a packet to the kernel; resolves with when. */
function send(socket: typeof icmp, packet: Buffer): Promise<bigint> {
  return new Promise((resolve, reject) => {
    let at = 0n;
    const before = (): void => void (at = hrtime.bigint());
    socket.send(packet, 0, packet.length, to, before, (error) =>
      error === null ? resolve(at) : reject(error),
    );
  });
}

function payload(bytes: number): Buffer {
  const random = randomBytes(bytes);
  if (bytes >= 4) random.writeUInt32BE(MAGIC, 0);
  return random;
}

/** Resolves with the first packet for which `wanted` says true, or undefined after a time. */
function hear(
  wanted: (heard: p.Heard) => boolean,
  timeoutMs: number,
): Promise<p.Heard | undefined> {
  return new Promise((resolve) => {
    const done = (heard: p.Heard | undefined): void => {
      listeners.delete(listener);
      clearTimeout(timer);
      resolve(heard);
    };
    const listener: Listener = (heard) => wanted(heard) && done(heard);
    const timer = setTimeout(() => done(undefined), timeoutMs);
    listeners.add(listener);
  });
}

function isEcho(heard: p.Heard, id: number, seq?: number): boolean {
  const { protocol, payload: bytes } = heard;
  return (
    protocol === p.ICMP &&
    bytes.length >= 8 &&
    bytes[0] === p.ECHO_REPLY &&
    bytes.readUInt16BE(4) === id &&
    (seq === undefined || bytes.readUInt16BE(6) === seq)
  );
}

let nextId = (process.pid & 0x3fff) << 2;
const newId = (): number => (nextId = (nextId + 1) & 0xffff || 1);

async function latency(order: Extract<Order, { op: 'latency' }>): Promise<LatencyAnswer> {
  const id = newId();
  const rttNs: number[] = [];
  const answer = { sent: 0, duplicates: 0, corrupted: 0, late: 0 };
  for (let seq = 0; seq < order.count; seq += 1) {
    const data = payload(order.bytes);
    let at = 0n;
    let isHere = false;
    const onReply: Listener = (heard) => {
      const now = hrtime.bigint();
      if (!isEcho(heard, id)) return;
      if (!isEcho(heard, id, seq & 0xffff)) answer.late += 1;
      else if (isHere) answer.duplicates += 1;
      else {
        isHere = true;
        if (heard.payload.subarray(8).equals(data)) rttNs.push(Number(now - at));
        else answer.corrupted += 1;
      }
    };
    listeners.add(onReply);
    const reply = hear((heard) => isEcho(heard, id, seq & 0xffff), order.timeoutMs);
    at = await send(icmp, p.echo(id, seq, data));
    answer.sent += 1;
    await reply;
    if (order.intervalMs > 0 && seq + 1 < order.count) await sleep(order.intervalMs);
    listeners.delete(onReply);
  }
  return { ...answer, rttNs };
}

/** What kind of answer to this probe a packet is. */
function answers(heard: p.Heard, id: number): ProbeAnswer['seen'] | undefined {
  if (isEcho(heard, id)) return 'echo';
  if (heard.protocol === p.TCP) return heard.payload.readUInt16BE(0) === 33_999 ? 'tcp' : undefined;
  const { payload: bytes } = heard;
  if (heard.protocol !== p.ICMP || bytes[0] !== p.UNREACHABLE || bytes.length < 36)
    return undefined;
  const isOurs = bytes.readUInt16BE(8 + 4) === id; // the packet it answers: its IP id
  return isOurs ? 'unreachable' : undefined;
}

/** Sends a probe, then an echo that comes back after whatever the probe caused on this path. */
async function probe(wanted: Probe, timeoutMs: number): Promise<ProbeAnswer> {
  const id = newId();
  let seen: ProbeAnswer['seen'] = 'none';
  let isIntact = true;
  let options: number[] = [];
  const packets = wanted.packets({ from, to, id, payload });
  const sent = p.parse(packets[0]!)!.payload;
  const listener: Listener = (heard) => {
    const kind = answers(heard, id);
    if (kind === undefined) return;
    seen = kind;
    options = [...heard.options];
    if (kind !== 'echo' || packets.length > 1) return;
    isIntact = heard.payload.subarray(8).equals(sent.subarray(8));
  };
  listeners.add(listener);
  const isAnswer = (heard: p.Heard): boolean => answers(heard, id) !== undefined;
  const answered = wanted.expect === 'none' ? undefined : hear(isAnswer, timeoutMs);
  for (const packet of packets) await send(verbatim, packet);
  await answered;
  const fence = newId();
  const fenced = hear((heard) => isEcho(heard, fence), timeoutMs);
  await send(icmp, p.echo(fence, 0, payload(56)));
  const isFenced = (await fenced) !== undefined;
  listeners.delete(listener);
  return { seen, isFenced, isIntact, options };
}

async function obey(order: Order): Promise<LatencyAnswer | ProbeAnswer> {
  if (order.op === 'latency') return latency(order);
  const wanted = PROBES.find((candidate) => candidate.name === order.name);
  if (wanted === undefined) throw new RangeError(`no probe ${order.name}`);
  return probe(wanted, order.timeoutMs);
}

for await (const line of createInterface({ input: process.stdin })) {
  try {
    process.stdout.write(`${JSON.stringify(await obey(JSON.parse(line) as Order))}\n`);
  } catch (error) {
    fail(error as Error);
  }
}
for (const socket of [...sockets, verbatim]) socket.close();
