import type { RingViolation } from './invariant.ts';

/**
 * Tells what is wrong from what was read badly. The states of a live ring cannot be read in one instant: while a
 * member comes or goes, two of them contradict each other although the ring is right. A violation counts when the
 * same rule is broken by the same culprit in several readings in a row.
 */
export class PersistentViolations {
  readonly #readings: number;
  #seen = new Map<string, number>();

  /** `readings`: how many in a row make a violation count. */
  constructor(readings: number) {
    this.#readings = readings;
  }

  /** Takes what one reading found and returns what has lasted long enough to count. */
  observe(violations: readonly RingViolation[]): RingViolation[] {
    const seen = new Map<string, number>();
    for (const violation of violations)
      seen.set(keyOf(violation), (this.#seen.get(keyOf(violation)) ?? 0) + 1);
    this.#seen = seen;
    return violations.filter((violation) => (seen.get(keyOf(violation)) ?? 0) >= this.#readings);
  }
}

const keyOf = ({ rule, culprit }: RingViolation): string => `${rule} ${culprit}`;
