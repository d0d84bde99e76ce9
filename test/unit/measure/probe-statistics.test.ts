import { expect, test } from 'vitest';
import type { ProbeSample } from '../../../core/measure/probe-sample.ts';
import {
  disruption,
  firstRightAnswerAfter,
  longestStall,
  summarizeProbes,
} from '../../../core/measure/probe-statistics.ts';

const sample = (startedAt: number, durationMs = 5, outcome: ProbeSample['outcome'] = 'ok'): ProbeSample => ({
  startedAt,
  durationMs,
  outcome,
});
/** One probe each 10 ms from `from` up to `to`, as `shape` says. */
function run(
  from: number,
  to: number,
  shape: (at: number) => ProbeSample = (at) => sample(at),
): ProbeSample[] {
  const samples = [];
  for (let at = from; at < to; at += 10) samples.push(shape(at));
  return samples;
}

test('a failure counts as the whole limit in the percentiles', () => {
  const summary = summarizeProbes([...run(0, 90), sample(90, 1, 'reset')], 5000);
  expect(summary.requests).toBe(10);
  expect(summary.failures).toBe(1);
  expect(summary.p50Ms).toBeCloseTo(5, 1);
  expect(summary.p95Ms).toBe(5000);
});

test('a stall lasts from one right answer to the next', () => {
  const frozen = run(0, 1000, (at) => (at >= 300 && at < 700 ? sample(at, 705 - at) : sample(at)));
  expect(longestStall(frozen)).toBeCloseTo(705 - 295, 6);
  expect(longestStall(run(0, 1000))).toBeCloseTo(10, 6);
});

test('quick refusals in a row are one stall, a pause in the probing is none', () => {
  const refused = run(0, 1000, (at) => (at >= 200 && at < 800 ? sample(at, 1, 'refused') : sample(at)));
  expect(longestStall(refused)).toBeCloseTo(805 - 195, 6);
  expect(longestStall([...run(0, 1000), ...run(31_000, 32_000)])).toBeCloseTo(10, 6);
});

test('answers that never come right again are a stall to the last failure', () => {
  const lost = run(0, 1000, (at) => (at >= 500 ? sample(at, 5000, 'timeout') : sample(at)));
  expect(longestStall(lost)).toBeCloseTo(990 + 5000 - 495, 6);
});

test('the first right answer is the first to be complete, and failures are none', () => {
  const samples = [sample(100, 900), sample(200, 10, 'wrong'), sample(300, 20), sample(310, 40)];
  expect(firstRightAnswerAfter(samples, 201)).toBe(320);
  expect(firstRightAnswerAfter(samples, 321)).toBe(350);
  expect(firstRightAnswerAfter(samples, 1001)).toBeUndefined();
});

test('a disruption ends with the answer from which on all is quick', () => {
  const samples = run(0, 5000, (at) => (at >= 1100 && at < 2000 ? sample(at, 2005 - at) : sample(at)));
  expect(disruption(samples, 1000, 5, 1100)).toBeCloseTo(1000 + 5, 0);
});

test('calm before the freeze does not end a disruption that is still to come', () => {
  const samples = run(0, 5000, (at) => (at >= 2000 && at < 2600 ? sample(at, 2610 - at) : sample(at)));
  expect(disruption(samples, 1000, 5)).toBeCloseTo(5, 6);
  expect(disruption(samples, 1000, 5, 2000)).toBeCloseTo(1605, 0);
});

test('a single slow answer does not hold up the end, a failure or many slow ones do', () => {
  const oneSlow = run(0, 3000, (at) => (at === 1200 ? sample(at, 50) : sample(at)));
  expect(disruption(oneSlow, 1000, 5)).toBeCloseTo(5, 6);
  const oneFailed = run(0, 3000, (at) => (at === 1200 ? sample(at, 5, 'reset') : sample(at)));
  expect(disruption(oneFailed, 1000, 5)).toBeCloseTo(215, 6);
  const tenthSlow = run(0, 3000, (at) => (at % 100 === 0 && at < 2000 ? sample(at, 50) : sample(at)));
  expect(disruption(tenthSlow, 1000, 5)).toBeGreaterThan(500);
});

test('no end is claimed when the samples stop before it can be known', () => {
  expect(disruption(run(0, 1400), 1000, 5)).toBeUndefined();
  expect(disruption([], 1000, 5)).toBeUndefined();
  expect(
    disruption(
      run(0, 3000, (at) => sample(at, 400)),
      1000,
      5,
    ),
  ).toBeUndefined();
});
