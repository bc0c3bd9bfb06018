// SPDX-License-Identifier: MIT
// IPv4 packets, right and deliberately wrong, byte by byte (RFC 791, 792, 768, 9293).

export const ICMP = 1;
export const TCP = 6;
export const UDP = 17;
export const ECHO_REPLY = 0;
export const UNREACHABLE = 3;
export const ECHO = 8;

const MORE_FRAGMENTS = 0x2000;

/** The Internet checksum, complemented, of big-endian words. */
export function checksum(...parts: readonly Buffer[]): number {
  let sum = 0;
  const bytes = Buffer.concat(parts);
  for (let i = 0; i < bytes.length; i += 2) sum += (bytes[i]! << 8) | (bytes[i + 1] ?? 0);
  while (sum > 0xffff) sum = (sum & 0xffff) + (sum >>> 16);
  return ~sum & 0xffff;
}

function addressBytes(address: string): Buffer {
  return Buffer.from(address.split('.').map(Number));
}

function pseudoHeader(from: string, to: string, protocol: number, length: number): Buffer {
  const tail = Buffer.from([0, protocol, length >> 8, length & 0xff]);
  return Buffer.concat([addressBytes(from), addressBytes(to), tail]);
}

/** `wrong`: off by one in the last bit, and never 0, which UDP takes for none. */
function put(packet: Buffer, at: number, sum: number, wrong: boolean): Buffer {
  const value = wrong ? sum ^ 1 : sum;
  packet.writeUInt16BE(value === 0 ? 0xffff : value, at);
  return packet;
}

/** An ICMP echo request. */
export function echo(id: number, seq: number, payload: Buffer, wrong = false): Buffer {
  const packet = Buffer.concat([Buffer.from([ECHO, 0, 0, 0, id >> 8, id & 255, 0, 0]), payload]);
  packet.writeUInt16BE(seq & 0xffff, 6);
  const sum = checksum(packet);
  packet.writeUInt16BE(wrong ? sum ^ 1 : sum, 2);
  return packet;
}

/** A UDP datagram. */
export function udp(o: {
  from: string;
  to: string;
  port: number;
  payload: Buffer;
  wrong: boolean;
}): Buffer {
  const head = Buffer.alloc(8);
  head.writeUInt16BE(o.port, 0);
  head.writeUInt16BE(o.port, 2);
  head.writeUInt16BE(8 + o.payload.length, 4);
  const packet = Buffer.concat([head, o.payload]);
  const pseudo = pseudoHeader(o.from, o.to, UDP, packet.length);
  return put(packet, 6, checksum(pseudo, packet), o.wrong);
}

/** A TCP SYN without options. */
export function syn(o: { from: string; to: string; port: number; wrong: boolean }): Buffer {
  const packet = Buffer.alloc(20);
  packet.writeUInt16BE(o.port, 0);
  packet.writeUInt16BE(o.port, 2);
  packet.writeUInt32BE(0x6e667069, 4);
  packet[12] = 5 << 4;
  packet[13] = 2; // SYN
  packet.writeUInt16BE(1024, 14);
  const pseudo = pseudoHeader(o.from, o.to, TCP, packet.length);
  const sum = checksum(pseudo, packet);
  packet.writeUInt16BE(o.wrong ? sum ^ 1 : sum, 16);
  return packet;
}

/** An IPv4 packet or fragment; the kernel fills in total length and header checksum. */
export function ipv4(o: {
  from: string;
  to: string;
  protocol: number;
  id: number;
  payload: Buffer;
  options?: Buffer;
  /** In bytes, a multiple of 8. */
  offset?: number;
  more?: boolean;
}): Buffer {
  const options = o.options ?? Buffer.alloc(0);
  if (options.length % 4 !== 0) throw new RangeError('IP options are padded to four bytes');
  const head = Buffer.alloc(20);
  head[0] = 0x40 | (5 + options.length / 4);
  head.writeUInt16BE(20 + options.length + o.payload.length, 2);
  head.writeUInt16BE(o.id, 4);
  head.writeUInt16BE((o.more === true ? MORE_FRAGMENTS : 0) | ((o.offset ?? 0) >> 3), 6);
  head[8] = 64;
  head[9] = o.protocol;
  addressBytes(o.from).copy(head, 12);
  addressBytes(o.to).copy(head, 16);
  return Buffer.concat([head, options, o.payload]);
}

/** What a raw socket heard. */
export interface Heard {
  readonly protocol: number;
  readonly source: string;
  readonly options: Buffer;
  readonly payload: Buffer;
}

/** Takes an IPv4 packet apart; undefined when it is none. */
export function parse(packet: Buffer): Heard | undefined {
  const first = packet[0] ?? 0;
  const header = (first & 15) * 4;
  if (first >> 4 !== 4 || header < 20 || packet.length < header) return undefined;
  return {
    protocol: packet[9]!,
    source: [...packet.subarray(12, 16)].join('.'),
    options: packet.subarray(20, header),
    payload: packet.subarray(header),
  };
}
