import type { DrillMove } from '../../../core/drills/judge-drill.ts';
import type { ProbeSample } from '../../../core/measure/probe-sample.ts';
import type { Clock } from '../../../core/runtime/clock.ts';

/** A clock that stands still until somebody turns it; everything that is due runs in order. */
export class SimulatedClock implements Clock {
  #now = 1_800_000_000_000;
  #timers: { at: number; run: () => void }[] = [];

  now(): number {
    return this.#now;
  }

  monotonic(): number {
    return this.#now;
  }

  after(delayMs: number, run: () => void): () => void {
    const timer = { at: this.#now + Math.max(0, delayMs), run };
    this.#timers.push(timer);
    return () => {
      this.#timers = this.#timers.filter((other) => other !== timer);
    };
  }

  /** Turns the clock until `work` has settled. Fails when nothing is left that could settle it. */
  async until<Value>(work: Promise<Value>): Promise<Value> {
    let settled = false;
    const done = () => {
      settled = true;
    };
    work.then(done, done);
    for (let turns = 0; !settled; turns += 1) {
      await new Promise((resolve) => setImmediate(resolve));
      if (settled) break;
      this.#timers.sort((left, right) => left.at - right.at);
      const next = this.#timers.shift();
      if (next === undefined || turns > 100_000) throw new Error('nothing is left to wait for');
      this.#now = next.at;
      next.run();
    }
    return work;
  }
}

/** Samples of one way, one each 10 ms, as `shape` says. */
export function samplesOf(
  from: number,
  to: number,
  shape: (at: number) => Partial<ProbeSample> = () => ({}),
): ProbeSample[] {
  const samples: ProbeSample[] = [];
  for (let at = from; at < to; at += 10)
    samples.push({ startedAt: at, durationMs: 5, outcome: 'ok', ...shape(at) });
  return samples;
}

/** A move whose freeze begins at `frozenAt` and which takes 250 ms to its announcement. */
export function moveAt(frozenAt: number): DrillMove {
  const phases: [DrillMove['phases'][number]['phase'], number, number][] = [
    ['prepare', -60, 0],
    ['freeze', 0, 10],
    ['dump', 10, 100],
    ['ship', 100, 150],
    ['verify', 150, 160],
    ['restore', 160, 220],
    ['commit', 220, 230],
    ['announce', 230, 250],
    ['firstAnswer', 250, 262],
  ];
  return {
    id: 'move-1',
    from: 'a1',
    to: 'b1',
    state: 'done',
    phases: phases.map(([phase, start, end]) => ({
      phase,
      startedAt: frozenAt + start,
      endedAt: frozenAt + end,
    })),
    stateBytes: 7_500_000,
    wireBytes: 1_500_000,
    aheadBytes: 410_000,
  };
}
