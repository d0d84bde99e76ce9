import type { Clock } from '../../runtime/clock.ts';
import { MoveError } from '../../runtime/errors.ts';
import type { LocationRecord } from '../location-record.ts';
import type { Locator } from '../locator.ts';
import type { Directory } from './directory.ts';
import { isNewer } from './directory-messages.ts';

export interface RingLocatorOptions {
  directory: Pick<Directory, 'find' | 'unwatch' | 'onPush' | 'onRenewal'>;
  clock: Clock;
  /** How often subscriptions are renewed, well within their life of 60 s. 10,000 ms. */
  renewMs?: number;
  /** How long an unused record is kept subscribed. 300,000 ms. */
  idleMs?: number;
  /** Services remembered at most. 1,024. */
  limit?: number;
  /** Hears when a renewal failed; the record stays in use until it expires. */
  onTrouble?: (service: string, thrown: unknown) => void;
}

type Listener = (record: LocationRecord) => void;

/**
 * How long after a change of holders a subscription is renewed: when those who noticed have settled it, and once more
 * when stabilisation has told their predecessors, by whom the holders are found.
 */
const renewalDelaysMs = [100, 1_500];

interface Entry {
  record: LocationRecord | null;
  highest: number;
  listeners: Set<Listener>;
  usedAt: number;
}

/**
 * Finds services by the ring's directory. A record once found is used until it expires and kept fresh by
 * the holders, who push every change; so a lookup on the path of a request usually costs nothing.
 */
export class RingLocator implements Locator {
  readonly #options: Required<RingLocatorOptions>;
  readonly #entries = new Map<string, Entry>();
  readonly #searches = new Map<string, Promise<LocationRecord>>();
  readonly #stopListening: () => void;
  readonly #renewing = new Map<string, () => void>();
  #cancelRenewal: () => void = () => undefined;
  #closed = false;

  constructor(options: RingLocatorOptions) {
    this.#options = {
      renewMs: 10_000,
      idleMs: 300_000,
      limit: 1024,
      onTrouble: () => undefined,
      ...options,
    };
    const { directory } = options;
    const ends = [
      directory.onPush((record) => this.#accept(record, false)),
      directory.onRenewal((service) => this.#renewSoon(service)),
    ];
    this.#stopListening = () => {
      for (const end of ends) end();
    };
    this.#scheduleRenewal();
  }

  /** @throws MoveError `SERVICE_NOT_FOUND`, `LOCATE_FAILED`, `LOCATOR_CLOSED`. */
  async locate(service: string): Promise<LocationRecord> {
    const name = service.toLowerCase();
    const entry = this.#entries.get(name);
    if (entry) entry.usedAt = this.#options.clock.monotonic();
    if (entry?.record && entry.record.expiresAt > this.#options.clock.now()) return entry.record;
    return await this.refresh(name);
  }

  /**
   * Asks the directory even when a record is at hand: for a caller who found nobody at its address. Several
   * callers at once share one search.
   * @throws MoveError as `locate`.
   */
  async refresh(service: string): Promise<LocationRecord> {
    const name = service.toLowerCase();
    if (this.#closed) throw new MoveError('LOCATOR_CLOSED', 'This overlay node is shutting down.');
    const running = this.#searches.get(name);
    if (running) return await running;
    const search = this.#options.directory
      .find(name, true)
      .then((record) => this.#believe(this.#accept(record, true)))
      .finally(() => this.#searches.delete(name));
    this.#searches.set(name, search);
    return await search;
  }

  watch(service: string, listener: Listener): () => void {
    const name = service.toLowerCase();
    const entry = this.#entry(name);
    // Wrapped, so that the same function given twice is two subscriptions.
    const own: Listener = (record) => listener(record);
    entry.listeners.add(own);
    if (!entry.record) this.#refreshQuietly(name);
    return () => {
      entry.listeners.delete(own);
    };
  }

  /** Ends all subscriptions of this node; a later `locate` is refused. */
  async close(): Promise<void> {
    this.#closed = true;
    this.#cancelRenewal();
    this.#stopListening();
    for (const cancel of this.#renewing.values()) cancel();
    const services = [...this.#entries.keys()];
    this.#entries.clear();
    await Promise.allSettled(services.map((service) => this.#options.directory.unwatch(service)));
  }

  #entry(service: string): Entry {
    const usedAt = this.#options.clock.monotonic();
    const known = this.#entries.get(service);
    if (known) return known;
    const entry: Entry = { record: null, highest: 0, listeners: new Set(), usedAt };
    this.#entries.set(service, entry);
    if (this.#entries.size > this.#options.limit) this.#forgetOldest();
    return entry;
  }

  /** The newest word may have expired while an older one has not: then nobody announces the service. */
  #believe(record: LocationRecord): LocationRecord {
    if (record.expiresAt > this.#options.clock.now()) return record;
    throw new MoveError(
      'SERVICE_NOT_FOUND',
      `The last known location of ${record.service} has expired and its site does not affirm it.`,
      { service: record.service, site: record.site, epoch: record.epoch },
    );
  }

  /** Returns the record to be believed after hearing `record`: never one of an epoch that has passed. */
  #accept(record: LocationRecord, wanted: boolean): LocationRecord {
    if (this.#closed) return record;
    const entry = wanted ? this.#entry(record.service) : this.#entries.get(record.service);
    if (!entry) return record;
    if (entry.record && !isNewer(record, entry.record)) return entry.record;
    if (record.epoch < entry.highest) return entry.record ?? record;
    entry.record = record;
    if (record.epoch > entry.highest) {
      entry.highest = record.epoch;
      for (const listener of [...entry.listeners]) listener(record);
    }
    return record;
  }

  #forgetOldest(): void {
    const idle = [...this.#entries].filter(([, entry]) => entry.listeners.size === 0);
    idle.sort(([, a], [, b]) => a.usedAt - b.usedAt);
    if (idle[0]) this.#forget(idle[0][0]);
  }

  #forget(service: string): void {
    this.#entries.delete(service);
    this.#options.directory.unwatch(service).catch((thrown) => this.#options.onTrouble(service, thrown));
  }

  #refreshQuietly(service: string): void {
    this.refresh(service).catch((thrown) => this.#options.onTrouble(service, thrown));
  }

  /** Several holders notice the same change; what they say while a renewal is due adds nothing. */
  #renewSoon(service: string): void {
    if (!this.#entries.has(service) || this.#renewing.has(service)) return;
    const renewAfter = ([delay, ...later]: readonly number[]): void => {
      if (delay === undefined || !this.#entries.has(service)) {
        this.#renewing.delete(service);
        return;
      }
      const cancel = this.#options.clock.after(delay, () => {
        this.#refreshQuietly(service);
        renewAfter(later);
      });
      this.#renewing.set(service, cancel);
    };
    renewAfter(renewalDelaysMs);
  }

  #scheduleRenewal(): void {
    const { clock, renewMs, idleMs } = this.#options;
    this.#cancelRenewal = clock.after(renewMs, () => {
      const idleSince = clock.monotonic() - idleMs;
      for (const [service, entry] of [...this.#entries]) {
        if (entry.listeners.size === 0 && entry.usedAt < idleSince) this.#forget(service);
        else this.#refreshQuietly(service);
      }
      this.#scheduleRenewal();
    });
  }
}
