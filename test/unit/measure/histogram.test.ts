import { expect, test } from 'vitest';
import { Histogram } from '../../../core/measure/histogram.ts';
import { OneSecondAggregator } from '../../../core/measure/one-second-aggregator.ts';
import { seededRandom } from '../../../core/runtime/random.ts';

function exactPercentile(values: number[], fraction: number): number {
  const sorted = [...values].sort((left, right) => left - right);
  return sorted[Math.max(0, Math.ceil(fraction * sorted.length) - 1)]!;
}

test('every percentile is within 1% of the exact one, from microseconds to minutes', () => {
  const random = seededRandom(7);
  const values = Array.from({ length: 20_000 }, () => 10 ** (random.below(80_000) / 10_000 - 3));
  const histogram = new Histogram();
  for (const value of values) histogram.record(value);
  for (const fraction of [0.001, 0.01, 0.25, 0.5, 0.9, 0.95, 0.99, 0.999, 1]) {
    const exact = exactPercentile(values, fraction);
    expect(Math.abs(histogram.percentile(fraction) - exact) / exact).toBeLessThanOrEqual(0.01);
  }
  expect(histogram.maxMs).toBe(Math.max(...values));
  expect(histogram.minMs).toBe(Math.min(...values));
});

test('merging two histograms equals counting everything in one', () => {
  const random = seededRandom(8);
  const [left, right, both] = [new Histogram(), new Histogram(), new Histogram()];
  for (let index = 0; index < 1000; index += 1) {
    const value = random.below(100_000) / 100;
    (index % 3 === 0 ? left : right).record(value);
    both.record(value);
  }
  left.merge(right);
  const { sumMs, ...rest } = left.toJSON();
  const { sumMs: bothSum, ...bothRest } = both.toJSON();
  expect(rest).toEqual(bothRest);
  expect(sumMs).toBeCloseTo(bothSum, 6);
});

test('a histogram survives JSON, and a damaged one is refused', () => {
  const histogram = new Histogram();
  for (const value of [0, 0.5, 12, 12, 7_200_000]) histogram.record(value);
  const copy = Histogram.fromJSON(JSON.parse(JSON.stringify(histogram)));
  expect(copy.toJSON()).toEqual(histogram.toJSON());
  expect(copy.percentile(0.5)).toBeCloseTo(12, 0);
  const damaged = { ...histogram.toJSON(), count: 6 };
  expect(() => Histogram.fromJSON(damaged)).toThrow(expect.objectContaining({ code: 'HISTOGRAM_INVALID' }));
});

test('an empty histogram answers 0 and impossible durations are refused', () => {
  const histogram = new Histogram();
  expect([histogram.percentile(0.5), histogram.minMs, histogram.maxMs, histogram.meanMs]).toEqual([
    0, 0, 0, 0,
  ]);
  expect(Histogram.fromJSON(histogram.toJSON()).minMs).toBe(0);
  for (const value of [-1, Number.NaN, Number.POSITIVE_INFINITY]) {
    expect(() => histogram.record(value)).toThrow(expect.objectContaining({ code: 'DURATION_INVALID' }));
  }
});

test('measurements fold into seconds, out of order and with stragglers, and none is lost', () => {
  const aggregator = new OneSecondAggregator();
  const closed = [];
  for (const [endedAt, ok] of [
    [1000, true],
    [2500, true],
    [1999, false],
    [3100, true],
    [4100, true],
    [500, false],
    [9000, true],
  ] as const) {
    closed.push(...aggregator.add(endedAt, 10, ok));
  }
  closed.push(...aggregator.flush(5000), ...aggregator.flush());
  expect(closed.map(({ second, requests, failures }) => [second, requests, failures])).toEqual([
    [1, 2, 1],
    [2, 2, 1],
    [3, 1, 0],
    [4, 1, 0],
    [9, 1, 0],
  ]);
});
