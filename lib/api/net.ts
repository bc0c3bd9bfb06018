// SPDX-License-Identifier: MIT
import { DeviceEnd, DeviceLink } from './ends.js';
import { backPath, frontPath, writeNodes } from './netnodes.js';
import type { NetOptions, RelayKeys } from './netnodes.js';

/** The guest's end of a network device. */
export class Netfront extends DeviceEnd {
  readonly kind = 'netfront';
}

/** The provider's end of a network device. */
export class Netback extends DeviceEnd {
  readonly kind = 'netback';
}

/** A network device on one layer: both ends, attached and detached together. */
export class NetLink extends DeviceLink<Netfront, Netback> {
  protected readonly noun = 'net';

  private constructor(o: NetOptions) {
    const { store, devid } = o;
    const [front, back] = [o.front.domain, o.back.domain];
    super(
      store,
      new Netfront({ store, devid, path: frontPath(o), domain: front, peer: back }),
      new Netback({ store, devid, path: backPath(o), domain: back, peer: front }),
    );
  }

  /**
   * Writes both ends' nodes; the drivers in the two domains find them and connect.
   * @throws NestfrontError `NF_EEXIST` the devid is taken; RangeError a number is outside its range
   */
  static async attach(options: NetOptions, keys: RelayKeys = {}): Promise<NetLink> {
    await writeNodes(options, keys);
    return new NetLink(options);
  }
}
