import { Histogram } from './histogram.ts';

/** What happened in one second of wall-clock time: the grain that the journal keeps of telemetry. */
export interface OneSecondAggregate {
  /** Start of the second, in seconds since the epoch. */
  second: number;
  requests: number;
  failures: number;
  minMs: number;
  p50Ms: number;
  p95Ms: number;
  maxMs: number;
}

interface OpenSecond {
  second: number;
  failures: number;
  durations: Histogram;
}

/** Seconds that stay open at once; an older one is closed and handed out when a further one begins. */
const OPEN_SECONDS = 3;

/**
 * Folds single measurements into one aggregate a second. Measurements may come up to two seconds out of
 * order; a later straggler is counted in the oldest second still open, so that nothing is lost and
 * memory stays bounded.
 */
export class OneSecondAggregator {
  readonly #open: OpenSecond[] = [];

  /** Counts a request that ended at `endedAt` (ms since the epoch). Returns the seconds this closed. */
  add(endedAt: number, durationMs: number, ok: boolean): OneSecondAggregate[] {
    const second = Math.floor(endedAt / 1000);
    let slot = this.#open.find((candidate) => candidate.second === second);
    if (slot === undefined) {
      const oldest = this.#open[0];
      if (oldest !== undefined && second < oldest.second) slot = oldest;
      else {
        slot = { second, failures: 0, durations: new Histogram() };
        this.#open.push(slot);
        this.#open.sort((left, right) => left.second - right.second);
      }
    }
    slot.durations.record(durationMs);
    if (!ok) slot.failures += 1;
    return this.#open.splice(0, Math.max(0, this.#open.length - OPEN_SECONDS)).map(close);
  }

  /** Closes every second that ended before `now` (ms since the epoch; all of them when left out). */
  flush(now: number = Number.POSITIVE_INFINITY): OneSecondAggregate[] {
    const keep = this.#open.findIndex((slot) => (slot.second + 1) * 1000 > now);
    return this.#open.splice(0, keep === -1 ? this.#open.length : keep).map(close);
  }
}

function close(slot: OpenSecond): OneSecondAggregate {
  return {
    second: slot.second,
    requests: slot.durations.count,
    failures: slot.failures,
    minMs: slot.durations.minMs,
    p50Ms: slot.durations.percentile(0.5),
    p95Ms: slot.durations.percentile(0.95),
    maxMs: slot.durations.maxMs,
  };
}
