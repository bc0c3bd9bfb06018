// SPDX-License-Identifier: MIT
// What a path must carry and what the far end's IP must drop. The path itself must neither mend
// nor drop any of it: offloads that do show here.
import * as p from './packet.js';

/** A counter of the far end's /proc/net/snmp that shows who dropped it. */
export interface Witness {
  readonly group: 'Ip' | 'Icmp' | 'Udp' | 'Tcp';
  readonly key: string;
}

/** One probe: packets, and what must come of them. */
export interface Probe {
  readonly name: string;
  readonly what: string;
  /** The answer that must come, or `none`. */
  readonly expect: 'echo' | 'unreachable' | 'tcp' | 'none';
  /** Who drops it, where nothing must come. */
  readonly droppedBy?: string;
  readonly witness?: Witness;
  /** The reply must bring this IP option back. */
  readonly option?: number;
  /** IPv4 packets, sent in this order. */
  readonly packets: (at: ProbeContext) => Buffer[];
}

export interface ProbeContext {
  readonly from: string;
  readonly to: string;
  /** Of ICMP and IP, different for each probe. */
  readonly id: number;
  readonly payload: (bytes: number) => Buffer;
}

/** A port nobody listens on. */
const PORT = 33_999;
const RECORD_ROUTE = 7;
const LOOSE_SOURCE_ROUTE = 131;
const FIRST_BYTES = 1480;

function icmp(at: ProbeContext, more: { wrong?: boolean; options?: Buffer } = {}): Buffer[] {
  const payload = p.echo(at.id, 0, at.payload(56), more.wrong);
  const options = more.options === undefined ? {} : { options: more.options };
  return [p.ipv4({ ...at, protocol: p.ICMP, payload, ...options })];
}

function recordRoute(slots: number, length = 3 + 4 * slots): Buffer {
  const option = Buffer.alloc(Math.ceil((3 + 4 * slots) / 4) * 4);
  option.set([RECORD_ROUTE, length, 4]);
  return option;
}

function sourceRoute(via: string): Buffer {
  return Buffer.from([LOOSE_SOURCE_ROUTE, 7, 4, ...via.split('.').map(Number), 0]);
}

/** An echo request in two fragments, the second from `offset` on. */
function fragments(at: ProbeContext, offset = FIRST_BYTES): Buffer[] {
  const whole = p.echo(at.id, 0, at.payload(2392));
  const part = { ...at, protocol: p.ICMP };
  return [
    p.ipv4({ ...part, payload: whole.subarray(0, FIRST_BYTES), more: true }),
    p.ipv4({ ...part, payload: whole.subarray(offset), offset }),
  ];
}

function udp(at: ProbeContext, wrong: boolean): Buffer[] {
  const payload = p.udp({ ...at, port: PORT, payload: at.payload(56), wrong });
  return [p.ipv4({ ...at, protocol: p.UDP, payload })];
}

function tcp(at: ProbeContext, wrong: boolean): Buffer[] {
  return [p.ipv4({ ...at, protocol: p.TCP, payload: p.syn({ ...at, port: PORT, wrong }) })];
}

export const PROBES: readonly Probe[] = [
  {
    name: 'udp',
    what: 'UDP to a closed port',
    expect: 'unreachable',
    packets: (a) => udp(a, false),
  },
  {
    name: 'udp-bad-checksum',
    what: 'the same with a wrong checksum',
    expect: 'none',
    droppedBy: "the far end's UDP",
    witness: { group: 'Udp', key: 'InCsumErrors' },
    packets: (a) => udp(a, true),
  },
  { name: 'tcp', what: 'TCP SYN to a closed port', expect: 'tcp', packets: (a) => tcp(a, false) },
  {
    name: 'tcp-bad-checksum',
    what: 'the same with a wrong checksum',
    expect: 'none',
    droppedBy: "the far end's TCP",
    witness: { group: 'Tcp', key: 'InCsumErrors' },
    packets: (a) => tcp(a, true),
  },
  {
    name: 'icmp-bad-checksum',
    what: 'echo with a wrong checksum',
    expect: 'none',
    droppedBy: "the far end's ICMP",
    witness: { group: 'Icmp', key: 'InCsumErrors' },
    packets: (a) => icmp(a, { wrong: true }),
  },
  {
    name: 'record-route',
    what: 'echo with a record-route option',
    expect: 'echo',
    option: RECORD_ROUTE,
    packets: (a) => icmp(a, { options: recordRoute(9) }),
  },
  {
    name: 'source-route',
    what: 'echo with a loose source route',
    expect: 'none',
    droppedBy: "the far end's IP (accept_source_route is off)",
    packets: (a) => icmp(a, { options: sourceRoute(a.to) }),
  },
  {
    name: 'bad-option',
    what: 'echo with an option longer than its header',
    expect: 'none',
    droppedBy: "the far end's IP",
    witness: { group: 'Ip', key: 'InHdrErrors' },
    packets: (a) => icmp(a, { options: recordRoute(1, 39) }),
  },
  {
    name: 'fragments',
    what: 'echo in two fragments',
    expect: 'echo',
    packets: (a) => fragments(a),
  },
  {
    name: 'fragments-reversed',
    what: 'the same, the second first',
    expect: 'echo',
    packets: (a) => fragments(a).reverse(),
  },
  {
    name: 'fragment-missing',
    what: 'the first fragment alone',
    expect: 'none',
    droppedBy: "the far end's IP, once its reassembly gives up",
    witness: { group: 'Ip', key: 'ReasmReqds' },
    packets: (a) => fragments(a).slice(0, 1),
  },
  {
    name: 'fragments-overlap',
    what: 'two fragments that overlap by 8 bytes',
    expect: 'none',
    droppedBy: "the far end's IP",
    witness: { group: 'Ip', key: 'ReasmFails' },
    packets: (a) => fragments(a, FIRST_BYTES - 8),
  },
];
