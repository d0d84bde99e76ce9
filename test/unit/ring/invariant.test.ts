import { describe, expect, it } from 'vitest';
import type { MemberState } from '../../../core/ring/invariant.ts';
import { checkRingInvariant, membersNotSettled, principalsOf } from '../../../core/ring/invariant.ts';
import type { Peer } from '../../../core/ring/messages.ts';

const at = (place: number): string => place.toString(16).padStart(40, '0');
const peer = (place: number): Peer => ({
  identifier: at(place),
  name: `n${place}`,
  address: `h${place}:7400`,
});
const member = (place: number, before: number | null, after: number[]): MemberState => ({
  identifier: at(place),
  name: `n${place}`,
  predecessor: before === null ? null : peer(before),
  successors: after.map(peer),
});
const ideal = (): MemberState[] => [
  member(10, 40, [20, 30]),
  member(20, 10, [30, 40]),
  member(30, 20, [40, 10]),
  member(40, 30, [10, 20]),
];
const options = { successorListLength: 2 };
const rulesOf = (states: MemberState[], base?: string[]) =>
  checkRingInvariant(states, base ? { ...options, base } : options).violations.map(
    ({ rule, culprit }) => `${rule} ${culprit}`,
  );

describe("Zave's invariant", () => {
  it('holds on an ideal ring, and calls it settled', () => {
    expect(checkRingInvariant(ideal(), options)).toEqual({ holds: true, violations: [] });
    expect(membersNotSettled(ideal(), 2)).toEqual([]);
  });

  it('takes the usual list length unless told otherwise', () => {
    const { violations } = checkRingInvariant(ideal());
    expect(violations).toMatchObject([{ rule: 'sufficient-principals', culprit: 'the ring' }]);
  });

  it('holds while an appendage joins and while dead entries remain, though that is not settled', () => {
    const states = [...ideal(), member(25, null, [30, 40])];
    expect(rulesOf(states)).toEqual([]);
    expect(membersNotSettled(states, 2)).toContain('n25');
    expect(principalsOf(states)).not.toContain(at(25));
    const withDead = [...ideal().slice(1), member(10, 40, [15, 20])];
    expect(rulesOf(withDead)).toEqual([]);
  });

  it('names the member whose successors are all dead', () => {
    const states = [...ideal().slice(1), member(10, 40, [11, 12])];
    expect(rulesOf(states)).toContain('one-live-successor n10');
  });

  it('names the member that lists another twice, or out of order', () => {
    expect(rulesOf([...ideal().slice(1), member(10, 40, [20, 20])])).toContain('distinct-successors n10');
    expect(rulesOf([...ideal().slice(1), member(10, 40, [30, 20])])).toContain('ordered-successors n10');
  });

  it('finds a second ring', () => {
    const states = [...ideal(), member(25, 35, [35]), member(35, 25, [25])];
    expect(rulesOf(states)).toContain('at-most-one-ring n25');
  });

  it('finds a ring that goes round twice', () => {
    const states = [member(10, 40, [30]), member(30, 10, [20]), member(20, 30, [40]), member(40, 20, [10])];
    const found = rulesOf(states);
    expect(found).toContain('ordered-ring n10');
    expect(found.some((rule) => rule.startsWith('sufficient-principals'))).toBe(true);
  });

  it('names the member that skips one of the base', () => {
    const states = [...ideal().slice(1), member(10, 40, [30, 40])];
    expect(rulesOf(states, [at(20)])).toContain('base-not-skipped n10');
    expect(rulesOf(states, [at(30)])).toEqual([]);
  });

  it('asks for one principal more than the lists are long', () => {
    const skipping = [
      member(10, 40, [30, 40]),
      member(20, 10, [40, 10]),
      member(30, 20, [40, 10]),
      member(40, 30, [10, 20]),
    ];
    expect(rulesOf(skipping)).toEqual([expect.stringContaining('sufficient-principals')]);
    const small = [member(10, 20, [20]), member(20, 10, [10])];
    expect(rulesOf(small)).toEqual(['sufficient-principals the ring']);
  });
});
