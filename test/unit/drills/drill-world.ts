import type { DrillMove } from '../../../core/drills/judge-drill.ts';
import type { ProbeSample } from '../../../core/measure/probe-sample.ts';
import { HandClock } from '../../support/hand-clock.ts';

/** A clock of today that stands until it is turned. */
export const drillClock = () => new HandClock(1_800_000_000_000);

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
