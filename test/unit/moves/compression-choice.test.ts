import { randomBytes } from 'node:crypto';
import { describe, expect, it } from 'vitest';
import {
  chooseLevel,
  type LevelMeasure,
  measureLevels,
  plainLevel,
  unmeasuredLevel,
} from '../../../core/moves/compression-choice.ts';

const megabyte = 1 << 20;
const measures: LevelMeasure[] = [
  { level: plainLevel, ratio: 1, bytesPerSecond: Number.POSITIVE_INFINITY },
  { level: 1, ratio: 0.25, bytesPerSecond: 300 * megabyte },
  { level: 3, ratio: 0.22, bytesPerSecond: 180 * megabyte },
  { level: 6, ratio: 0.19, bytesPerSecond: 60 * megabyte },
  { level: 9, ratio: 0.18, bytesPerSecond: 30 * megabyte },
];

describe('the level by which a state is compressed', () => {
  it.each([
    [0.6, 9, 'a slow link waits for the best'],
    [8, 6, 'a link of 64 Mbit/s for what the processor can still feed it'],
    [30, 3, 'a quicker one for less'],
    [100, 1, 'and so on'],
    [2_000, plainLevel, 'faster than any compression, it takes the state as it is'],
  ])('over %d MB/s is %d: %s', (link, level) => {
    expect(chooseLevel(measures, link * megabyte)).toBe(level);
  });

  it('falls when the processor is taken by something else', () => {
    const slow = measures.map((measure) => ({ ...measure, bytesPerSecond: measure.bytesPerSecond / 20 }));
    expect(chooseLevel(slow, 8 * megabyte)).toBe(1);
  });

  it('is none for what cannot be compressed, and the middle where nothing was measured', async () => {
    const found = await measureLevels(randomBytes(megabyte), new AbortController().signal);
    expect(found.map(({ level }) => level)).toEqual([0, 1, 3, 6, 9]);
    expect(chooseLevel(found, 6 * megabyte)).toBe(plainLevel);
    expect(chooseLevel(found, null)).toBe(unmeasuredLevel);
  });

  it('is measured on what is to be sent', async () => {
    const text = Buffer.alloc(megabyte, 'a page of a pod, and another one; ');
    const found = await measureLevels(text, new AbortController().signal);
    for (const { level, ratio, bytesPerSecond } of found.slice(1)) {
      expect(ratio, `level ${level}`).toBeLessThan(0.1);
      expect(bytesPerSecond).toBeGreaterThan(megabyte);
    }
    expect(chooseLevel(found, 6 * megabyte)).toBeGreaterThan(plainLevel);
  });
});
