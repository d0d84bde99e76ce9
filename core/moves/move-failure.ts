import type { Move, MoveFailure, MovePhaseName } from '../contract/domain.ts';
import { movePhaseNames } from '../contract/domain.ts';
import type { MoveError } from '../runtime/errors.ts';

type Ends = Pick<Move, 'service' | 'from' | 'to' | 'stone'>;

const happened: Record<MovePhaseName, (move: Ends) => string> = {
  prepare: ({ service, to }) =>
    `${to} or the way to it could not be made ready, so ${service} was never frozen.`,
  freeze: ({ service, from }) => `${service} could not be frozen at ${from}.`,
  dump: ({ service, from }) => `The state of ${service} could not be written down at ${from}.`,
  ship: ({ service, from, to, stone }) =>
    `The state of ${service} did not get from ${from} through ${stone} to ${to}.`,
  verify: ({ from, to }) => `What arrived at ${to} is not what ${from} had sent.`,
  restore: ({ service, to }) =>
    `${service} did not wake, or gave no right answer, inside its fence at ${to}.`,
  commit: ({ from }) => `${from} could not confirm that its frozen copy is killed.`,
  announce: ({ service, to }) => `${service} is committed to ${to}, which could not be opened yet.`,
  firstAnswer: ({ service, to }) =>
    `${service} was opened at ${to}, but nobody saw a right answer through the overlay in time.`,
};

const advice: Record<MovePhaseName, (move: Ends) => string> = {
  prepare: ({ to, stone }) =>
    `Check with "move status" that ${to} and ${stone} answer, then move again or choose another site.`,
  freeze: ({ from }) => `Look into the journal for what ${from} objects to, then move again.`,
  dump: ({ from }) =>
    `Look whether ${from} has memory and disk left, and whether the error names something that no checkpoint carries; then move again.`,
  ship: ({ from, stone }) =>
    `Check the secondary link of ${from} and the stepping stone ${stone}, then move again.`,
  verify: ({ to, stone }) =>
    `Move again; if it comes back, choose another site, since ${stone} or ${to} changes what passes.`,
  restore: ({ to }) => `Choose another site, or look at ${to} for memory, disk and its version of criu.`,
  commit: ({ from }) => `Nothing has to be done: it is tried every few seconds until ${from} answers.`,
  announce: ({ to }) => `Bring ${to} back if it is down: it is tried every 2 s until it answers.`,
  firstAnswer: ({ service }) =>
    `Open ${service} yourself; if it does not answer, look at the map for the overlay's nodes, or move it on.`,
};

/** The phase that an error belongs to: the one that the agent names, else the one that had begun last. */
export function failedPhase(move: Move, error: MoveError): MovePhaseName {
  // The source hears of it while it still waits for its state to be taken.
  if (error.code === 'STATE_DAMAGED') return 'verify';
  const named = movePhaseNames.find((phase) => phase === error.details.phase);
  return named ?? move.phases.findLast((phase) => phase.endedAt === null)?.phase ?? nextPhase(move);
}

function nextPhase(move: Move): MovePhaseName {
  const last = move.phases.at(-1)?.phase;
  const next = last === undefined ? 0 : movePhaseNames.indexOf(last) + 1;
  return movePhaseNames[Math.min(next, movePhaseNames.length - 1)] ?? 'prepare';
}

/** A move that was taken back, or could not be everywhere: `faults` names the hosts that did not answer. */
export function failureBeforeCommit(move: Move, error: MoveError, faults: readonly string[]): MoveFailure {
  const phase = failedPhase(move, error);
  const { service, from, to } = move;
  const cause =
    error.code === 'MOVE_CANCELLED'
      ? `The move of ${service} to ${to} was taken back by hand.`
      : error.code === 'CONTROLLER_RESTARTED'
        ? `The control plane ended while ${service} moved to ${to}, before the commit.`
        : happened[phase](move);
  if (faults.length > 0)
    return {
      phase,
      happened: cause,
      safe: `Nothing is lost and nothing runs twice, but ${service} may stand frozen at ${from} until its side is taken back.`,
      advice: `Bring back whoever does not answer (${faults.join('; ')}): it is tried every few seconds until it succeeds.`,
    };
  return {
    phase,
    happened: cause,
    safe: `Nothing was lost: ${service} goes on at ${from}, and no second copy is left.`,
    advice:
      error.code === 'MOVE_CANCELLED'
        ? 'Move again whenever you like.'
        : error.code === 'CONTROLLER_RESTARTED'
          ? 'Move again if it is still needed.'
          : advice[phase](move),
  };
}

/** A committed move that is not at its end yet, or that ended without something. */
export function failureAfterCommit(move: Move, phase: 'commit' | 'announce' | 'firstAnswer'): MoveFailure {
  const { service, from, to } = move;
  const safe = {
    commit: `The copy at ${from} is frozen and fenced and never runs again; ${service} belongs to ${to} alone.`,
    announce: `${service} is whole, awake inside its fence at ${to}, and runs nowhere else.`,
    firstAnswer: `${service} runs at ${to} and nowhere else, with everything that it knew.`,
  }[phase];
  return { phase, happened: happened[phase](move), safe, advice: advice[phase](move) };
}
