import type { Clock } from '../runtime/clock.ts';
import type { Random } from '../runtime/random.ts';
import type { Identifier } from './identifier.ts';
import type { Peer } from './messages.ts';

const limit = 64;
const memoryMs = 10 * 60_000;

/**
 * Members that stopped answering, remembered for ten minutes. Chord cannot tell a dead member from one
 * behind a partition, and two rings never meet again by stabilisation alone; asking these now and then is
 * how they do.
 */
export class LostPeers {
  readonly #clock: Clock;
  readonly #peers = new Map<Identifier, { peer: Peer; forgetAt: number }>();

  constructor(clock: Clock) {
    this.#clock = clock;
  }

  get size(): number {
    return this.#peers.size;
  }

  add(peer: Peer): void {
    this.#peers.delete(peer.identifier);
    this.#peers.set(peer.identifier, { peer, forgetAt: this.#clock.monotonic() + memoryMs });
    if (this.#peers.size > limit) {
      for (const oldest of this.#peers.keys()) {
        this.#peers.delete(oldest);
        break;
      }
    }
  }

  remove(identifier: Identifier): void {
    this.#peers.delete(identifier);
  }

  clear(): void {
    this.#peers.clear();
  }

  /** One of them by chance, or nothing. */
  pick(random: Random): Peer | undefined {
    const now = this.#clock.monotonic();
    for (const [identifier, { forgetAt }] of this.#peers) {
      if (forgetAt <= now) this.#peers.delete(identifier);
    }
    if (this.#peers.size === 0) return undefined;
    return [...this.#peers.values()][random.below(this.#peers.size)]?.peer;
  }
}
