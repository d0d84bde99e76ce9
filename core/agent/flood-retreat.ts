import type { Clock } from '../runtime/clock.ts';

export interface FloodRetreatOptions {
  clock: Clock;
  /** Sends clients elsewhere and leaves the ring. Must not fail. */
  retreat: () => Promise<void>;
  /** Takes the node's place on the ring and clients again. Must not fail. */
  comeBack: () => Promise<void>;
  /** Milliseconds without a sign of a flood before the node comes back. 5,000. */
  calmMs?: number;
  /** What that grows to at most when one storm follows another. 60,000 ms. */
  longestCalmMs?: number;
  /** A storm this soon after the node came back makes the next wait twice as long. 60,000 ms. */
  soonMs?: number;
}

/**
 * When an overlay node that is flooded goes and when it returns. It goes at the first alarm and returns when the
 * alarm has been over for a while; who returns only to be flooded again waits longer each time, so that an attacker
 * who pulses does not make it come and go, which would cost the others more than its absence.
 */
export class FloodRetreat {
  readonly #options: Required<FloodRetreatOptions>;
  #calmMs: number;
  #alarms = new Set<string>();
  #away = false;
  #backAt: number | null = null;
  #cancelReturn: (() => void) | null = null;
  #moving: Promise<void> = Promise.resolve();
  #closed = false;

  constructor(options: FloodRetreatOptions) {
    this.#options = { calmMs: 5_000, longestCalmMs: 60_000, soonMs: 60_000, ...options };
    this.#calmMs = this.#options.calmMs;
  }

  /** Whether the node is away, or on its way out or back. */
  get away(): boolean {
    return this.#away;
  }

  /** An alarm of this kind has been raised. */
  alarm(kind: string): void {
    this.#alarms.add(kind);
    this.#cancelReturn?.();
    this.#cancelReturn = null;
    if (this.#away || this.#closed) return;
    const { clock, calmMs, longestCalmMs, soonMs } = this.#options;
    const soon = this.#backAt !== null && clock.monotonic() - this.#backAt < soonMs;
    this.#calmMs = soon ? Math.min(this.#calmMs * 2, longestCalmMs) : calmMs;
    this.#away = true;
    this.#moving = this.#moving.then(() => this.#options.retreat());
  }

  /** The alarm of this kind is over. */
  cleared(kind: string): void {
    this.#alarms.delete(kind);
    if (this.#alarms.size > 0 || !this.#away || this.#closed) return;
    this.#cancelReturn?.();
    this.#cancelReturn = this.#options.clock.after(this.#calmMs, () => {
      this.#cancelReturn = null;
      this.#moving = this.#moving.then(() => {
        // A new alarm may have come while the retreat was still under way.
        if (this.#alarms.size > 0 || this.#closed) return undefined;
        this.#away = false;
        this.#backAt = this.#options.clock.monotonic();
        return this.#options.comeBack();
      });
    });
  }

  /** Neither goes nor returns any more; resolves when what was under way is over. */
  async close(): Promise<void> {
    this.#closed = true;
    this.#cancelReturn?.();
    await this.#moving;
  }
}
