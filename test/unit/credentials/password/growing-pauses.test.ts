import { describe, expect, it } from 'vitest';
import { GrowingPauses } from '../../../../core/credentials/password/growing-pauses.ts';
import { HandClock } from '../../../support/hand-clock.ts';

const bounds = { free: 2, firstMs: 1000, longestMs: 5000, forgetMs: 60_000, keys: 3 };

describe('growing pauses', () => {
  it('double with each failure beyond the free ones, up to the longest', () => {
    const pauses = new GrowingPauses(new HandClock(), bounds);
    const after = Array.from({ length: 7 }, () => {
      pauses.failed('a');
      return pauses.pauseOf('a');
    });
    expect(after).toEqual([0, 1000, 2000, 4000, 5000, 5000, 5000]);
    expect(pauses.pauseOf('b')).toBe(0);
  });

  it('end, and are forgotten one failure after the other', () => {
    const clock = new HandClock();
    const pauses = new GrowingPauses(clock, bounds);
    for (let time = 0; time < 4; time += 1) pauses.failed('a');
    clock.turn(1500);
    expect(pauses.pauseOf('a')).toBe(2500);
    clock.turn(2500);
    expect(pauses.pauseOf('a')).toBe(0);
    clock.turn(120_000 - 4000);
    // two of four failures are forgotten
    pauses.failed('a');
    expect(pauses.pauseOf('a')).toBe(2000);
  });

  it('are taken back', () => {
    const pauses = new GrowingPauses(new HandClock(), bounds);
    for (let time = 0; time < 3; time += 1) pauses.failed('a');
    pauses.undo('a');
    expect(pauses.pauseOf('a')).toBe(1000);
    pauses.clear('a');
    expect(pauses.pauseOf('a')).toBe(0);
    pauses.undo('a');
    expect(pauses.size).toBe(0);
  });

  it('are kept for a bounded number of keys, those that failed last', () => {
    const pauses = new GrowingPauses(new HandClock(), bounds);
    for (const key of ['a', 'b', 'c', 'a', 'd']) pauses.failed(key);
    expect(pauses.size).toBe(3);
    expect(pauses.pauseOf('a')).toBe(1000);
  });
});
