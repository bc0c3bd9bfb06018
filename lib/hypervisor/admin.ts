// SPDX-License-Identifier: MIT
import { readdirSync } from 'node:fs';
import { native, type NativeSeqSocket } from '../native.cjs';
import { ADMIN_VERSION, type AdminReply, type HypervisorStats } from './adminmsg.js';
import { readonlyFd } from './domain.js';
import type { Hypervisor } from './hypervisor.js';
import { listGrants, listPorts } from './inspect.js';
import { errnoOfThrown, Refusal } from './refusal.js';

/** Replies waiting for a toolstack that does not read; beyond, it is dropped. */
const UNSENT_MAX = 256;

interface Outcome {
  result?: unknown;
  /** Handed out and closed here. */
  fd?: number;
  /** Handed out, kept. */
  lentFd?: number;
}

type Args = Readonly<Record<string, unknown>>;

/** One toolstack's connection. Everything it asks for is allowed: its uid was checked before. */
export class AdminConnection {
  readonly #hv: Hypervisor;
  readonly #socket: NativeSeqSocket;
  readonly #onClose: () => void;
  readonly #onShutdown: () => void;
  readonly #unsent: { data: Buffer; outcome: Outcome }[] = [];

  /** @param fd ownership passes */
  constructor(hv: Hypervisor, fd: number, onClose: () => void, onShutdown: () => void) {
    this.#hv = hv;
    this.#onClose = onClose;
    this.#onShutdown = onShutdown;
    this.#socket = new native.SeqSocket(fd, {
      onMessage: (data, fds, truncated) => this.#onMessage(data, fds, truncated),
      onClose: () => this.close(),
      onWritable: () => this.#flush(),
    });
  }

  close(): void {
    this.#socket.close();
    for (const { outcome } of this.#unsent.splice(0)) closeOwn(outcome);
    this.#onClose();
  }

  #onMessage(data: Buffer, fds: number[], truncated: boolean): void {
    for (const fd of fds) native.close(fd); // no request brings any
    let request: Args;
    try {
      request = JSON.parse(data.toString()) as Args;
      if (truncated || typeof request.id !== 'number') throw new TypeError('no id');
    } catch (error) {
      this.#hv.log(`admin connection closed: not a request: ${(error as Error).message}`);
      return this.close();
    }
    const { id } = request;
    let reply: AdminReply;
    let outcome: Outcome = {};
    try {
      outcome = this.#hv.vault.step(() => this.#run(String(request.op), request));
      reply = { id, ok: true, result: outcome.result ?? null };
    } catch (error) {
      const message = (error as Error).message;
      reply = { id, ok: false, errno: errnoOfThrown(error), message };
      if (!(error instanceof Refusal)) this.#hv.log(String((error as Error).stack));
    }
    this.#unsent.push({ data: Buffer.from(JSON.stringify(reply)), outcome });
    this.#flush();
    if (request.op === 'shutdown' && reply.ok) this.#onShutdown();
  }

  #flush(): void {
    for (let next = this.#unsent[0]; next; next = this.#unsent[0]) {
      const fd = next.outcome.fd ?? next.outcome.lentFd;
      try {
        if (!this.#socket.send(next.data, fd === undefined ? [] : [fd])) {
          if (this.#unsent.length > UNSENT_MAX) return this.close();
          return this.#socket.wantWritable();
        }
      } catch (error) {
        this.#hv.log(`admin connection closed: ${(error as Error).message}`);
        return this.close();
      }
      closeOwn(next.outcome);
      this.#unsent.shift();
    }
  }

  #run(op: string, args: Args): Outcome {
    const hv = this.#hv;
    switch (op) {
      case 'hello':
        if (args.version !== ADMIN_VERSION) {
          throw new Refusal('EPROTONOSUPPORT', `this hypervisor speaks version ${ADMIN_VERSION}`);
        }
        return { result: { name: hv.name, pid: process.pid } };
      case 'createDomain': {
        const { name, privileged, domid } = args;
        const wanted = domid === undefined ? undefined : domidOf(domid);
        const domain = hv.createDomain(nameOf(name), privileged === true, wanted);
        return { result: { domid: domain.domid } };
      }
      case 'connectDomain':
        return { fd: hv.connect(hv.living(domidOf(args.domid))) };
      case 'destroyDomain':
        hv.destroyDomain(domidOf(args.domid));
        return {};
      case 'listDomains':
        return { result: [...hv.domains.values()].map((domain) => domain.info()) };
      case 'listGrants':
        return { result: listGrants(hv, Number(args.from ?? 0)) };
      case 'listPorts':
        return { result: listPorts(hv, Number(args.from ?? 0)) };
      case 'counters':
        return { fd: readonlyFd(this.#known(args).countersFd) };
      case 'control':
        return { lentFd: this.#known(args).controlFd };
      case 'store':
        return { fd: this.#openStore() };
      case 'stats':
        return { result: stats(hv) };
      case 'shutdown':
        return {};
      default:
        throw new Refusal('ENOSYS', `no operation ${op}`);
    }
  }

  /** Also a dead one's pages are there until it is destroyed. */
  #known({ domid }: Args): { countersFd: number; controlFd: number } {
    const domain = this.#hv.domains.get(domidOf(domid));
    if (!domain) throw new Refusal('ENOENT', `no domain ${String(domid)}`);
    return domain;
  }

  #openStore(): number {
    const [ours, theirs] = native.streamPair();
    this.#hv.attachStore(ours, 0, true);
    return theirs;
  }
}

function closeOwn(outcome: Outcome): void {
  if (outcome.fd !== undefined) native.close(outcome.fd);
}

function domidOf(value: unknown): number {
  if (Number.isInteger(value) && (value as number) >= 0 && (value as number) < 0x7ff0) {
    return value as number;
  }
  throw new Refusal('ERANGE', `${String(value)} is not a domid (0 to 32751)`);
}

function nameOf(value: unknown): string {
  if (typeof value === 'string' && /^[A-Za-z0-9][A-Za-z0-9._-]{0,62}$/.test(value)) return value;
  throw new Refusal('EINVAL', `${JSON.stringify(value)} is not a name (letters, digits, . _ -)`);
}

function stats(hv: Hypervisor): HypervisorStats {
  const sum = (of: (domain: Parameters<typeof hv.domains.set>[1]) => number): number =>
    [...hv.domains.values()].reduce((total, domain) => total + of(domain), 0);
  const { connections, nodes, watches } = hv.store.counts;
  return {
    name: hv.name,
    pid: process.pid,
    domains: hv.domains.size,
    arenas: sum((d) => d.arenas.size),
    pages: sum((d) => d.pages),
    quarantinedArenas: sum((d) => d.quarantine.size),
    quarantinedPages: sum((d) => d.quarantinedPages),
    ports: sum((d) => d.ports.size),
    donations: hv.donations.size,
    storeConnections: connections,
    storeNodes: nodes,
    watches,
    fds: openFds(),
  };
}

function openFds(): number {
  try {
    return readdirSync('/proc/self/fd').length;
  } catch {
    return -1; // no /proc in this namespace
  }
}
