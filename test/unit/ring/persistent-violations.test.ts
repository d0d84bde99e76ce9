import { describe, expect, it } from 'vitest';
import type { RingViolation } from '../../../core/ring/invariant.ts';
import { PersistentViolations } from '../../../core/ring/persistent-violations.ts';
import { suitableSuccessorListLength } from '../../../core/ring/ring-node-options.ts';

const violation = (rule: RingViolation['rule'], culprit: string): RingViolation => ({
  rule,
  culprit,
  detail: `${culprit} breaks ${rule}.`,
});
const order = violation('ordered-ring', 'n1');
const skip = violation('sufficient-principals', 'n2');

describe('violations that are read one after the other', () => {
  it('count when the same culprit breaks the same rule in every one of several readings', () => {
    const lasting = new PersistentViolations(3);
    expect(lasting.observe([order, skip])).toEqual([]);
    expect(lasting.observe([skip, order])).toEqual([]);
    expect(lasting.observe([order])).toEqual([order]);
    expect(lasting.observe([order, skip])).toEqual([order]);
  });

  it('begin anew after a reading without them, and not for another culprit or rule', () => {
    const lasting = new PersistentViolations(2);
    expect(lasting.observe([order])).toEqual([]);
    expect(lasting.observe([])).toEqual([]);
    expect(lasting.observe([order])).toEqual([]);
    expect(lasting.observe([violation('ordered-ring', 'n3')])).toEqual([]);
    expect(lasting.observe([violation('ordered-successors', 'n3')])).toEqual([]);
  });

  it('of the same kind in one reading count once', () => {
    const lasting = new PersistentViolations(2);
    expect(lasting.observe([order, { ...order, detail: 'And again.' }])).toEqual([]);
    expect(lasting.observe([order])).toEqual([order]);
  });
});

describe('the length of successor lists', () => {
  it.each([
    [5, 4],
    [8, 4],
    [16, 7],
    [32, 10],
    [64, 12],
    [10_000, 16],
  ])('suits %i members with %i', (members, length) => {
    expect(suitableSuccessorListLength(members)).toBe(length);
  });

  it('leaves a ring when half of the members fail at once', () => {
    for (let members = 10; members <= 400; members += 1)
      expect(Math.ceil(members / 2)).toBeGreaterThanOrEqual(suitableSuccessorListLength(members) + 1);
  });
});
