import type { Clock } from '../runtime/clock.ts';
import type { MoveError } from '../runtime/errors.ts';
import type { Random } from '../runtime/random.ts';
import type { Peer, RingTransport } from './messages.ts';

/** Zave's r, unless a node is told otherwise. */
export const defaultSuccessorListLength = 4;

/** No node keeps a longer list. */
export const longestSuccessorList = 16;

/**
 * A list length that suits a ring of `members`: twice log2 N, so that the chance that all entries of some list are
 * among the half that fails at once is small (1 in 370 for a ring of 32), but less than half of the members, so that
 * the other half is still a ring by Zave's rule (list length + 1). Never less than 4.
 */
export function suitableSuccessorListLength(members: number): number {
  const wanted = Math.min(2 * Math.ceil(Math.log2(Math.max(2, members))), Math.floor((members - 1) / 2));
  return Math.max(defaultSuccessorListLength, Math.min(longestSuccessorList, wanted));
}

export interface RingNodeOptions {
  self: Peer;
  transport: RingTransport;
  clock: Clock;
  random: Random;
  /** Zave's r; the ring must start with r + 1 members and survives r - 1 neighbours failing at once. 4. */
  successorListLength?: number;
  /** Milliseconds between stabilisations while nothing changes. 500. */
  quietPeriodMs?: number;
  /** Milliseconds between stabilisations right after a change. 50. */
  busyPeriodMs?: number;
  /** Milliseconds after which a call counts as failed. 750. */
  callDeadlineMs?: number;
  /** Milliseconds a lookup waits for one member before it tries another one first. 200. */
  quickDeadlineMs?: number;
  /** How often a neighbour is asked before it is taken for failed. 2. */
  attempts?: number;
  /** Hears what the node could not do in the background; nothing is lost by it, the next round tries again. */
  onTrouble?: (trouble: MoveError) => void;
}

export interface RingStatus extends Peer {
  /** False before it joined and after it left. */
  member: boolean;
  formed: boolean;
  predecessor: Peer | null;
  successors: Peer[];
  fingers: { power: number; peer: Peer }[];
}
