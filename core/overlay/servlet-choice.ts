import type { Clock } from '../runtime/clock.ts';
import { MoveError } from '../runtime/errors.ts';
import type { Random } from '../runtime/random.ts';
import type { LinkPool, LinkTarget } from './link-pool.ts';
import type { OverlayPeer } from './overlay-peer.ts';
import { targetOf } from './overlay-peer.ts';
import type { SiteDistances } from './site-distances.ts';

export interface ServletChoiceOptions {
  /** This node's own name: it is never its own servlet. */
  name: string;
  peers: () => readonly OverlayPeer[];
  pool: LinkPool;
  distances: SiteDistances;
  random: Random;
  clock: Clock;
}

/** How long a node that failed is passed over. */
const avoidMs = 2000;

/** Draws servlets (MOVE §3.2), and remembers for a while which nodes failed. */
export class ServletChoice {
  readonly #options: ServletChoiceOptions;
  readonly #avoid = new Map<string, number>();

  constructor(options: ServletChoiceOptions) {
    this.#options = options;
  }

  /**
   * A random node among those that a link is open to; if there are none, among all. With `nearest` above 1 so
   * many are drawn, and the one taken over which the site is reached soonest, as far as round trips are known.
   * `except` is drawn only when nobody else is there.
   * @throws MoveError `NO_SERVLET`.
   */
  choose(wanted: { site: LinkTarget; nearest: number; except?: string }): OverlayPeer {
    const { peers, name, pool } = this.#options;
    const fellows = peers().filter((peer) => peer.name !== name);
    if (fellows.length === 0) {
      throw new MoveError('NO_SERVLET', 'This access point knows no other overlay node to use as a servlet.');
    }
    const rest = fellows.filter((peer) => peer.name !== wanted.except);
    const others = rest.length > 0 ? rest : fellows;
    const usable = others.filter((peer) => !this.isPassedOver(peer.name));
    const warm = usable.filter((peer) => pool.peek(targetOf(peer)));
    const candidates = warm.length > 0 ? warm : usable.length > 0 ? usable : others;
    return this.#nearestOf(this.#draw(candidates, wanted.nearest), wanted.site);
  }

  /** Leaves a node that failed out of the next draws. */
  passOver(name: string): void {
    this.#avoid.set(name, this.#options.clock.monotonic() + avoidMs);
  }

  isPassedOver(name: string): boolean {
    const until = this.#avoid.get(name);
    if (until === undefined) return false;
    if (until > this.#options.clock.monotonic()) return true;
    this.#avoid.delete(name);
    return false;
  }

  #draw(candidates: readonly OverlayPeer[], count: number): OverlayPeer[] {
    const left = [...candidates];
    const drawn: OverlayPeer[] = [];
    while (drawn.length < count && left.length > 0)
      drawn.push(...left.splice(this.#options.random.below(left.length), 1));
    return drawn;
  }

  /** A leg that nobody has measured counts as the shortest known one: so it is tried, and then known. */
  #nearestOf(drawn: readonly OverlayPeer[], site: LinkTarget): OverlayPeer {
    const first = drawn[0]!;
    if (drawn.length === 1) return first;
    const { pool, distances } = this.#options;
    const legs = drawn.map((peer) => ({
      peer,
      toServlet: pool.peek(targetOf(peer))?.rttMs,
      toSite: distances.between(peer, site),
    }));
    const shortest = (lengths: (number | undefined)[]) =>
      Math.min(...lengths.map((length) => length ?? Number.POSITIVE_INFINITY));
    const known = {
      toServlet: shortest(legs.map(({ toServlet }) => toServlet)),
      toSite: shortest(legs.map(({ toSite }) => toSite)),
    };
    const wayOf = (leg: (typeof legs)[number]) =>
      (leg.toServlet ?? finite(known.toServlet)) + (leg.toSite ?? finite(known.toSite));
    return legs.reduce((best, leg) => (wayOf(leg) < wayOf(best) ? leg : best)).peer;
  }
}

const finite = (length: number): number => (Number.isFinite(length) ? length : 0);
