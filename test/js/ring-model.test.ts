// SPDX-License-Identifier: MIT
import test from 'ava';
import fc from 'fast-check';
import {
  BackModel,
  EAGAIN,
  EPROTO,
  FrontModel,
  createSharedRing,
  eventCrossed,
  ringCount,
} from '../../lib/ring/model.js';

const anyIndex = fc.oneof(
  fc.integer({ min: 0, max: 0xffffffff }),
  fc.constantFrom(0, 1, 0x7fffff80, 0x7fffffff, 0x80000000, 0xffffff80, 0xffffffff),
);

function pair(first: number): {
  shared: ReturnType<typeof createSharedRing>;
  f: FrontModel;
  b: BackModel;
} {
  const shared = createSharedRing(4096, 12);
  shared.reqProd = shared.rspProd = first;
  shared.reqEvent = shared.rspEvent = (first + 1) >>> 0;
  return { shared, f: new FrontModel(shared, first), b: new BackModel(shared, first) };
}

test('a page holds the slots Xen says it holds', (t) => {
  t.is(ringCount(4096, 12), 256);
  t.is(ringCount(4096, 8), 256);
  t.is(ringCount(4096, 16), 128);
  t.is(ringCount(4096, 112), 32);
  t.is(ringCount(75, 12), 0);
  t.is(ringCount(76, 12), 1);
  t.is(ringCount(4096, 0), 0);
  t.throws(() => createSharedRing(64, 12), { instanceOf: RangeError });
});

test('an event is crossed exactly when it lies in what was published', (t) => {
  fc.assert(
    fc.property(anyIndex, fc.integer({ min: 1, max: 256 }), anyIndex, (old, by, event) => {
      const now = (old + by) >>> 0;
      const distance = (event - old) >>> 0; // 1 .. by: inside (old, now]
      t.is(eventCrossed(now, old, event), distance >= 1 && distance <= by);
    }),
  );
});

test('what goes in comes out, in order, from any index', (t) => {
  const batches = fc.array(fc.integer({ min: 1, max: 300 }), { minLength: 1, maxLength: 20 });
  fc.assert(
    fc.property(anyIndex, batches, (first, sizes) => {
      const { f, b } = pair(first);
      let next = 0;
      let seen = 0;
      let reaped = 0;
      for (const size of sizes) {
        for (let i = 0; i < size && f.put(next) >= 0; i++) next++;
        f.push();
        for (let v = b.take(); v !== EAGAIN; v = b.take()) {
          t.is(v, seen++);
          t.true(b.put(v + 1) >= 0);
        }
        b.push();
        for (let v = f.take(); v !== EAGAIN; v = f.take()) t.is(v, ++reaped);
      }
      t.is(reaped, next);
      t.is(f.error, 0);
      t.is(b.error, 0);
    }),
    { numRuns: 50 },
  );
});

test('an armed end is told: no wake-up is lost', (t) => {
  fc.assert(
    fc.property(
      anyIndex,
      fc.integer({ min: 1, max: 256 }),
      fc.integer({ min: 1, max: 256 }),
      (first, after, n) => {
        const { f, b } = pair(first);
        t.is(b.arm(after), 0);
        let notified = 0;
        for (let i = 0; i < n; i++) {
          f.put(i);
          notified += f.push() ? 1 : 0;
        }
        t.is(notified, n >= after ? 1 : 0);
      },
    ),
  );
});

test('a producer that claims too much is refused for good and nothing private moves', (t) => {
  fc.assert(
    fc.property(anyIndex, fc.integer({ min: 257, max: 0xffffffff }), (first, claim) => {
      const { shared, b } = pair(first);
      shared.reqProd = (first + claim) >>> 0;
      t.is(b.pending(), EPROTO);
      t.is(b.reqCons, first);
      shared.reqProd = (first + 1) >>> 0;
      t.is(b.pending(), EPROTO);
      t.is(b.take(), EPROTO);
    }),
  );
  fc.assert(
    fc.property(anyIndex, fc.integer({ min: 0, max: 256 }), anyIndex, (first, sent, rspProd) => {
      const { shared, f } = pair(first);
      for (let i = 0; i < sent; i++) f.put(i);
      shared.rspProd = rspProd;
      const claimed = (rspProd - first) >>> 0;
      t.is(f.pending(), claimed <= sent ? claimed : EPROTO);
      t.is(f.rspCons, first);
    }),
  );
});
