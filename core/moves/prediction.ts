import type { Move, Site } from '../contract/domain.ts';

export interface OutagePrediction {
  outageMs: number;
  /** What the figure rests on, for people. */
  basis: string;
}

/** Fixed cost of freeze, dump, verify, restore and announce for a small service, before any was measured here. */
const unmeasuredFixedMs = 600;
/** What changed of such a service since its pages were sent ahead. */
const unmeasuredFrozenBytes = 150_000;

/**
 * Predicts how long a service will be silent when it moves: the part that does not depend on the link
 * (median of earlier moves), plus the bytes that travel while it is frozen over the slower of the source's secondary link
 * and the target's primary link.
 */
export function predictOutage(
  service: string,
  source: Site,
  target: Site,
  history: readonly Move[],
): OutagePrediction {
  const past = history.filter(
    (move) =>
      move.service === service && move.state === 'done' && move.outageMs !== null && move.wireBytes !== null,
  );
  const wireBytes =
    past.length > 0
      ? median(past.map((move) => (move.wireBytes ?? 0) - (move.aheadBytes ?? 0)))
      : unmeasuredFrozenBytes;
  const bottleneckMbit = Math.min(source.secondaryCapacityMbit, target.primaryCapacityMbit);
  const shipMs = (wireBytes * 8) / (bottleneckMbit * 1000);
  const fixedMs =
    past.length > 0
      ? median(past.map((move) => Math.max(0, (move.outageMs ?? 0) - shipDuration(move))))
      : unmeasuredFixedMs;
  return {
    outageMs: Math.round(fixedMs + shipMs),
    basis:
      past.length > 0
        ? `${past.length} earlier ${past.length === 1 ? 'move' : 'moves'} of this service and a ${bottleneckMbit} Mbit/s bottleneck`
        : `no earlier move of this service, a typical web server and a ${bottleneckMbit} Mbit/s bottleneck`,
  };
}

function shipDuration(move: Move): number {
  const ship = move.phases.find((phase) => phase.phase === 'ship');
  return ship?.endedAt ? ship.endedAt - ship.startedAt : 0;
}

function median(values: readonly number[]): number {
  const sorted = [...values].sort((a, b) => a - b);
  const middle = sorted.length >> 1;
  return sorted.length % 2 === 1 ? sorted[middle]! : (sorted[middle - 1]! + sorted[middle]!) / 2;
}
