/** A move that was asked for or is under way, as far as turns are concerned. */
export interface QueuedMove {
  id: string;
  queuedAt: number;
  /** Whether its service is attacked: those go before moves that somebody merely wishes. */
  urgent: boolean;
  /** How often its service has moved lately: who had less goes first. */
  movesBefore: number;
  /** Sites and stones that it needs to itself. */
  needs: readonly string[];
}

interface Turn {
  id: string;
  starts: boolean;
  /** Moves that go before it and need something that it needs; empty for one that starts. */
  waitsFor: readonly string[];
}

/** Whoever has waited for so long goes before everybody who came later, urgent or not. */
export const longestOvertakenMs = 30_000;

/**
 * Whose turn it is: a move starts when it shares no source, target or stone with one that is under way or that goes
 * before it in the queue. Urgent ones go first, then those whose service has moved least, then those that came first;
 * after {@link longestOvertakenMs} nobody who came later is let past, so that no service starves. Pure: answers one
 * turn for each move of the queue, in the queue's order.
 */
export function takeTurns(
  queue: readonly QueuedMove[],
  underWay: readonly Pick<QueuedMove, 'id' | 'needs'>[],
  now: number,
): Turn[] {
  const holders: Pick<QueuedMove, 'id' | 'needs'>[] = [...underWay];
  return [...queue]
    .sort((a, b) => inOrder(a, b, now))
    .map((move) => {
      const waitsFor = holders
        .filter((holder) => holder.needs.some((need) => move.needs.includes(need)))
        .map(({ id }) => id);
      // What waits keeps its place: nobody behind it takes what it waits for.
      holders.push(move);
      return { id: move.id, starts: waitsFor.length === 0, waitsFor };
    });
}

function inOrder(a: QueuedMove, b: QueuedMove, now: number): number {
  const isOld = (move: QueuedMove) => now - move.queuedAt >= longestOvertakenMs;
  if (isOld(a) !== isOld(b)) return isOld(a) ? -1 : 1;
  if (!isOld(a)) {
    if (a.urgent !== b.urgent) return a.urgent ? -1 : 1;
    if (a.movesBefore !== b.movesBefore) return a.movesBefore - b.movesBefore;
  }
  return a.queuedAt - b.queuedAt || (a.id < b.id ? -1 : 1);
}
