import type { Move, MovePhaseName, Site } from '../contract/domain.ts';
import type { Rehearsal } from '../contract/preflight.ts';

export interface OutagePrediction {
  outageMs: number;
  /** What the figure rests on, for people. */
  basis: string;
}

/** What is known of a move that has not been made. */
export interface PredictionInput {
  service: string;
  source: Site;
  target: Site;
  /** Earlier moves, of this service and of others. */
  history: readonly Move[];
  /** The newest rehearsal of this service, if there was one. */
  rehearsal?: Rehearsal | null;
  /** From the source to the target by the stepping stone and back, where it was measured. */
  roundTripMs?: number | null;
}

/** A small web server, before anything was measured here: silent for so long where it is left, and then to wake. */
const typicalFrozenMs = 115;
const typicalWireBytes = 150_000;
/** Waking takes about as long as dumping did: both walk the same processes and pages. */
const typicalWakePerDump = 0.9;
/** Commit, announcement and the first answer; and what shipping takes beside the bytes. */
const typicalAnswerMs = 80;
const shipOverheadMs = 15;
/** What is sent ahead may take so long: what preparing takes, and how much longer a freeze waits for it. */
const aheadLimitMs = 900;

/**
 * Predicts how long a service will be silent when it moves: how long it takes to freeze and dump it (rehearsed, or as in earlier
 * moves of it), the bytes that then travel over the slower of the source's secondary and the target's primary link, and
 * what it takes to wake it and be answered, for which moves of any service say how this fleet compares.
 */
export function predictOutage(input: PredictionInput): OutagePrediction {
  const { service, source, target, rehearsal } = input;
  const done = input.history.filter((move) => move.state === 'done' && move.outageMs !== null);
  const own = done.filter((move) => move.service === service);
  const bottleneckMbit = Math.min(source.secondaryCapacityMbit, target.primaryCapacityMbit);
  const msFor = (bytes: number) => (bytes * 8) / (bottleneckMbit * 1000);

  const frozenMs = rehearsal
    ? rehearsal.freezeMs + rehearsal.dumpMs
    : (median(own.map(frozenOf)) ?? typicalFrozenMs);
  const dumpMs = rehearsal?.dumpMs ?? median(own.map((move) => durationOf(move, 'dump'))) ?? typicalFrozenMs;
  const goesAhead = rehearsal ? msFor(rehearsal.aheadBytes) <= aheadLimitMs : true;
  const wireBytes =
    median(own.map((move) => (move.wireBytes ?? 0) - (move.aheadBytes ?? 0))) ??
    (rehearsal ? (goesAhead ? rehearsal.wireBytes : rehearsal.wholeWireBytes) : typicalWireBytes);
  const shipMs = shipOverheadMs + (input.roundTripMs ?? 0) + msFor(wireBytes);
  const wakeMs = (own.length > 0 ? median(own.map(restOf)) : restFor(dumpMs, done)) ?? 0;

  const outageMs = Math.round(frozenMs + shipMs + wakeMs);
  const bases = [
    rehearsal ? 'a rehearsal' : null,
    own.length > 0 ? `${count(own.length, 'earlier move')} of this service` : null,
    own.length === 0 && done.length > 0 ? `${count(done.length, 'move')} of other services` : null,
    !rehearsal && own.length === 0 ? 'a typical web server' : null,
    `a ${bottleneckMbit} Mbit/s bottleneck`,
  ].filter((basis) => basis !== null);
  return { outageMs, basis: sentenceOf(bases) };
}

/** How far predictions were off, newest first; positive when the outage was shorter. */
export function checkPredictions(
  service: string,
  history: readonly Move[],
): { move: string; to: string; at: number; predictedMs: number; actualMs: number; offByPercent: number }[] {
  return history
    .filter((move) => move.service === service && move.outageMs && move.predictedOutageMs !== null)
    .sort((a, b) => b.startedAt - a.startedAt)
    .map((move) => ({
      move: move.id,
      to: move.to,
      at: move.startedAt,
      predictedMs: move.predictedOutageMs!,
      actualMs: Math.round(move.outageMs!),
      offByPercent: Math.round(((move.predictedOutageMs! - move.outageMs!) / move.outageMs!) * 100),
    }));
}

/** From the end of shipping to the first answer. */
function restOf(move: Move): number {
  return Math.max(0, (move.outageMs ?? 0) - frozenOf(move) - durationOf(move, 'ship'));
}

/** The same for a service that has never moved: as other services woke after dumps of other lengths. */
function restFor(dumpMs: number, done: readonly Move[]): number {
  const perDump = median([
    typicalWakePerDump,
    ...done
      .filter((move) => durationOf(move, 'dump') > 0)
      .map((move) => durationOf(move, 'restore') / durationOf(move, 'dump')),
  ])!;
  const answerMs = median([
    typicalAnswerMs,
    ...done.map((move) => Math.max(0, restOf(move) - durationOf(move, 'restore'))),
  ])!;
  return perDump * dumpMs + answerMs;
}

const frozenOf = (move: Move) => durationOf(move, 'freeze') + durationOf(move, 'dump');

function durationOf(move: Move, name: MovePhaseName): number {
  const phase = move.phases.find((candidate) => candidate.phase === name);
  return phase?.endedAt ? phase.endedAt - phase.startedAt : 0;
}

function median(values: readonly number[]): number | undefined {
  if (values.length === 0) return undefined;
  const sorted = [...values].sort((a, b) => a - b);
  const middle = sorted.length >> 1;
  return sorted.length % 2 === 1 ? sorted[middle]! : (sorted[middle - 1]! + sorted[middle]!) / 2;
}

const count = (number: number, what: string) => `${number} ${what}${number === 1 ? '' : 's'}`;

const sentenceOf = (parts: readonly string[]) =>
  parts.length < 2 ? parts.join('') : `${parts.slice(0, -1).join(', ')} and ${parts.at(-1)}`;
