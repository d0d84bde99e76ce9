/** Lets `burst` things happen at once and `perSecond` of them in the long run. Times are milliseconds that never jump. */
export class TokenBucket {
  readonly #perSecond: number;
  readonly #burst: number;
  #tokens: number;
  #filledAt: number;

  constructor(limit: { perSecond: number; burst: number }, now: number) {
    this.#perSecond = limit.perSecond;
    this.#burst = limit.burst;
    this.#tokens = limit.burst;
    this.#filledAt = now;
  }

  /** How full it is, from 0 to 1. */
  level(now: number): number {
    this.#tokens = Math.min(
      this.#burst,
      this.#tokens + (Math.max(0, now - this.#filledAt) * this.#perSecond) / 1000,
    );
    this.#filledAt = now;
    return this.#tokens / this.#burst;
  }

  /** Whether there was a token to take, and some more than the part `left` of all of them would remain. */
  take(now: number, left = 0): boolean {
    this.level(now);
    if (this.#tokens - 1 < left * this.#burst) return false;
    this.#tokens -= 1;
    return true;
  }

  /** Takes `tokens`, or all there are: something turned out to have cost more than it looked. */
  charge(now: number, tokens: number): void {
    this.level(now);
    this.#tokens = Math.max(0, this.#tokens - tokens);
  }
}
