import { owns, serviceKey } from '../../ring/identifier.ts';
import type { Peer } from '../../ring/messages.ts';
import type { Clock } from '../../runtime/clock.ts';
import type { LocationRecord } from '../location-record.ts';
import type { DirectoryRing } from './directory-types.ts';

export interface RepairOptions {
  ring: DirectoryRing;
  clock: Clock;
  replicas: number;
  records: () => LocationRecord[];
  send: (peer: Peer, record: LocationRecord) => Promise<unknown>;
}

const delayMs = 20;
const retryMs = 1000;
/** Records sent at once, so that a handover does not crowd out the ring's own messages. */
const batch = 16;

/**
 * Keeps every record on its directory node and that node's successors while members come and go: after a
 * change of neighbours the owner sends its records to its successors, and whoever holds a record that now
 * falls on another node sends it there. Receiving a record twice changes nothing, so too much is safe.
 */
export class Repair {
  readonly #options: RepairOptions;
  readonly #stopListening: () => void;
  #cancel: (() => void) | null = null;
  #running: Promise<void> | null = null;
  #again = false;
  #due = 0;
  #closed = false;

  constructor(options: RepairOptions) {
    this.#options = options;
    this.#stopListening = options.ring.onChange(() => this.soon());
  }

  /** Repairs `delay` milliseconds from now, together with whatever else changes until then. */
  soon(delay = delayMs): void {
    if (this.#closed) return;
    if (this.#running) {
      this.#again = true;
      return;
    }
    const { clock } = this.#options;
    const due = clock.monotonic() + delay;
    if (this.#cancel && this.#due <= due) return;
    this.#cancel?.();
    this.#due = due;
    this.#cancel = clock.after(delay, () => {
      this.#cancel = null;
      this.#running = this.#run().then((complete) => {
        this.#running = null;
        if (this.#again) this.soon();
        else if (!complete) this.soon(retryMs);
        this.#again = false;
      });
    });
  }

  /** Sends every record to those who hold it when this node is gone. */
  async handOver(): Promise<void> {
    const { ring, records, replicas } = this.#options;
    const { successors, identifier } = ring.status();
    const others = successors.filter((peer) => peer.identifier !== identifier).slice(0, replicas + 1);
    await this.#sendAll(records().flatMap((record) => others.map((peer) => ({ peer, record }))));
  }

  close(): void {
    this.#closed = true;
    this.#cancel?.();
    this.#stopListening();
  }

  /** True when nothing is left to send. */
  async #run(): Promise<boolean> {
    const { ring, records, replicas } = this.#options;
    const work: { peer: Peer; record: LocationRecord }[] = [];
    let complete = true;
    for (const record of records()) {
      const { member, predecessor, successors, identifier } = ring.status();
      if (!member || this.#closed) return true;
      const key = serviceKey(record.service);
      if (predecessor && owns(predecessor.identifier, key, identifier)) {
        for (const peer of successors.slice(0, replicas)) work.push({ peer, record });
        continue;
      }
      try {
        // The owner sends it on to its own successors; one more copy than needed does no harm.
        const [owner] = await ring.successorsOf(key, 1);
        if (owner && owner.identifier !== identifier) work.push({ peer: owner, record });
      } catch {
        // The ring is between two states; it is asked again shortly.
        complete = false;
      }
    }
    const delivered = await this.#sendAll(work);
    return complete && delivered;
  }

  /** True when every receiver answered; one that refuses knows better, which is an answer. */
  async #sendAll(work: readonly { peer: Peer; record: LocationRecord }[]): Promise<boolean> {
    let complete = true;
    for (let start = 0; start < work.length && !this.#closed; start += batch) {
      const sent = await Promise.allSettled(
        work.slice(start, start + batch).map(({ peer, record }) => this.#options.send(peer, record)),
      );
      if (sent.some((one) => one.status === 'rejected' && !isRefusal(one.reason))) complete = false;
    }
    return complete;
  }
}

const isRefusal = (reason: unknown): boolean =>
  typeof reason === 'object' &&
  reason !== null &&
  'code' in reason &&
  (reason.code === 'EPOCH_STALE' || reason.code === 'LOCATION_CONFLICT' || reason.code === 'RECORD_EXPIRED');
