import type { Clock } from '../runtime/clock.ts';
import { MoveError } from '../runtime/errors.ts';
import type { LocationRecord } from './location-record.ts';
import type { Locator } from './locator.ts';

/** Sessions that are told of a move in one go, and milliseconds until the next ones are. */
const toldAtOnce = 3;
const toldEveryMs = 10;
const lingerMs = 60_000;
const maxWatched = 1024;

/** While a service is on its way one session at a time asks whether it is back, this often. */
const askBackMs = 500;

/** Who wants to hear of a move, and whether somebody waits for him. */
interface Follower {
  moved: (record: LocationRecord) => void;
  urgent: () => boolean;
}

interface Watched {
  /** The epoch at which the service was last found to be leaving, and when somebody may ask again. */
  away: { epoch: number; askAt: number } | undefined;
  back: Set<() => void>;
  newest: LocationRecord | undefined;
  locating: Promise<LocationRecord> | undefined;
  followers: Set<Follower>;
  stop: () => void;
  cancelLinger: (() => void) | undefined;
}

/**
 * What one access point knows of where services are: the newest record of each service it carries sessions
 * of, kept current by the directory's pushes, so that a warm request needs no lookup.
 */
export class ServiceWatch {
  readonly #locator: Locator;
  readonly #clock: Clock;
  readonly #watched = new Map<string, Watched>();

  constructor(locator: Locator, clock: Clock) {
    this.#locator = locator;
    this.#clock = clock;
  }

  /**
   * Calls `moved` for each record of a higher epoch until the returned function is called; those that are urgent
   * at that moment come first.
   */
  follow(
    service: string,
    moved: (record: LocationRecord) => void,
    urgent: () => boolean = () => false,
  ): () => void {
    const watched = this.#watch(service);
    watched.cancelLinger?.();
    watched.cancelLinger = undefined;
    const follower: Follower = { moved, urgent };
    watched.followers.add(follower);
    return () => {
      watched.followers.delete(follower);
      if (watched.followers.size > 0 || watched.cancelLinger) return;
      watched.cancelLinger = this.#clock.after(lingerMs, () => this.#drop(service, watched));
    };
  }

  /** The newest record known, if it has not expired. */
  known(service: string): LocationRecord | undefined {
    const newest = this.#watched.get(service)?.newest;
    return newest && newest.expiresAt > this.#clock.now() ? newest : undefined;
  }

  /** A site said that the service is leaving it: until a newer record comes, few need to ask again. */
  markAway(service: string, epoch: number): void {
    const watched = this.#watched.get(service);
    if (watched) watched.away = { epoch, askAt: this.#clock.monotonic() + askBackMs };
  }

  /** The service answers at the epoch at which it was leaving: it stayed. Everybody who waits may try. */
  markBack(service: string): void {
    const watched = this.#watched.get(service);
    if (!watched?.away) return;
    watched.away = undefined;
    for (const wake of [...watched.back]) wake();
  }

  /** Whether to wait instead of trying: true while the service is on its way, but for one asker now and then. */
  holdsOff(service: string): boolean {
    const watched = this.#watched.get(service);
    const away = watched?.away;
    if (!watched || !away || (watched.newest && watched.newest.epoch > away.epoch)) return false;
    const now = this.#clock.monotonic();
    if (now < away.askAt) return true;
    away.askAt = now + askBackMs;
    return false;
  }

  /** Calls `wake` when a service that was leaving turns out to have stayed. */
  onBack(service: string, wake: () => void): () => void {
    const watched = this.#watched.get(service);
    watched?.back.add(wake);
    return () => watched?.back.delete(wake);
  }

  /** Asks the directory, whatever is known, and returns the newest record. @throws as Locator.locate. */
  async refresh(service: string): Promise<LocationRecord> {
    const watched = this.#watched.get(service);
    if (!watched) return this.#locator.locate(service);
    watched.locating ??= this.#locator.locate(service).finally(() => {
      watched.locating = undefined;
    });
    this.#learn(watched, await watched.locating);
    return watched.newest!;
  }

  close(): void {
    for (const [service, watched] of this.#watched) this.#drop(service, watched);
  }

  #watch(service: string): Watched {
    const existing = this.#watched.get(service);
    if (existing) return existing;
    if (this.#watched.size >= maxWatched) {
      const idle = [...this.#watched].find(([, candidate]) => candidate.followers.size === 0);
      if (!idle)
        throw new MoveError('TOO_MANY_SERVICES', 'This access point carries as many services as it may.');
      this.#drop(...idle);
    }
    const watched: Watched = {
      away: undefined,
      back: new Set(),
      newest: undefined,
      locating: undefined,
      followers: new Set(),
      stop: () => undefined,
      cancelLinger: undefined,
    };
    this.#watched.set(service, watched);
    watched.stop = this.#locator.watch(service, (record) => this.#learn(watched, record));
    return watched;
  }

  #learn(watched: Watched, record: LocationRecord): void {
    const before = watched.newest;
    if (
      before &&
      (record.epoch < before.epoch || (record.epoch === before.epoch && record.expiresAt <= before.expiresAt))
    ) {
      return;
    }
    watched.newest = record;
    if (before && record.epoch === before.epoch) return;
    const followers = [...watched.followers].map((follower) => ({ follower, urgent: follower.urgent() }));
    followers.sort((left, right) => Number(right.urgent) - Number(left.urgent));
    this.#tell(
      watched,
      record,
      followers.map(({ follower }) => follower),
    );
  }

  /** Some at a time: when hundreds of sessions resume at once, the first answer waits for the last of them. */
  #tell(watched: Watched, record: LocationRecord, followers: readonly Follower[]): void {
    for (const follower of followers.slice(0, toldAtOnce))
      if (watched.followers.has(follower)) follower.moved(record);
    if (followers.length > toldAtOnce)
      this.#clock.after(toldEveryMs, () => this.#tell(watched, record, followers.slice(toldAtOnce)));
  }

  #drop(service: string, watched: Watched): void {
    watched.cancelLinger?.();
    watched.stop();
    if (this.#watched.get(service) === watched) this.#watched.delete(service);
  }
}
