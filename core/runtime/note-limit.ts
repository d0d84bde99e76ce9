import type { Clock } from './clock.ts';
import { systemClock } from './clock.ts';
import { TokenBucket } from './token-bucket.ts';

const each = { perSecond: 0.2, burst: 20 };

/**
 * Which of many like events are worth a note: of each kind the first twenty, then one in five seconds, so that nobody can
 * fill the journal by doing the same thing again and again. Kinds beyond `kindsAtMost` count as one.
 */
export class NoteLimit {
  readonly #clock: Clock;
  readonly #kindsAtMost: number;
  readonly #kinds = new Map<string, { bucket: TokenBucket; untold: number }>();

  constructor(kindsAtMost: number, clock: Clock = systemClock) {
    this.#kindsAtMost = kindsAtMost;
    this.#clock = clock;
  }

  /** Nothing when this one is not to be told; else how many of its kind were not told since the last that was. */
  pass(kind: string): { untold: number } | undefined {
    const now = this.#clock.monotonic();
    if (!this.#kinds.has(kind) && this.#kinds.size >= this.#kindsAtMost) this.#forget(now);
    const own = this.#kinds.has(kind) || this.#kinds.size < this.#kindsAtMost ? kind : '';
    const known = this.#kinds.get(own) ?? { bucket: new TokenBucket(each, now), untold: 0 };
    this.#kinds.set(own, known);
    if (!known.bucket.take(now)) {
      known.untold += 1;
      return undefined;
    }
    const { untold } = known;
    known.untold = 0;
    return { untold };
  }

  /** Drops the kinds that would be treated like new ones. */
  #forget(now: number): void {
    for (const [kind, { bucket, untold }] of this.#kinds)
      if (untold === 0 && bucket.level(now) === 1) this.#kinds.delete(kind);
  }
}
