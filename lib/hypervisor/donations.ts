// SPDX-License-Identifier: MIT
import { native } from '../native.cjs';
import type { Domain } from './domain.js';
import type { Backing } from './arena.js';
import type { Connection } from './connection.js';
import { charge } from './quota.js';

type Kind = 'pages' | 'channel';

/** What of a key decides which allocation a donation is for. */
interface Slot {
  device: number;
  queue: number;
  purpose: number;
}

interface Gift {
  fd: number;
  pages: number;
  fdOffset: number;
  /** Numbers the inner domain's grants must have. */
  grefs: Uint32Array | undefined;
}

export interface Donation extends Gift {
  readonly donor: Domain;
  /** Through which it was given: it goes with that. */
  readonly owner: Connection;
  readonly inner: Domain;
  readonly key: string;
}

/**
 * Pages and channel ends of an outer layer, waiting for the inner domain's next allocation for the
 * same (device, queue, purpose) towards the donor. Donating again replaces.
 */
export class Donations {
  readonly #waiting = new Map<string, Donation>();

  get size(): number {
    return this.#waiting.size;
  }

  /** Takes ownership of `gift.fd`. */
  add(kind: Kind, owner: Connection, inner: Domain, slot: Slot, gift: Gift): void {
    const donor = owner.domain;
    const key = keyOf(kind, donor, inner, slot);
    const old = this.#waiting.get(key);
    let count = 0;
    for (const donation of this.#waiting.values()) if (donation.donor === donor) count++;
    if (!old) charge('donations', count);
    if (old) native.close(old.fd);
    this.#waiting.set(key, { ...gift, donor, owner, inner, key });
  }

  find(kind: Kind, inner: Domain, donor: Domain, slot: Slot): Donation | undefined {
    return this.#waiting.get(keyOf(kind, donor, inner, slot));
  }

  /** The descriptor becomes the caller's. */
  consume(donation: Donation): Backing {
    this.#waiting.delete(donation.key);
    return { fd: donation.fd, fdOffset: donation.fdOffset };
  }

  /** Drops what a dead domain gave or was to get. */
  forget(domain: Domain): void {
    this.#drop(({ donor, inner }) => donor === domain || inner === domain);
  }

  /** Drops what a process gave that is gone: nobody is to get pages of its last life. */
  forgetOwner(connection: Connection): void {
    this.#drop(({ owner }) => owner === connection);
  }

  #drop(which: (donation: Donation) => boolean): void {
    for (const donation of this.#waiting.values()) {
      if (!which(donation)) continue;
      this.#waiting.delete(donation.key);
      native.close(donation.fd);
    }
  }
}

function keyOf(kind: Kind, donor: Domain, inner: Domain, slot: Slot): string {
  const { device, queue, purpose } = slot;
  return `${kind}/${donor.domid}/${inner.domid}/${device}/${queue}/${purpose}`;
}
