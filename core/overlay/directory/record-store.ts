import type { Clock } from '../../runtime/clock.ts';
import { MoveError } from '../../runtime/errors.ts';
import type { LocationRecord } from '../location-record.ts';

/** What the store did with a record that it did not refuse. */
export type StoreOutcome = 'moved' | 'affirmed' | 'known';

/** The highest epoch seen of a service, and the site that it belongs to. */
export interface KnownEpoch {
  service: string;
  site: string;
  epoch: number;
}

/** Where epochs are kept beyond the life of a process; the store tells it of each new one. */
export interface EpochMemory {
  /** What was known when the process began, the oldest first. */
  load(): readonly KnownEpoch[];
  remember(known: KnownEpoch): void;
}

interface Entry {
  /** The highest epoch seen; outlives the record, so that an old site cannot return after a silence. */
  epoch: number;
  site: string;
  /** Null when only the epoch is known, from before a restart. */
  record: LocationRecord | null;
}

/** Services one node remembers at most; the one not heard of for longest goes first. */
export const serviceLimit = 10_000;

/**
 * The location records one overlay node holds, in memory: at most one for a service, never one of a lower
 * epoch than was seen before. Records are affirmed every few seconds and need no disk; epochs, which rise with moves
 * alone, are given to the memory as well, so that a restart of all holders brings no stale site back.
 */
export class RecordStore {
  readonly #clock: Clock;
  readonly #memory: EpochMemory | undefined;
  readonly #entries = new Map<string, Entry>();

  constructor(clock: Clock, memory?: EpochMemory) {
    this.#clock = clock;
    this.#memory = memory;
    for (const { service, site, epoch } of memory?.load() ?? [])
      this.#enter(service, { epoch, site, record: null });
  }

  /**
   * Takes a verified record: `moved` for a new epoch, `affirmed` when it extends the present one, `known`
   * when it says nothing new.
   * @throws MoveError `EPOCH_STALE` below the highest epoch seen, `LOCATION_CONFLICT` for another site in the
   * same epoch (both carry the record held, if there is one, in `details.held`), `RECORD_EXPIRED`.
   */
  put(record: LocationRecord): StoreOutcome {
    const { service, site, epoch } = record;
    if (record.expiresAt <= this.#clock.now()) {
      throw new MoveError(
        'RECORD_EXPIRED',
        `The location record of ${service} has expired; its site must affirm it anew.`,
        { service, site, epoch },
      );
    }
    const entry = this.#entries.get(service);
    if (entry && epoch < entry.epoch) {
      throw new MoveError(
        'EPOCH_STALE',
        `${site} announced ${service} in epoch ${epoch}, but it has moved on to epoch ${entry.epoch}. Stop the copy at ${site}.`,
        { service, site, epoch, highest: entry.epoch, ...heldBy(entry) },
      );
    }
    if (entry && epoch === entry.epoch && site !== entry.site) {
      throw new MoveError(
        'LOCATION_CONFLICT',
        `${site} announced ${service} in epoch ${epoch}, which belongs to ${entry.site}.`,
        { service, site, epoch, heldBy: entry.site, ...heldBy(entry) },
      );
    }
    if (entry?.epoch === epoch && entry.record && record.issuedAt <= entry.record.issuedAt) return 'known';
    this.#enter(service, { epoch, site, record });
    if (entry?.epoch === epoch) return 'affirmed';
    this.#memory?.remember({ service, site, epoch });
    return 'moved';
  }

  /** The record of a service that has not expired, or null. */
  get(service: string): LocationRecord | null {
    const record = this.#entries.get(service)?.record;
    return record && record.expiresAt > this.#clock.now() ? record : null;
  }

  /** Every record that has not expired. */
  all(): LocationRecord[] {
    const now = this.#clock.now();
    return [...this.#entries.values()]
      .map(({ record }) => record)
      .filter((record) => record !== null)
      .filter(({ expiresAt }) => expiresAt > now);
  }

  #enter(service: string, entry: Entry): void {
    this.#entries.delete(service);
    this.#entries.set(service, entry);
    if (this.#entries.size <= serviceLimit) return;
    for (const oldest of this.#entries.keys()) {
      this.#entries.delete(oldest);
      return;
    }
  }
}

const heldBy = ({ record }: Entry): { held?: LocationRecord } => (record ? { held: record } : {});
