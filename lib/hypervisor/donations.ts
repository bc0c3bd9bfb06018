// SPDX-License-Identifier: MIT
import type { Domain } from './domain.js';
import type { Backing } from './arena.js';
import type { Connection } from './connection.js';
import { charge } from './quota.js';
import { fromRuns, toRuns, type Runs } from './runs.js';

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

/** What a hypervisor's successor learns of a donation; domains and connections by their uid. */
export interface DonationFact {
  owner: number;
  inner: number;
  key: string;
  pages: number;
  fdOffset: number;
  grefs: Runs | null;
  fd: number;
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
    if (old) donor.vault.close(old.fd);
    const donation = { ...gift, donor, owner, inner, key };
    this.#waiting.set(key, donation);
    donor.vault.keep(gift.fd);
    const { pages, fdOffset, grefs, fd } = gift;
    const fact: DonationFact = {
      ...{ key, pages, fdOffset },
      owner: owner.uid,
      inner: inner.uid,
      grefs: grefs ? toRuns(grefs) : null,
      fd: donor.vault.idOf(fd),
    };
    donor.vault.put(`G${key}`, fact);
  }

  /** A predecessor's. */
  restore(fact: DonationFact, owner: Connection, inner: Domain, fd: number): void {
    const grefs = fact.grefs ? fromRuns(fact.grefs) : undefined;
    this.#waiting.set(fact.key, { ...fact, grefs, fd, owner, inner, donor: owner.domain });
  }

  find(kind: Kind, inner: Domain, donor: Domain, slot: Slot): Donation | undefined {
    return this.#waiting.get(keyOf(kind, donor, inner, slot));
  }

  /** The descriptor becomes the caller's. */
  consume(donation: Donation): Backing {
    this.#forget(donation);
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
      this.#forget(donation);
      donation.donor.vault.close(donation.fd);
    }
  }

  #forget({ key, donor }: Donation): void {
    this.#waiting.delete(key);
    donor.vault.put(`G${key}`, undefined);
  }
}

function keyOf(kind: Kind, donor: Domain, inner: Domain, slot: Slot): string {
  const { device, queue, purpose } = slot;
  return `${kind}/${donor.domid}/${inner.domid}/${device}/${queue}/${purpose}`;
}
