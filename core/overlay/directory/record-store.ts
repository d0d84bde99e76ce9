import type { Clock } from '../../runtime/clock.ts';
import { MoveError } from '../../runtime/errors.ts';
import type { LocationRecord } from '../location-record.ts';

/** What the store did with a record that it did not refuse. */
export type StoreOutcome = 'moved' | 'affirmed' | 'known';

interface Entry {
  /** The highest epoch seen; outlives the record, so that an old site cannot return after a silence. */
  epoch: number;
  record: LocationRecord;
}

/** Services one node remembers at most; the one not heard of for longest goes first. */
const serviceLimit = 10_000;

/**
 * The location records one overlay node holds, in memory: at most one for a service, never one of a lower
 * epoch than was seen before.
 */
export class RecordStore {
  readonly #clock: Clock;
  readonly #entries = new Map<string, Entry>();

  constructor(clock: Clock) {
    this.#clock = clock;
  }

  /**
   * Takes a verified record: `moved` for a new epoch, `affirmed` when it extends the present one, `known`
   * when it says nothing new.
   * @throws MoveError `EPOCH_STALE` below the highest epoch seen, `LOCATION_CONFLICT` for another site in the
   * same epoch (both carry the record held in `details.held`), `RECORD_EXPIRED`.
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
        { service, site, epoch, highest: entry.epoch, held: entry.record },
      );
    }
    if (entry && epoch === entry.epoch && site !== entry.record.site) {
      throw new MoveError(
        'LOCATION_CONFLICT',
        `${site} announced ${service} in epoch ${epoch}, which belongs to ${entry.record.site}.`,
        { service, site, epoch, heldBy: entry.record.site, held: entry.record },
      );
    }
    if (entry?.epoch === epoch && record.issuedAt <= entry.record.issuedAt) return 'known';
    this.#entries.delete(service);
    this.#entries.set(service, { epoch, record });
    if (this.#entries.size > serviceLimit) {
      for (const oldest of this.#entries.keys()) {
        this.#entries.delete(oldest);
        break;
      }
    }
    return entry?.epoch === epoch ? 'affirmed' : 'moved';
  }

  /** The record of a service that has not expired, or null. */
  get(service: string): LocationRecord | null {
    const record = this.#entries.get(service)?.record;
    return record && record.expiresAt > this.#clock.now() ? record : null;
  }

  /** Every record that has not expired. */
  all(): LocationRecord[] {
    const now = this.#clock.now();
    return [...this.#entries.values()].map(({ record }) => record).filter(({ expiresAt }) => expiresAt > now);
  }
}
