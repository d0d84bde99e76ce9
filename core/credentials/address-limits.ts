import type { Clock } from '../runtime/clock.ts';
import { MoveError } from '../runtime/errors.ts';
import { normaliseAddress } from './names.ts';

/**
 * What counts as one address when people are told apart: an IPv4 address, also when it is written as
 * IPv4-mapped IPv6, or the /64 of an IPv6 address, since that is the least that one subscriber gets (RFC 6177).
 * @throws MoveError `ADDRESS_MALFORMED`.
 */
export function addressKey(address: string): string {
  const normal = normaliseAddress(address.split('%')[0] ?? '');
  if (normal === null)
    throw new MoveError('ADDRESS_MALFORMED', 'What was given as an address is not an IP address.', {
      address: address.slice(0, 64),
    });
  if (!normal.includes(':')) return normal;
  const [head = '', tail] = normal.split('::');
  const before = head === '' ? [] : head.split(':');
  const after = tail ? tail.split(':') : [];
  const gap = Array.from({ length: 8 - before.length - after.length }, () => '0');
  return `${[...before, ...gap, ...after].slice(0, 4).join(':')}::/64`;
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
