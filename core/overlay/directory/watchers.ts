import type { Peer } from '../../ring/messages.ts';
import type { Clock } from '../../runtime/clock.ts';
import { MoveError } from '../../runtime/errors.ts';
import type { Subscription } from './subscription-renewals.ts';

/** How long a subscription lasts unless it is renewed. Milliseconds. */
const watchLifeMs = 60_000;
const watcherLimit = 1024;
const serviceLimit = 10_000;

/** Who wants to hear at once when a service's location changes. Subscriptions end by themselves. */
export class Watchers {
  readonly #clock: Clock;
  readonly #services = new Map<string, Map<string, { peer: Peer; until: number }>>();

  constructor(clock: Clock) {
    this.#clock = clock;
  }

  /** @throws MoveError `TOO_MANY_WATCHERS`. */
  add(service: string, peer: Peer): void {
    const watchers = this.#services.get(service) ?? new Map<string, { peer: Peer; until: number }>();
    const known = watchers.has(peer.identifier);
    const full = this.#services.size >= serviceLimit && !this.#services.has(service);
    if (full || (watchers.size >= watcherLimit && !known)) {
      throw new MoveError('TOO_MANY_WATCHERS', `Too many nodes watch the location of ${service}.`, {
        service,
      });
    }
    watchers.set(peer.identifier, { peer, until: this.#clock.monotonic() + watchLifeMs });
    this.#services.set(service, watchers);
  }

  remove(service: string, identifier: string): void {
    const watchers = this.#services.get(service);
    watchers?.delete(identifier);
    if (watchers?.size === 0) this.#services.delete(service);
  }

  /** Those whose subscription still runs; the others are forgotten. */
  of(service: string): Peer[] {
    const now = this.#clock.monotonic();
    const found: Peer[] = [];
    for (const [identifier, { peer, until }] of this.#services.get(service) ?? []) {
      if (until > now) found.push(peer);
      else this.remove(service, identifier);
    }
    return found;
  }

  /** Every subscription that still runs. */
  all(): Subscription[] {
    return [...this.#services.keys()].flatMap((service) =>
      this.of(service).map((watcher) => ({ service, watcher })),
    );
  }
}
