import { QuietLevels, type QuietLevelsState } from './quiet-levels.ts';
import type { RequestFigures } from './request-figures.ts';

export const requestClasses = ['http-flood', 'slow-http', 'expensive-requests', 'honest-surge'] as const;
export type RequestClass = (typeof requestClasses)[number];

export type RequestEvent =
  | {
      type: 'raised';
      kind: RequestClass;
      /** The first reading that showed it, and the one that made it certain. */
      firstEvidenceAt: number;
      detectedAt: number;
      sentence: string;
    }
  | { type: 'cleared'; kind: RequestClass; detectedAt: number; clearedAt: number };

type Figure =
  | 'requestsPerSecond'
  | 'strangerRequestsPerSecond'
  | 'busiestStrangerPerSecond'
  | 'connections'
  | 'heldConnections'
  | 'processors'
  | 'processorMsPerRequest';

/** How far above quiet times a figure has to be, and below what it is never remarkable, however quiet it was. */
const limits: Record<Figure, { floor: number; times: number; most: number }> = {
  requestsPerSecond: { floor: 300, times: 3, most: 20_000 },
  strangerRequestsPerSecond: { floor: 200, times: 3, most: 2_000 },
  busiestStrangerPerSecond: { floor: 150, times: 3, most: 400 },
  connections: { floor: 16, times: 3, most: 4_000 },
  heldConnections: { floor: 16, times: 3, most: 400 },
  processors: { floor: 0.3, times: 2, most: 1.5 },
  processorMsPerRequest: { floor: 20, times: 5, most: 2_000 },
};
const figures = Object.keys(limits) as Figure[];
const ofStrangers: ReadonlySet<Figure> = new Set([
  'strangerRequestsPerSecond',
  'busiestStrangerPerSecond',
  'heldConnections',
]);

/** While it is not known yet who is no stranger, whoever asks a lot has to ask so many times more to be an attacker. */
const UNACQUAINTED_TIMES = 3;
/** Fewer requests of strangers, a second, say nothing about what one costs. */
const FEWEST_COSTLY_PER_SECOND = 2;
/** One person who asks for one big thing is no attack: strangers go on asking for so much of the time. */
const STEADY_SHARE = 0.6;
/** At least so many requests of strangers are served at a time, on average, */
const FEWEST_SERVED = 0.3;
/** and so many for each processor that they are to keep busy: else it is something else that does. */
const SERVED_PER_PROCESSOR = 0.3;

/**
 * Readings in a row that show a class before it is raised. That requests are expensive has to show for longer by itself;
 * nothing waits for a surge, and an attack may begin like one.
 */
const RAISED_AFTER: Record<RequestClass, number> = {
  'http-flood': 2,
  'slow-http': 2,
  'expensive-requests': 1,
  'honest-surge': 6,
};
/** Milliseconds without a sign, at half of its threshold, before a class is cleared. */
const CLEARED_AFTER_MS = 10_000;
/** Readings that have to be known of quiet times, before anything is raised: a fresh arrival says nothing. */
const LEARNT_AFTER = 8;
/** Readings are learnt when they are so old and nothing has come of them: the beginning of an attack is none. Milliseconds. */
const LEARNT_LATER_MS = 5_000;
/** A surge that lasts so long is what this service is like now, and is learnt. Milliseconds. */
const SURGE_IS_USUAL_AFTER_MS = 600_000;

interface Track {
  inRow: number;
  firstAt: number;
  lastSignAt: number;
  raisedAt: number | undefined;
}

/**
 * Tells what happens to a service by who asks, and how (MOVE section 2.4 leaves the means open). Figures go in, what they
 * are taken for comes out; it does no input or output and has no clock.
 *
 * - slow HTTP: strangers hold connections open on which they send nothing, or next to nothing, and are never answered.
 * - expensive requests: what the service works beyond the usual, and beyond what all others cost it, makes many times the
 *   usual for each request of strangers, and it is their requests that it is at work for.
 * - HTTP flood: strangers ask far more than people do, and one of them far more than one person, for seconds on end.
 * - honest surge: much more is asked than usual, and it is none of these.
 *
 * Thresholds are multiples of what 99 of 100 quiet readings did not exceed, never below a floor, and never above a bound
 * that somebody could teach it by a slow rise. What was raised stays until it is below half of them for 10 s; what was
 * taken for an honest surge is none any more as soon as an attack is seen in it.
 */
export class RequestClassifier {
  readonly #levels: QuietLevels<Figure>;
  readonly #tracks = new Map<RequestClass, Track>();
  /** Quiet readings that are too young to be learnt. */
  #young: RequestFigures[] = [];

  constructor(before: QuietLevelsState = {}) {
    this.#levels = new QuietLevels(figures, before);
  }

  /** Whether nothing is raised or suspected: what comes now is what quiet times are like. */
  get quiet(): boolean {
    return [...this.#tracks.values()].every((track) => track.inRow === 0 && track.raisedAt === undefined);
  }

  /** What an agent keeps across its restarts. */
  state(): QuietLevelsState {
    return this.#levels.state();
  }

  /** The threshold of a figure as it is now. */
  threshold(figure: Figure): number {
    const { floor, times, most } = limits[figure];
    return Math.min(most, Math.max(floor, times * this.#levels.usual(figure)));
  }

  /** Takes the next figures and says what they changed. */
  observe(seen: RequestFigures): RequestEvent[] {
    if (this.#levels.readings('requestsPerSecond') < LEARNT_AFTER) {
      this.#learn(seen);
      return [];
    }
    const events = requestClasses.flatMap((kind) => this.#follow(kind, seen));
    if (events.some((event) => event.type === 'raised' && event.kind !== 'honest-surge'))
      events.unshift(...this.#noSurgeAfterAll(seen.at));
    if (this.quiet || this.#isUsualNow(seen.at)) this.#young.push(seen);
    else this.#young = [];
    for (
      let oldest = this.#young[0];
      oldest !== undefined && seen.at - oldest.at >= LEARNT_LATER_MS;
      oldest = this.#young[0]
    ) {
      this.#learn(oldest);
      this.#young.shift();
    }
    return events;
  }

  /** The service has left: whatever was raised here is over. */
  left(at: number): RequestEvent[] {
    const events = requestClasses.flatMap((kind): RequestEvent[] => {
      const raisedAt = this.#tracks.get(kind)?.raisedAt;
      return raisedAt === undefined ? [] : [{ type: 'cleared', kind, detectedAt: raisedAt, clearedAt: at }];
    });
    this.#tracks.clear();
    this.#young = [];
    return events;
  }

  /** An attack may begin like a surge: what was said of one is taken back. */
  #noSurgeAfterAll(at: number): RequestEvent[] {
    const surge = this.#tracks.get('honest-surge');
    const detectedAt = surge?.raisedAt;
    this.#tracks.delete('honest-surge');
    return detectedAt === undefined
      ? []
      : [{ type: 'cleared', kind: 'honest-surge', detectedAt, clearedAt: at }];
  }

  #isAttacked(): boolean {
    return [...this.#tracks].some(
      ([kind, { raisedAt }]) => kind !== 'honest-surge' && raisedAt !== undefined,
    );
  }

  /** Whether there is nothing but a surge, and one that has lasted for long. */
  #isUsualNow(at: number): boolean {
    const since = this.#tracks.get('honest-surge')?.raisedAt;
    return since !== undefined && at - since >= SURGE_IS_USUAL_AFTER_MS && !this.#isAttacked();
  }

  #follow(kind: RequestClass, seen: RequestFigures): RequestEvent[] {
    const track = this.#tracks.get(kind) ?? { inRow: 0, firstAt: 0, lastSignAt: 0, raisedAt: undefined };
    this.#tracks.set(kind, track);
    const signs = this.#signs(kind, seen, track.raisedAt === undefined ? 1 : 0.5);
    if (signs) {
      if (track.inRow === 0) track.firstAt = seen.at - seen.windowMs;
      track.inRow += 1;
      track.lastSignAt = seen.at;
    } else track.inRow = 0;
    if (track.raisedAt === undefined && track.inRow >= RAISED_AFTER[kind]) {
      track.raisedAt = seen.at;
      const sentence = this.#sentence(kind, seen);
      return [{ type: 'raised', kind, firstEvidenceAt: track.firstAt, detectedAt: seen.at, sentence }];
    }
    if (track.raisedAt !== undefined && seen.at - track.lastSignAt >= CLEARED_AFTER_MS) {
      const detectedAt = track.raisedAt;
      track.raisedAt = undefined;
      return [{ type: 'cleared', kind, detectedAt, clearedAt: seen.at }];
    }
    return [];
  }

  #signs(kind: RequestClass, seen: RequestFigures, share: number): boolean {
    const above = (figure: Exclude<Figure, 'processorMsPerRequest'>, times = 1) =>
      seen[figure] >= share * times * this.threshold(figure);
    const costly =
      above('processors') &&
      seen.strangerRequestsPerSecond >= share * FEWEST_COSTLY_PER_SECOND &&
      seen.strangersAskingShare >= share * STEADY_SHARE &&
      seen.strangersServed >=
        Math.max(share * FEWEST_SERVED, SERVED_PER_PROCESSOR * this.#unexplained(seen)) &&
      this.#costOfStrangers(seen) >= share * this.threshold('processorMsPerRequest');
    const times = seen.acquainted ? 1 : UNACQUAINTED_TIMES;
    const machines = above('strangerRequestsPerSecond', times) && above('busiestStrangerPerSecond', times);
    const held = above('heldConnections');
    switch (kind) {
      case 'slow-http':
        return held;
      case 'expensive-requests':
        return costly;
      case 'http-flood':
        return machines && !costly;
      case 'honest-surge':
        return (
          (above('requestsPerSecond') || above('connections')) &&
          !costly &&
          !machines &&
          !held &&
          !this.#isAttacked()
        );
    }
  }

  /** Processors beyond the usual measure, and beyond what everybody but strangers costs. */
  #unexplained(seen: RequestFigures): number {
    const others = seen.requestsPerSecond - seen.strangerRequestsPerSecond + seen.knownRequestsPerSecond;
    const expected = (others * this.#levels.median('processorMsPerRequest')) / 1000;
    return Math.max(0, seen.processors - Math.max(expected, this.#levels.usual('processors')));
  }

  /** What the service works for each request of strangers, in milliseconds. */
  #costOfStrangers(seen: RequestFigures): number {
    return (this.#unexplained(seen) * 1000) / Math.max(1, seen.strangerRequestsPerSecond);
  }

  #sentence(kind: RequestClass, seen: RequestFigures): string {
    const usual = (figure: Figure) => `${round(this.#levels.usual(figure))} in quiet times`;
    switch (kind) {
      case 'slow-http':
        return (
          `${seen.heldConnections} connections of ${seen.strangers} strangers are held open by requests that are never ` +
          `completed (${usual('heldConnections')}), while the service keeps ${round(seen.processors)} processors busy.`
        );
      case 'expensive-requests':
        return (
          `Each request of ${seen.strangers} strangers costs ${round(this.#costOfStrangers(seen))} ms of a processor ` +
          `(${usual('processorMsPerRequest')}), which keeps ${round(seen.processors)} of them busy (${usual('processors')}).`
        );
      case 'http-flood':
        return (
          `${seen.strangers} strangers ask ${round(seen.strangerRequestsPerSecond)} times a second ` +
          `(${usual('strangerRequestsPerSecond')}), one of them ${round(seen.busiestStrangerPerSecond)} times ` +
          `(${usual('busiestStrangerPerSecond')}).`
        );
      case 'honest-surge':
        return (
          `${round(seen.requestsPerSecond)} requests a second (${usual('requestsPerSecond')}) on ${seen.connections} ` +
          `connections (${usual('connections')}), asked as people ask.`
        );
    }
  }

  #learn(seen: RequestFigures): void {
    for (const figure of figures) {
      const value = seen[figure];
      // Whoever comes is a stranger at first: that is not what strangers are like.
      if (!seen.acquainted && ofStrangers.has(figure)) continue;
      if (value !== undefined) this.#levels.learn(figure, value);
    }
  }
}

function round(value: number): string {
  return value >= 10 ? String(Math.round(value)) : value.toFixed(1);
}
