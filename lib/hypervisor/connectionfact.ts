// SPDX-License-Identifier: MIT

/** What a hypervisor's successor learns of a connection. */
export interface ConnectionFact {
  domain: number;
  fd: number;
  greeted: boolean;
}

/** A request that is carried out but perhaps not answered; descriptors by number at the keeper. */
export interface PendingFact {
  seq: number;
  /** base64 */
  body: string;
  fds: number[];
  /** Of these, those that are the domain's alone once it has the answer. */
  own: number[];
}

/** The answer to a request; `ownFds` are the domain's alone once it has it. */
export interface Answer {
  seq: number;
  body: Buffer;
  fds: number[];
  ownFds: number[];
}

/** One of a predecessor's. */
export interface RestoredConnection {
  uid: number;
  greeted: boolean;
  pending?: Answer;
}
