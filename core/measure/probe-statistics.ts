import { Histogram } from './histogram.ts';
import { endOf, type ProbeSample, type ProbeSummary } from './probe-sample.ts';

/** Milliseconds that answers have to stay quick before a disruption counts as over. */
const STABLE_MS = 500;
/** Share of the answers in that time that must be quick: the same share that a p95 speaks of. */
const STABLE_SHARE = 0.95;
/** Longer than this without any request waiting, the probe was paused and the time is no stall. */
const PAUSE_MS = 250;

/**
 * Sums up samples in any order. A failure counts as `limitMs` in the percentiles, since the person who
 * asked never got the answer: otherwise a service that resets at once would look quick.
 */
export function summarizeProbes(samples: readonly ProbeSample[], limitMs: number): ProbeSummary {
  const durations = new Histogram();
  let failures = 0;
  for (const sample of samples) {
    if (sample.outcome !== 'ok') failures += 1;
    durations.record(sample.outcome === 'ok' ? sample.durationMs : Math.max(limitMs, sample.durationMs));
  }
  return {
    requests: samples.length,
    failures,
    p50Ms: durations.percentile(0.5),
    p95Ms: durations.percentile(0.95),
    longestStallMs: longestStall(samples),
  };
}

/**
 * The longest time in milliseconds between two right answers (or from the first request to the first right
 * answer, or from the last right answer to the last failure). Time with no request waiting counts up to a
 * quarter of a second at a stretch: quick refusals in a row are one stall, a pause in the probing is none.
 */
export function longestStall(samples: readonly ProbeSample[]): number {
  const marks: { at: number; waiting: number; right: boolean }[] = [];
  for (const sample of samples) {
    marks.push({ at: sample.startedAt, waiting: 1, right: false });
    marks.push({ at: endOf(sample), waiting: -1, right: sample.outcome === 'ok' });
  }
  marks.sort((left, right) => left.at - right.at || right.waiting - left.waiting);
  let longest = 0;
  let current = 0;
  let waiting = 0;
  let since = marks[0]?.at ?? 0;
  for (const mark of marks) {
    if (waiting > 0 || mark.at - since <= PAUSE_MS) current += mark.at - since;
    since = mark.at;
    longest = Math.max(longest, current);
    waiting += mark.waiting;
    if (mark.right) current = 0;
  }
  return longest;
}

/**
 * The moment (ms since the epoch) of the first right answer that was complete at `at` or later, whenever
 * it was asked for; undefined when there is none.
 */
export function firstRightAnswerAfter(samples: readonly ProbeSample[], at: number): number | undefined {
  let first: number | undefined;
  for (const sample of samples) {
    const end = endOf(sample);
    if (sample.outcome === 'ok' && end >= at && (first === undefined || end < first)) first = end;
  }
  return first;
}

/**
 * Milliseconds from `floodStart` until answers are back within twice `quietP95Ms` and stay so for at least
 * 500 ms: the end of the first quick right answer after which, for 500 ms, no request fails and 95% are as
 * quick. `notBefore` skips a calm that came before the event that matters (a freeze). Undefined when that
 * is not seen in the samples. All moments are ms since the epoch.
 */
export function disruption(
  samples: readonly ProbeSample[],
  floodStart: number,
  quietP95Ms: number,
  notBefore: number = floodStart,
): number | undefined {
  const bound = 2 * quietP95Ms;
  const after = samples
    .filter((sample) => sample.startedAt >= floodStart)
    .sort((left, right) => left.startedAt - right.startedAt);
  const last = after.at(-1)?.startedAt ?? 0;
  const quick = (sample: ProbeSample) => sample.outcome === 'ok' && sample.durationMs <= bound;
  let end = 0;
  let quickInside = 0;
  let failedInside = 0;
  for (const [start, candidate] of after.entries()) {
    if (candidate.startedAt + STABLE_MS > last) return undefined;
    for (let next = after[end]; next !== undefined && next.startedAt < candidate.startedAt + STABLE_MS; ) {
      if (quick(next)) quickInside += 1;
      if (next.outcome !== 'ok') failedInside += 1;
      end += 1;
      next = after[end];
    }
    const share = quickInside / (end - start);
    if (
      quick(candidate) &&
      candidate.startedAt >= notBefore &&
      failedInside === 0 &&
      share >= STABLE_SHARE &&
      end - start > 1
    ) {
      return endOf(candidate) - floodStart;
    }
    if (quick(candidate)) quickInside -= 1;
    if (candidate.outcome !== 'ok') failedInside -= 1;
  }
  return undefined;
}
