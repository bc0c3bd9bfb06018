// SPDX-License-Identifier: MIT
import { split, strings, XS } from './wire.js';

/** Who may do what with a node. The first is the owner; its letter is everybody else's right. */
export interface StorePermission {
  domid: number;
  /** `n` nothing, `r` read, `w` write, `b` both. */
  access: 'n' | 'r' | 'w' | 'b';
}

export interface StoreCallOptions {
  signal?: AbortSignal;
}

/**
 * The verbs that work inside and outside a transaction. Paths are absolute or relative to
 * `/local/domain/<domid>`. Rejections are NestfrontErrors with the server's errno: `NF_ENOENT`,
 * `NF_EACCES`, `NF_EEXIST`, `NF_ENOSPC` (quota), `NF_EAGAIN` (transaction conflict).
 */
export abstract class StoreView {
  protected abstract request(
    type: number,
    payload: Buffer,
    op: string,
    options: StoreCallOptions,
  ): Promise<Buffer>;

  async read(path: string, options: StoreCallOptions = {}): Promise<string> {
    return (await this.readBytes(path, options)).toString();
  }

  readBytes(path: string, options: StoreCallOptions = {}): Promise<Buffer> {
    return this.request(XS.READ, strings(checkPath(path)), `read ${path}`, options);
  }

  /** undefined instead of `NF_ENOENT`. */
  async readIfThere(path: string, options: StoreCallOptions = {}): Promise<string | undefined> {
    try {
      return await this.read(path, options);
    } catch (error) {
      if ((error as { code?: string }).code === 'NF_ENOENT') return undefined;
      throw error;
    }
  }

  /** Creates missing parents. */
  async write(
    path: string,
    value: string | Uint8Array,
    options: StoreCallOptions = {},
  ): Promise<void> {
    const bytes = typeof value === 'string' ? Buffer.from(value) : value;
    const payload = Buffer.concat([strings(checkPath(path)), bytes]);
    await this.request(XS.WRITE, payload, `write ${path}`, options);
  }

  async mkdir(path: string, options: StoreCallOptions = {}): Promise<void> {
    await this.request(XS.MKDIR, strings(checkPath(path)), `mkdir ${path}`, options);
  }

  /** With everything below. A missing node is fine if its parent exists, else `NF_ENOENT`. */
  async rm(path: string, options: StoreCallOptions = {}): Promise<void> {
    await this.request(XS.RM, strings(checkPath(path)), `rm ${path}`, options);
  }

  /** Names of the children; reads large directories in parts. */
  async directory(path: string, options: StoreCallOptions = {}): Promise<string[]> {
    const op = `directory ${path}`;
    const answer = await this.request(XS.DIRECTORY, strings(checkPath(path)), op, options).catch(
      (error: unknown) => {
        if ((error as { cause?: { code?: string } }).cause?.code === 'E2BIG') return undefined;
        throw error;
      },
    );
    return answer ? split(answer).slice(0, -1) : this.#directoryParts(path, options);
  }

  async getPerms(path: string, options: StoreCallOptions = {}): Promise<StorePermission[]> {
    const payload = strings(checkPath(path));
    const answer = await this.request(XS.GET_PERMS, payload, `get_perms ${path}`, options);
    return split(answer)
      .slice(0, -1)
      .map((text) => ({
        domid: Number(text.slice(1)),
        access: text.slice(0, 1) as StorePermission['access'],
      }));
  }

  async setPerms(
    path: string,
    permissions: readonly StorePermission[],
    options: StoreCallOptions = {},
  ): Promise<void> {
    const words = permissions.map(({ domid, access }) => `${access}${domid}`);
    const payload = strings(checkPath(path), ...words);
    await this.request(XS.SET_PERMS, payload, `set_perms ${path}`, options);
  }

  /** `/local/domain/<domid>` */
  async domainPath(domid: number, options: StoreCallOptions = {}): Promise<string> {
    const payload = strings(String(domid));
    const answer = await this.request(XS.GET_DOMAIN_PATH, payload, 'get_domain_path', options);
    return split(answer)[0] ?? '';
  }

  async isIntroduced(domid: number, options: StoreCallOptions = {}): Promise<boolean> {
    const payload = strings(String(domid));
    const op = 'is_domain_introduced';
    const answer = await this.request(XS.IS_DOMAIN_INTRODUCED, payload, op, options);
    return split(answer)[0] === 'T';
  }

  async #directoryParts(path: string, options: StoreCallOptions): Promise<string[]> {
    for (;;) {
      let generation: string | undefined;
      let text = '';
      for (;;) {
        const payload = strings(path, String(text.length));
        const op = `directory ${path}`;
        const answer = await this.request(XS.DIRECTORY_PART, payload, op, options);
        const cut = answer.indexOf(0);
        const seen = answer.toString('latin1', 0, cut);
        generation ??= seen;
        if (seen !== generation) break; // it changed under us: from the start
        text += answer.toString('latin1', cut + 1);
        if (text.endsWith('\0\0') || text === '\0') return text.split('\0').filter(Boolean);
      }
    }
  }
}

/** @throws TypeError for what no path can be */
export function checkPath(path: string): string {
  if (typeof path !== 'string') throw new TypeError('a store path must be a string');
  if (path === '' || path.includes('\0')) throw new TypeError(`'${path}' is not a store path`);
  return path;
}
