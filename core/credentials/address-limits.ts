import { addressGroup } from '../runtime/address-group.ts';
import type { Clock } from '../runtime/clock.ts';
import { MoveError } from '../runtime/errors.ts';

/**
 * Whom the tests take for one person, as `addressGroup` does; who has no address is not tested.
 * @throws MoveError `ADDRESS_MALFORMED`.
 */
export function addressKey(address: string): string {
  const group = addressGroup(address);
  if (group !== 'unknown') return group;
  throw new MoveError('ADDRESS_MALFORMED', 'What was given as an address is not an IP address.', {
    address: address.slice(0, 64),
  });
}

/** The bounds of {@link AddressLimits}. */
export interface AddressLimitBounds {
  /** How many tokens an address starts with and may gather. */
  burst: number;
  /** Milliseconds in which one token comes back. */
  refillMs: number;
  /** How many addresses are remembered; the one that was seen longest ago is forgotten first. */
  addresses: number;
}

/**
 * A token bucket for each address, in a table of bounded size. Addresses are those of {@link addressKey}.
 * Who commands more addresses than the table holds can have his own forgotten.
 */
export class AddressLimits {
  readonly #clock: Clock;
  readonly #bounds: AddressLimitBounds;
  readonly #buckets = new Map<string, { tokens: number; at: number }>();

  constructor(clock: Clock, bounds: AddressLimitBounds) {
    this.#clock = clock;
    this.#bounds = bounds;
  }

  /** Takes `tokens`. Returns 0, or, with nothing taken, the milliseconds until there are so many. */
  take(key: string, tokens: number): number {
    const bucket = this.#bucket(key);
    if (bucket.tokens < tokens) return Math.ceil((tokens - bucket.tokens) * this.#bounds.refillMs);
    bucket.tokens -= tokens;
    return 0;
  }

  /** Gives `tokens` back that were taken for nothing. */
  giveBack(key: string, tokens: number): void {
    this.#bucket(key).tokens += tokens;
  }

  /** Takes `tokens` more, also when there are none: the address then waits longer. Bounded by the burst. */
  punish(key: string, tokens: number): void {
    const bucket = this.#bucket(key);
    bucket.tokens = Math.max(-this.#bounds.burst, bucket.tokens - tokens);
  }

  /** How many addresses are remembered. */
  get size(): number {
    return this.#buckets.size;
  }

  #bucket(key: string): { tokens: number; at: number } {
    const now = this.#clock.monotonic();
    const known = this.#buckets.get(key) ?? { tokens: this.#bounds.burst, at: now };
    const tokens = Math.min(this.#bounds.burst, known.tokens + (now - known.at) / this.#bounds.refillMs);
    const bucket = { tokens, at: now };
    this.#buckets.delete(key);
    this.#buckets.set(key, bucket);
    if (this.#buckets.size > this.#bounds.addresses) {
      const oldest = this.#buckets.keys().next();
      if (!oldest.done) this.#buckets.delete(oldest.value);
    }
    return bucket;
  }
}
