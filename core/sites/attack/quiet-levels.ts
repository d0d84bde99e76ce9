import { z } from 'zod';

/** Buckets of a learnt distribution: each is a quarter wider than the one before, from 0.1 on. */
const BUCKETS = 96;
const LOWEST = 0.1;
const RATIO = 1.25;
/** Readings after which all counts are halved: what was learnt an hour of readings ago counts half. */
const HALVED_AT = 8_192;

const histogramSchema = z.array(z.number().int().nonnegative().max(HALVED_AT)).length(BUCKETS);

/** What is kept of quiet times, by figure: fixed in size however long they last. */
export const quietLevelsSchema = z.record(z.string().max(40), histogramSchema);
export type QuietLevelsState = z.infer<typeof quietLevelsSchema>;

/**
 * What each figure of a service is in quiet times: a histogram with buckets of a quarter's width, so that single odd
 * readings count as what they are. Old readings lose weight; memory is bounded.
 */
export class QuietLevels<Figure extends string> {
  readonly #counts: Map<Figure, number[]>;

  /** `before` is what an earlier process has kept; figures that it does not know begin anew. */
  constructor(figures: readonly Figure[], before: QuietLevelsState = {}) {
    this.#counts = new Map(
      figures.map((figure) => [figure, [...(before[figure] ?? new Array<number>(BUCKETS).fill(0))]]),
    );
  }

  /** Takes one quiet reading of a figure that is at least 0. */
  learn(figure: Figure, value: number): void {
    const counts = this.#of(figure);
    const index = value <= LOWEST ? 0 : Math.ceil(Math.log(value / LOWEST) / Math.log(RATIO));
    const bucket = Math.min(BUCKETS - 1, index);
    counts[bucket] = (counts[bucket] ?? 0) + 1;
    if (this.readings(figure) < HALVED_AT) return;
    for (let at = 0; at < BUCKETS; at += 1) counts[at] = Math.floor((counts[at] ?? 0) / 2);
  }

  /** How many readings stand behind a figure. */
  readings(figure: Figure): number {
    return this.#of(figure).reduce((sum, count) => sum + count, 0);
  }

  /** What 99 of 100 quiet readings do not exceed, to within a quarter; 0 when nothing was learnt. */
  usual(figure: Figure): number {
    return this.#quantile(figure, 0.99);
  }

  /** What half of the quiet readings do not exceed. */
  median(figure: Figure): number {
    return this.#quantile(figure, 0.5);
  }

  #quantile(figure: Figure, share: number): number {
    const counts = this.#of(figure);
    const all = this.readings(figure);
    if (all === 0) return 0;
    let below = 0;
    for (let bucket = 0; bucket < BUCKETS; bucket += 1) {
      below += counts[bucket] ?? 0;
      if (below >= share * all) return bucket === 0 ? 0 : LOWEST * RATIO ** bucket;
    }
    return LOWEST * RATIO ** BUCKETS;
  }

  /** What an agent keeps across its restarts. */
  state(): QuietLevelsState {
    return Object.fromEntries([...this.#counts].map(([figure, counts]) => [figure, [...counts]]));
  }

  #of(figure: Figure): number[] {
    const counts = this.#counts.get(figure);
    if (!counts) throw new Error(`nothing is learnt of ${figure}`);
    return counts;
  }
}
