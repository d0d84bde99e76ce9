import type { Clock } from '../clock.ts';

interface PulseParts {
  clock: Clock;
  intervalMs: number;
  missedLimit: number;
  ping(token: number): void;
  dead(): void;
  /** Called at every interval, for checks that want a slow clock. */
  beat(): void;
}

/** A peer that is heard anyhow is pinged every so many intervals, for the round trip alone. */
const measuredEvery = 5;

/**
 * Keep-alive of a link: a peer that was heard since the last beat needs no ping, and one that pings is heard, so
 * one end's pings mostly do for both. Silence is counted in intervals that passed without a byte from the peer, not in
 * elapsed time: an end whose own process stood still must not blame the other.
 */
export class LinkPulse {
  readonly #parts: PulseParts;
  #cancel: (() => void) | undefined;
  #token = 0;
  #sentAt = 0;
  #missed = 0;
  #beatsSincePing = 0;
  #rttMs: number | undefined;
  readonly #waiting = new Set<(rttMs: number) => void>();

  constructor(parts: PulseParts) {
    this.#parts = parts;
  }

  get rttMs(): number | undefined {
    return this.#rttMs;
  }

  start(): void {
    this.#beat();
  }

  stop(): void {
    this.#cancel?.();
    this.#cancel = undefined;
  }

  /** Asks for a sign of life now. */
  ping(): void {
    this.#sendPing();
  }

  heard(): void {
    this.#missed = 0;
  }

  pong(token: number): void {
    if (token !== this.#token) return;
    this.#rttMs = this.#parts.clock.monotonic() - this.#sentAt;
    for (const tell of this.#waiting) tell(this.#rttMs);
    this.#waiting.clear();
  }

  /** Calls `tell` once with the next round trip that is measured; the returned function takes that back. */
  onMeasured(tell: (rttMs: number) => void): () => void {
    this.#waiting.add(tell);
    return () => this.#waiting.delete(tell);
  }

  #beat(): void {
    this.#cancel = this.#parts.clock.after(this.#parts.intervalMs, () => {
      this.#missed += 1;
      if (this.#missed > this.#parts.missedLimit) {
        this.#parts.dead();
        return;
      }
      this.#beat();
      this.#beatsSincePing += 1;
      if (this.#missed > 1 || this.#beatsSincePing >= measuredEvery) this.#sendPing();
      this.#parts.beat();
    });
    if (this.#token === 0) this.#sendPing();
  }

  #sendPing(): void {
    this.#token = (this.#token % 0xffffffff) + 1;
    this.#sentAt = this.#parts.clock.monotonic();
    this.#beatsSincePing = 0;
    this.#parts.ping(this.#token);
  }
}
