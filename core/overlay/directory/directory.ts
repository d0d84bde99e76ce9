import { owns, serviceKey } from '../../ring/identifier.ts';
import type { Peer } from '../../ring/messages.ts';
import { asRecord } from '../../ring/messages.ts';
import { MoveError, toMoveError } from '../../runtime/errors.ts';
import type { LocationRecord } from '../location-record.ts';
import { isNewer, named, outdated, refusals, serviceName, speaker, transient } from './directory-messages.ts';
import type { AnnounceAnswer, DirectoryCaller, DirectoryOptions } from './directory-types.ts';
import { collectAnswers } from './first-answers.ts';
import type { StoreOutcome } from './record-store.ts';
import { RecordStore } from './record-store.ts';
import { Repair } from './repair.ts';
import { SubscriptionRenewals } from './subscription-renewals.ts';
import { Watchers } from './watchers.ts';

/**
 * One overlay node's part of the directory: takes announcements from sites and carries them to the node that
 * the service's name falls on and its successors, keeps what falls on itself, answers and tells the others.
 */
export class Directory {
  readonly #options: Required<Omit<DirectoryOptions, 'epochs'>>;
  readonly #store: RecordStore;
  readonly #watchers: Watchers;
  readonly #repair: Repair;
  readonly #renewals: SubscriptionRenewals;
  readonly #listeners = new Set<(record: LocationRecord) => void>();
  readonly #renewalListeners = new Set<(service: string) => void>();

  constructor(options: DirectoryOptions) {
    this.#options = { replicas: 2, graceMs: 100, deadlineMs: 1000, ...options };
    this.#store = new RecordStore(options.clock, options.epochs);
    this.#watchers = new Watchers(options.clock);
    const { ring, clock, replicas } = this.#options;
    this.#repair = new Repair({
      ring,
      clock,
      replicas,
      records: () => this.#store.all(),
      send: (peer, record) => this.#storeAt(peer, record),
    });
    this.#renewals = new SubscriptionRenewals({
      ring,
      clock,
      replicas,
      subscriptions: () => this.#watchers.all(),
      ask: (peer, service) => this.#call(peer, 'directory.renew', { service }),
    });
  }

  /**
   * Answers one call. Methods: `directory.announce {record}` from the site itself; `directory.store
   * {record}`, `directory.fetch {service}`, `directory.watch {service, watcher}`, `directory.unwatch
   * {service, watcher}`, `directory.changed {record}` and `directory.renew {service}` from overlay nodes.
   * @throws MoveError `ANNOUNCE_DENIED`, `DIRECTORY_DENIED`, `EPOCH_STALE`, `LOCATION_CONFLICT`, what
   * `verify` throws (`RECORD_INVALID`, `RECORD_EXPIRED`), `DIRECTORY_UNAVAILABLE`, `UNKNOWN_METHOD`. Each
   * refusal becomes an event, once: where it was announced, not at every holder.
   */
  async handle(method: string, params: unknown, from: DirectoryCaller): Promise<unknown> {
    try {
      return await this.#dispatch(method, asRecord(params), from);
    } catch (thrown) {
      const error = toMoveError(thrown);
      const expected = method === 'directory.store' && outdated.has(error.code);
      if (!expected && !transient.has(error.code)) this.#noteRefusal(error, params, from);
      throw error;
    }
  }

  /**
   * Carries a record of a site to the directory node and its replicas. Used by `directory.announce`.
   * @throws MoveError as `handle`; when holders disagree, the refusal wins and the newer record is spread.
   */
  async announce(record: LocationRecord): Promise<AnnounceAnswer> {
    const { clock, deadlineMs, graceMs } = this.#options;
    const holders = await this.holdersOf(record.service).catch((cause: unknown) => {
      throw this.#unavailable(record.service, [], cause);
    });
    const questions = holders.map(async (peer) => ({ peer, outcome: await this.#storeAt(peer, record) }));
    const { answers, failures } = await collectAnswers(clock, questions, () => true, { graceMs, deadlineMs });
    const refusal = failures.map(toMoveError).find(({ code }) => refusals.has(code));
    if (refusal) {
      this.#repair.soon();
      throw refusal;
    }
    if (answers.length === 0) {
      throw this.#unavailable(record.service, holders, failures[0]);
    }
    const moved = answers.some(({ outcome }) => outcome === 'moved');
    if (moved) {
      const { service, site, epoch } = record;
      this.#options.onEvent({ type: 'location.changed', at: clock.now(), service, site, epoch });
    }
    const affirmed = answers.some(({ outcome }) => outcome === 'affirmed');
    return {
      outcome: moved ? 'moved' : affirmed ? 'affirmed' : 'known',
      holders: answers.map(({ peer }) => peer.name),
    };
  }

  /** The directory node of a service and its replicas, the directory node first. */
  async holdersOf(service: string): Promise<Peer[]> {
    const { ring, replicas } = this.#options;
    return await ring.successorsOf(serviceKey(service), replicas + 1);
  }

  /**
   * Asks all holders at once for a service's record, watching it from now on when `watch` is true, and
   * believes the highest epoch. One silent holder costs at most `graceMs`.
   * @throws MoveError `SERVICE_NOT_FOUND` when holders answered and none has a record, `LOCATE_FAILED` when none
   * answered.
   */
  async find(service: string, watch: boolean): Promise<LocationRecord> {
    const { clock, deadlineMs, graceMs } = this.#options;
    const holders = await this.holdersOf(service).catch((cause: unknown) => {
      throw this.#locateFailed(service, cause);
    });
    const questions = holders.map((peer) => this.#ask(peer, service, watch));
    const { answers, failures } = await collectAnswers(clock, questions, (record) => record !== null, {
      graceMs,
      deadlineMs,
    });
    const found = answers.filter((record) => record !== null);
    const best = found.reduce<LocationRecord | null>((a, b) => (a && !isNewer(b, a) ? a : b), null);
    if (best) return best;
    if (answers.length === 0) throw this.#locateFailed(service, failures[0]);
    throw new MoveError(
      'SERVICE_NOT_FOUND',
      `Nobody announces the service ${service}. Check that it runs at a site and that the name is right.`,
      { service },
    );
  }

  /** Ends a subscription that `find` began; holders that do not hear of it forget it by themselves. */
  async unwatch(service: string): Promise<void> {
    const watcher = this.#self();
    const holders = await this.holdersOf(service);
    await Promise.allSettled(
      holders.map((peer) => this.#call(peer, 'directory.unwatch', { service, watcher })),
    );
  }

  /** Calls `listener` with every verified record that a holder pushes to this node. */
  onPush(listener: (record: LocationRecord) => void): () => void {
    this.#listeners.add(listener);
    return () => this.#listeners.delete(listener);
  }

  /** Calls `listener` with every service whose holders have changed, so that its subscription must be renewed. */
  onRenewal(listener: (service: string) => void): () => void {
    this.#renewalListeners.add(listener);
    return () => this.#renewalListeners.delete(listener);
  }

  /** The record that this very node holds of a service, for screens and tests. */
  held(service: string): LocationRecord | null {
    return this.#store.get(service);
  }

  /** All records held here; `owner` where this node is the service's directory node, else it is a replica. */
  records(): { record: LocationRecord; owner: boolean }[] {
    const { predecessor, identifier } = this.#options.ring.status();
    return this.#store.all().map((record) => ({
      record,
      owner: predecessor !== null && owns(predecessor.identifier, serviceKey(record.service), identifier),
    }));
  }

  /**
   * Gives what this node holds to those who hold it after it has gone. Call before `RingNode.leave`; never
   * fails, since the replicas hold the same.
   */
  async handOver(): Promise<void> {
    await this.#repair.handOver();
  }

  /** Stops the background work. */
  close(): void {
    this.#repair.close();
    this.#renewals.close();
    this.#listeners.clear();
    this.#renewalListeners.clear();
  }

  async #dispatch(method: string, params: Record<string, unknown>, from: DirectoryCaller): Promise<unknown> {
    if (method === 'directory.announce') return await this.#takeAnnouncement(params.record, from);
    if (from.role !== 'overlay') {
      throw new MoveError('DIRECTORY_DENIED', 'Only overlay nodes may ask or change the directory.', {
        caller: from.name,
        role: from.role,
        method,
      });
    }
    switch (method) {
      case 'directory.store':
        return { outcome: this.#keep(this.#options.verify(params.record, null)) };
      case 'directory.fetch':
        return { record: this.#store.get(serviceName(params)) };
      case 'directory.watch': {
        const service = serviceName(params);
        this.#watchers.add(service, speaker(params, from));
        return { record: this.#store.get(service) };
      }
      case 'directory.unwatch':
        this.#watchers.remove(serviceName(params), speaker(params, from).identifier);
        return {};
      case 'directory.changed':
        this.#heard(this.#options.verify(params.record, null));
        return {};
      case 'directory.renew': {
        const service = serviceName(params);
        for (const listener of this.#renewalListeners) listener(service);
        return {};
      }
      default:
        throw new MoveError('UNKNOWN_METHOD', `The directory does not know the method ${method}.`, {
          method,
        });
    }
  }

  async #takeAnnouncement(candidate: unknown, from: DirectoryCaller): Promise<AnnounceAnswer> {
    const { site, service } = named(candidate);
    if (from.role !== 'site' || site !== from.name) {
      throw new MoveError(
        'ANNOUNCE_DENIED',
        `${from.name} may not announce that ${service ?? 'a service'} is at ${site ?? 'a site'}: a location is announced by its own site.`,
        { caller: from.name, role: from.role, site, service },
      );
    }
    return await this.announce(this.#options.verify(candidate, from));
  }

  #keep(record: LocationRecord): StoreOutcome {
    const outcome = this.#store.put(record);
    if (outcome === 'known') return outcome;
    for (const watcher of this.#watchers.of(record.service)) this.#push(watcher, record);
    return outcome;
  }

  /** Not awaited: one watcher that is slow must not delay the others, nor the announcing site. */
  #push(watcher: Peer, record: LocationRecord): void {
    this.#call(watcher, 'directory.changed', { record }).catch(() => {
      // One that is gone stops renewing; one that is not will ask again when it renews.
    });
  }

  #heard(record: LocationRecord): void {
    for (const listener of this.#listeners) listener(record);
  }

  async #storeAt(peer: Peer, record: LocationRecord): Promise<StoreOutcome> {
    try {
      const answer = await this.#call(peer, 'directory.store', { record });
      return asRecord(answer).outcome as StoreOutcome;
    } catch (thrown) {
      const error = toMoveError(thrown);
      if (refusals.has(error.code)) this.#learn(error.details.held);
      throw error;
    }
  }

  /** A holder refused for knowing better: what it knows belongs to the other holders too. */
  #learn(held: unknown): void {
    if (held === undefined) return;
    const record = this.#options.verify(held, null);
    void this.holdersOf(record.service)
      .then((holders) =>
        Promise.allSettled(holders.map((peer) => this.#call(peer, 'directory.store', { record }))),
      )
      .catch(() => {
        // The ring has no answer now; repair spreads the record when it changes.
      });
  }

  async #ask(peer: Peer, service: string, watch: boolean): Promise<LocationRecord | null> {
    const answer = watch
      ? await this.#call(peer, 'directory.watch', { service, watcher: this.#self() })
      : await this.#call(peer, 'directory.fetch', { service });
    const { record } = asRecord(answer);
    if (record === null) return null;
    const verified = this.#options.verify(record, null);
    if (verified.service === service) return verified;
    throw new MoveError('RECORD_INVALID', `${peer.name} answered for another service than ${service}.`);
  }

  async #call(peer: Peer, method: string, params: unknown): Promise<unknown> {
    const self = this.#self();
    if (peer.identifier !== self.identifier) {
      return await this.#options.transport.call(peer, method, params, this.#options.deadlineMs);
    }
    const { identifier, name } = self;
    return await this.#dispatch(method, asRecord(params), {
      role: 'overlay',
      name,
      identifier,
      services: [],
      serial: '',
    });
  }

  #self(): Peer {
    const { identifier, name, address } = this.#options.ring.status();
    return { identifier, name, address };
  }

  #unavailable(service: string, holders: readonly Peer[], cause: unknown): MoveError {
    return new MoveError(
      'DIRECTORY_UNAVAILABLE',
      `No directory node could take the location of ${service}. Announce it again shortly.`,
      { service, holders: holders.map((peer) => peer.name) },
      cause,
    );
  }

  #locateFailed(service: string, cause: unknown): MoveError {
    return new MoveError(
      'LOCATE_FAILED',
      `The directory could not be asked where ${service} is. Check that enough overlay nodes run.`,
      { service },
      cause,
    );
  }

  #noteRefusal(error: MoveError, params: unknown, from: DirectoryCaller): void {
    const record =
      typeof params === 'object' && params !== null && 'record' in params ? params.record : params;
    const { service, epoch } = named(record);
    this.#options.onEvent({
      type: 'location.refused',
      at: this.#options.clock.now(),
      code: error.code,
      why: error.message,
      caller: from.name,
      role: from.role,
      service,
      epoch,
    });
  }
}
