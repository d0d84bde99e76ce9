import type { Clock } from '../../runtime/clock.ts';

/** The bounds of {@link GrowingPauses}. */
export interface PauseBounds {
  /** Failures without a pause. */
  free: number;
  /** The first pause in milliseconds; each further failure doubles it. */
  firstMs: number;
  longestMs: number;
  /** Milliseconds after which one failure is forgotten. */
  forgetMs: number;
  /** How many keys are remembered; the one that was seen longest ago is forgotten first. */
  keys: number;
}

interface Failures {
  count: number;
  at: number;
}

/** Counts failures by key (a name, an address) and says how long it has to pause: longer after each one. */
export class GrowingPauses {
  readonly #clock: Clock;
  readonly #bounds: PauseBounds;
  readonly #failures = new Map<string, Failures>();

  constructor(clock: Clock, bounds: PauseBounds) {
    this.#clock = clock;
    this.#bounds = bounds;
  }

  /** Milliseconds until `key` may try again; 0: now. */
  pauseOf(key: string): number {
    const { count, at } = this.#current(key);
    const { free, firstMs, longestMs } = this.#bounds;
    if (count < free) return 0;
    const pause = Math.min(longestMs, firstMs * 2 ** Math.min(30, Math.floor(count - free)));
    return Math.max(0, Math.ceil(at + pause - this.#clock.monotonic()));
  }

  /** Counts a failure. */
  failed(key: string): void {
    const { count } = this.#current(key);
    this.#failures.delete(key);
    this.#failures.set(key, { count: count + 1, at: this.#clock.monotonic() });
    if (this.#failures.size <= this.#bounds.keys) return;
    const oldest = this.#failures.keys().next();
    if (!oldest.done) this.#failures.delete(oldest.value);
  }

  /** Takes one failure back that was none. */
  undo(key: string): void {
    const known = this.#failures.get(key);
    if (known === undefined) return;
    known.count -= 1;
    if (known.count <= 0) this.#failures.delete(key);
  }

  /** Forgets the failures of `key`. */
  clear(key: string): void {
    this.#failures.delete(key);
  }

  /** How many keys are remembered. */
  get size(): number {
    return this.#failures.size;
  }

  #current(key: string): Failures {
    const known = this.#failures.get(key);
    if (known === undefined) return { count: 0, at: 0 };
    const forgotten = (this.#clock.monotonic() - known.at) / this.#bounds.forgetMs;
    return { count: Math.max(0, known.count - Math.floor(forgotten)), at: known.at };
  }
}
