// SPDX-License-Identifier: MIT
import { z } from 'zod';
import { parseRate } from './rate.js';

/** Names become directories, host names and store nodes. */
const name = z.string().regex(/^[A-Za-z0-9][A-Za-z0-9-]{0,30}$/, {
  error: '1 to 31 letters, digits and hyphens, not starting with a hyphen',
});

const cpu = z.int().min(0).max(1023);

const IFACE = '[A-Za-z0-9_.-]{1,15}';
const FILE = '/[^,]{1,150}';
const PORT = new RegExp(
  `^(gen|null|(tap|afpacket):${IFACE}(,(csum|gso)=(on|off)){0,2}` +
    `|afxdp:${IFACE}(,queue=[0-9]{1,4})?(,zerocopy)?` +
    `|pcap:(${FILE}|out=${FILE}|in=${FILE}(,out=${FILE})?(,loop)?))$`,
);

const port = z.strictObject({
  port: z
    .string()
    .regex(PORT, {
      error:
        'a port is gen, null, tap:NAME or afpacket:NAME[,csum=off][,gso=off], ' +
        'afxdp:NAME[,queue=N][,zerocopy], pcap:FILE or pcap:in=FILE[,out=FILE][,loop]; ' +
        'NAME at most 15 characters, FILE absolute',
    })
    .describe(
      'gen: generator, echo, pinger and sink; null: drops; tap:NAME: an interface of its own; ' +
        'afpacket:NAME, afxdp:NAME: one that is there; pcap:FILE: records, pcap:in=FILE: sends',
    ),
});

const device = z.strictObject({
  name: name.describe('of the device, unique in the stack'),
  path: z
    .enum(['single', 'copy', 'translate', 'direct', 'mux'])
    .describe('single: one layer; the others: through both, by what the relay does'),
  queues: z.int().min(1).max(8).default(1),
  grants: z.enum(['static', 'copy']).default('static').describe('what the backend offers'),
  trustInner: z
    .boolean()
    .default(false)
    .describe('direct may run unconfined, against a backend that is not static-only'),
  mac: z
    .string()
    .regex(/^[0-9a-f]{2}(:[0-9a-f]{2}){5}$/i, { error: 'six hex bytes, e.g. 00:16:3e:01:02:03' })
    .refine((text) => (parseInt(text.slice(0, 2), 16) & 1) === 0, {
      error: 'the first byte is odd, a multicast address; make it even',
    })
    .optional()
    .describe("of the guest's end; made from the stack's name when left out"),
  mtu: z.int().min(68).max(65521).default(1500).describe('bytes, without the Ethernet header'),
  outer: name
    .optional()
    .describe('path mux: the outer device it shares with all that name it; default mux'),
  rate: z
    .string()
    .refine((text) => parseRate(text) !== undefined, {
      error: 'a rate is as xl has it, e.g. 10Mb/s, 1MB/s@20ms (b bits, B bytes; K, M, G of 1,000)',
    })
    .optional()
    .describe('path mux: what the guest may send'),
  ip: z
    .array(z.union([z.ipv4(), z.ipv6()]))
    .min(1)
    .max(8)
    .optional()
    .describe('path mux: addresses the guest may send from; any when left out'),
  guest: name.optional().describe('domain of the front; default L2, or guest for a single device'),
  front: port.default({ port: 'gen' }),
  back: port.default({ port: 'gen' }),
});

const SIZE = '[0-9]{1,18}[KMGT]?';
const HOW = 'ro|direct=(auto|on|off)|engine=(auto|io_uring|threads)';
const DISK = new RegExp(
  `^(file:/[^,]{1,900}(,(${HOW}|create=${SIZE}))*|block:/[^,]{1,900}(,(${HOW}))*` +
    `|(mem|null):${SIZE}(,ro)?)$`,
);
const USER = /^(none|gen|nbd|nbd:\/[^,]{1,106}(,(ro|mode=0[0-7]{3}|name=[^,]{1,63}))*)$/;

const disk = z.strictObject({
  name: name.describe('of the disk, unique in the stack'),
  path: z
    .enum(['single', 'copy', 'translate', 'direct'])
    .describe('single: one layer; the others: through both, by what the relay does'),
  disk: z
    .string()
    .regex(DISK, {
      error:
        'a disk is file:PATH or block:PATH[,ro][,direct=auto|on|off][,engine=auto|io_uring|' +
        'threads], mem:SIZE or null:SIZE; a file also takes create=SIZE; PATH absolute, ' +
        'SIZE as 64M, 8G',
    })
    .describe('what the backend stores sectors in'),
  user: z
    .string()
    .regex(USER, {
      error: 'a user is none, gen, nbd or nbd:PATH[,ro][,name=EXPORT][,mode=0600]; PATH absolute',
    })
    .default('nbd')
    .describe("what drives the front; nbd: a server on a socket in the stack's directory"),
  queues: z.int().min(1).max(8).default(1),
  ringPages: z
    .union([z.literal(1), z.literal(2), z.literal(4), z.literal(8), z.literal(16)])
    .default(1)
    .describe('pages of a ring; 32 requests each'),
  indirect: z.int().min(1).max(512).default(64).describe('segments of 4 KiB in a request'),
  poolPages: z.int().min(32).max(2048).default(512).describe('payload pages of a queue'),
  grants: z
    .enum(['static', 'persistent', 'copy', 'map'])
    .default('static')
    .describe('what the backend offers'),
  trustInner: z
    .boolean()
    .default(false)
    .describe('direct may run unconfined, against a backend that is not registered-only'),
  readonly: z.boolean().default(false),
  guest: name.optional().describe('domain of the front; default L2, or guest for a single disk'),
});

/** The one source of the configuration's types, checks and JSON schema. */
export const stackSchema = z.strictObject({
  name: name.describe('of the stack; one of a name runs at a time for a user'),
  notify: z
    .enum(['poll', 'adaptive', 'event'])
    .default('adaptive')
    .describe('how drivers wait: never, after a while, at once'),
  isolation: z
    .enum(['auto', 'on', 'off'])
    .default('auto')
    .describe('domains in namespaces of their own; auto: with a notice when the kernel refuses'),
  network: z.boolean().default(true).describe('each domain has a network namespace of its own'),
  cpus: z
    .strictObject({ back: cpu.optional(), relay: cpu.optional(), front: cpu.optional() })
    .default({})
    .describe('CPU each poller is pinned to'),
  keepers: z
    .boolean()
    .default(true)
    .describe('hypervisors that die are started again, by what a keeper process beside them holds'),
  restart: z
    .enum(['never', 'always'])
    .default('never')
    .describe('drivers that end unasked are started again, with a growing pause'),
  devices: z.array(device).max(32).default([]).describe('network devices'),
  disks: z.array(disk).max(16).default([]),
});

/** A stack as its author writes it. */
export type StackConfig = z.input<typeof stackSchema>;
/** A stack with every default filled in. */
export type CheckedStackConfig = z.output<typeof stackSchema>;
/** One device of a checked configuration. */
export type CheckedDevice = CheckedStackConfig['devices'][number];
/** One disk of a checked configuration. */
export type CheckedDisk = CheckedStackConfig['disks'][number];
/** One device as its author writes it. */
export type DeviceConfig = NonNullable<StackConfig['devices']>[number];
/** How a device's frames go. */
export type DevicePath = CheckedDevice['path'];
