// SPDX-License-Identifier: MIT
/** The console's @@NF lines as results. */
export interface ScenarioResult {
  name: string;
  status: 'pass' | 'fail' | 'skip';
  /** First check that failed, or why it was skipped. */
  reason?: string;
  /** The provider. sha256 of Debian's files: Xen, kernel, and one over the list of all modules. */
  l0: {
    xen: string;
    kernel: string;
    sha256: { xen: string; kernel: string; modules: string };
  };
  front: { impl: 'stock' | 'nestfront' };
  back: { impl: 'stock' | 'nestfront' };
  checks: { name: string; ok: boolean; detail?: string }[];
  /** Figures a scenario gives besides. */
  values: Record<string, number>;
  /** Counters of our own ends, by end: what `nestfrontd` counted. */
  counters: Record<string, Record<string, number>>;
  /** `bytes` went through streams hashed at both ends. */
  net: {
    bytes: number;
    hashOk: boolean;
    lossPercent?: number;
    mbitPerSecond?: { up: number; down: number };
  };
  /** Absent where no disk was used. `bytes` were written with a pattern and read back. */
  blk?: { bytes: number; verifyErrors: number; fsckClean: boolean };
  seconds: number;
  /** File with the whole console of the boot. */
  console: string;
}

/** One boot's collector: feed it lines, read `scenarios`. */
export class Collector {
  readonly scenarios: ScenarioResult[] = [];
  readonly faults: string[] = [];
  /** sha256 of the modules in dom0's file system, as dom0 sees it. */
  readonly modules = new Map<string, string>();
  /** What `lab bench` measured, as its job says it. */
  readonly samples: string[] = [];
  #open: ScenarioResult | undefined;
  #begun = 0;

  readonly #make: (name: string) => ScenarioResult;

  constructor(make: (name: string) => ScenarioResult) {
    this.#make = make;
  }

  line(text: string, seconds: number): void {
    const m = /@@NF (\w+) ?(.*)$/.exec(text);
    if (!m) return;
    const [, verb, rest = ''] = m;
    const [first = '', second = '', ...more] = rest.split(' ');
    if (verb === 'begin') this.#begin(first, seconds);
    else if (verb === 'end') this.#end(first, seconds);
    else if (verb === 'check') this.#check(first, second === 'ok', more.join(' '));
    else if (verb === 'value') this.#value(first, Number(second));
    else if (verb === 'blk') this.#blk(first, Number(second));
    else if (verb === 'counter' && this.#open) this.#counter(first, second, Number(more[0]));
    else if (verb === 'skip' && this.#open) this.#skip(rest);
    else if (verb === 'sample') this.samples.push(rest);
    else if (verb === 'module') this.modules.set(first, second);
    else if (verb === 'fault') this.faults.push(rest);
  }

  /** A boot that ended in the middle of a scenario failed it. */
  close(how: string, seconds: number): void {
    if (!this.#open) return;
    this.#check('boot', false, `the machine ${how} in the middle`);
    this.#end(this.#open.name, seconds);
  }

  #begin(name: string, seconds: number): void {
    this.#open = this.#make(name);
    this.#begun = seconds;
    this.scenarios.push(this.#open);
  }

  #check(name: string, ok: boolean, detail: string): void {
    const s = this.#open;
    if (!s) {
      if (!ok) this.faults.push(`${name}: ${detail}`);
      return;
    }
    s.checks.push(detail === '' ? { name, ok } : { name, ok, detail });
    if (ok || s.status === 'fail') return;
    s.status = 'fail';
    s.reason = `${name}: ${detail}`;
  }

  #value(key: string, value: number): void {
    const s = this.#open;
    if (!s) return;
    if (!Number.isFinite(value)) this.faults.push(`${s.name}: ${key} is no number`);
    else if (key === 'bytes') s.net.bytes += value;
    else if (key === 'lossPercent') s.net.lossPercent = value;
    else s.values[key] = value;
  }

  /** `bytes` and `verifyErrors` add up; one file system that was not clean spoils `fsckClean`. */
  #blk(key: string, value: number): void {
    const s = this.#open;
    if (!s) return;
    s.blk ??= { bytes: 0, verifyErrors: 0, fsckClean: true };
    if (!Number.isFinite(value)) this.faults.push(`${s.name}: blk ${key} is no number`);
    else if (key === 'fsckClean') s.blk.fsckClean &&= value === 1;
    else if (key === 'bytes' || key === 'verifyErrors') s.blk[key] += value;
    else this.faults.push(`${s.name}: no field blk ${key}`);
  }

  #counter(end: string, key: string, value: number): void {
    const s = this.#open;
    if (s && Number.isFinite(value)) (s.counters[end] ??= {})[key] = value;
  }

  #skip(reason: string): void {
    if (!this.#open) return;
    this.#open.status = 'skip';
    this.#open.reason = reason;
  }

  #end(name: string, seconds: number): void {
    const s = this.#open;
    if (!s) return;
    this.#open = undefined;
    s.seconds = Math.round((seconds - this.#begun) * 10) / 10;
    if (s.name !== name) this.faults.push(`${s.name} was ended as ${name}`);
    const streams = s.checks.filter((c) => c.name.startsWith('stream'));
    s.net.hashOk = s.net.bytes > 0 && streams.length > 0 && streams.every((c) => c.ok);
    const { mbitUp, mbitDown } = s.values;
    if (mbitUp !== undefined && mbitDown !== undefined)
      s.net.mbitPerSecond = { up: mbitUp, down: mbitDown };
    if (s.checks.length === 0 && s.status === 'pass') {
      s.status = 'fail';
      s.reason = 'it ended without having checked anything';
    }
  }
}
