import type { Clock } from '../../runtime/clock.ts';
import { MoveError } from '../../runtime/errors.ts';
import type { LocationRecord } from '../location-record.ts';
import type { AccessPoints } from './access-points.ts';
import { isLostWithAccessPoint } from './access-points.ts';
import type { ForwarderEvents } from './forwarder-event.ts';
import { HomeWatch } from './home-watch.ts';
import type { Opened, WantedWay, Way } from './way.ts';

export interface WaysOptions {
  accessPoints: AccessPoints;
  wanted: WantedWay;
  verify(record: unknown): LocationRecord;
  events: ForwarderEvents;
  clock: Clock;
}

/** Says of a connection that nothing new should go over it, and whether waiting for its answer is in vain. */
export type Stale = (opened: Opened) => 'fine' | 'spent' | 'in vain';

const watchedAtMost = 64;

/** How a client reaches its services: directly or through the overlay, over whatever access point there is. */
export class Ways {
  readonly #options: WaysOptions;
  readonly #homes = new Map<string, HomeWatch>();
  readonly #listeners = new Set<(stale: Stale) => void>();
  readonly #open = { direct: 0, overlay: 0 };

  constructor(options: WaysOptions) {
    this.#options = options;
    options.accessPoints.onLeft(({ link, isSilent }) =>
      this.#tellStale((opened) => (opened.link !== link ? 'fine' : isSilent ? 'in vain' : 'spent')),
    );
  }

  /** Connections that are open now. */
  get connections(): Readonly<Record<Way, number>> {
    return this.#open;
  }

  /** How each service is reached that was asked for, unless everything goes through the overlay. */
  get homes(): ReadonlyMap<string, HomeWatch> {
    return this.#homes;
  }

  /** Calls back when connections that are kept should not be used any more. */
  onStale(listener: (stale: Stale) => void): void {
    this.#listeners.add(listener);
  }

  /**
   * A connection to a service; over the overlay, bytes may flow before it is accepted.
   * @throws MoveError `ACCESS_POINT_LOST`, and with the way `direct` `HOME_SILENT`.
   */
  async open(service: string, port: number, deadlineMs: number): Promise<Opened> {
    const home = this.#homeOf(service);
    const isDirectOnly = this.#options.wanted === 'direct';
    const socket = await home?.connect(port, isDirectOnly);
    if (isDirectOnly && !socket)
      throw new MoveError(
        'HOME_SILENT',
        `${service} cannot be used directly: ${home?.status.why ?? 'it is one of too many'}.`,
      );
    const opened: Opened = socket
      ? { stream: socket, accepted: Promise.resolve(), way: 'direct' }
      : await this.#options.accessPoints.open(service, port, deadlineMs);
    this.#open[opened.way] += 1;
    opened.stream.once('close', () => {
      this.#open[opened.way] -= 1;
    });
    return opened;
  }

  /** The same, accepted; asked once more when the access point dies before it has accepted. @throws MoveError */
  async openAccepted(service: string, port: number, deadlineMs: number): Promise<Opened> {
    for (let isAgain = false; ; isAgain = true) {
      const opened = await this.open(service, port, deadlineMs);
      try {
        await opened.accepted;
        return opened;
      } catch (thrown) {
        if (isAgain || !isLostWithAccessPoint(thrown)) throw thrown;
      }
    }
  }

  /** The access point says that a service moved. */
  moved(service: string): void {
    this.#homes.get(service)?.moved();
  }

  close(): void {
    for (const home of this.#homes.values()) home.close();
  }

  #homeOf(service: string): HomeWatch | undefined {
    const { wanted, accessPoints, verify, events, clock } = this.#options;
    if (wanted === 'overlay') return undefined;
    const known = this.#homes.get(service);
    if (known || this.#homes.size >= watchedAtMost) return known;
    const home = new HomeWatch({
      service,
      clock,
      verify,
      ask: (limitMs) => accessPoints.call('location.home', { service }, limitMs),
      changed: (way, why) => {
        events({ type: 'way', service, way, why });
        // What is kept open the other way would be used on and on.
        this.#tellStale((opened) => (opened.way === way ? 'fine' : 'spent'));
      },
    });
    this.#homes.set(service, home);
    return home;
  }

  #tellStale(stale: Stale): void {
    for (const listener of this.#listeners) listener(stale);
  }
}
