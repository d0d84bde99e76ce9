import type { KeyObject } from 'node:crypto';
import type { Clock } from '../runtime/clock.ts';
import { MoveError, toMoveError } from '../runtime/errors.ts';
import { type ServiceDelegation, signLocationRecord } from './location-record.ts';

export interface AnnouncerOptions {
  site: string;
  /** `host:port` at which this site takes links from overlay nodes. */
  address: string;
  signer: () => { key: KeyObject | string; certificatePem: string };
  /** Calls a method of the directory at any overlay node, by whatever way is open. */
  call: (method: string, params: unknown) => Promise<unknown>;
  clock: Clock;
  log: (line: string) => void;
  /** Milliseconds between re-affirmations. 10,000. */
  affirmEveryMs?: number;
  /** Milliseconds a record is good for without one. 30,000. */
  lifeMs?: number;
}

/**
 * A site's voice in the directory: announces the services that live here and re-affirms them
 * periodically (MOVE section 2.4, first step), so that a record expires when its site is gone.
 */
export class Announcer {
  readonly #options: AnnouncerOptions;
  readonly #delegations = new Map<string, ServiceDelegation>();
  readonly #affirmEveryMs: number;
  #cancel: () => void = () => undefined;

  constructor(options: AnnouncerOptions) {
    this.#options = options;
    this.#affirmEveryMs = options.affirmEveryMs ?? 10_000;
    this.#schedule();
  }

  /**
   * Announces a service now and keeps it announced.
   * @throws MoveError of the directory: `ANNOUNCE_DENIED`, `EPOCH_STALE`, `LOCATION_CONFLICT`, `DIRECTORY_UNAVAILABLE`.
   */
  async announce(delegation: ServiceDelegation): Promise<void> {
    this.#delegations.set(delegation.service, delegation);
    await this.#affirm(delegation);
  }

  /** Keeps a service announced without waiting for the first time, as after a restart of the agent. */
  keep(delegation: ServiceDelegation): void {
    this.#delegations.set(delegation.service, delegation);
    this.#affirm(delegation).catch((thrown) => this.#complain(delegation, thrown));
  }

  /** Says nothing more about a service; its record expires unless another site announces it. */
  withdraw(service: string): void {
    this.#delegations.delete(service);
  }

  stop(): void {
    this.#cancel();
    this.#delegations.clear();
  }

  #schedule(): void {
    this.#cancel = this.#options.clock.after(this.#affirmEveryMs, () => {
      for (const delegation of this.#delegations.values())
        this.#affirm(delegation).catch((thrown) => this.#complain(delegation, thrown));
      this.#schedule();
    });
  }

  async #affirm(delegation: ServiceDelegation): Promise<void> {
    const { site, address, signer, call, clock } = this.#options;
    const issuedAt = Math.floor(clock.now());
    const record = signLocationRecord(
      {
        service: delegation.service,
        site,
        address,
        epoch: delegation.epoch,
        issuedAt,
        expiresAt: issuedAt + (this.#options.lifeMs ?? 30_000),
        delegation,
      },
      signer(),
    );
    await call('directory.announce', { record });
  }

  #complain(delegation: ServiceDelegation, thrown: unknown): void {
    const error = thrown instanceof MoveError ? thrown : toMoveError(thrown);
    this.#options.log(`announcing ${delegation.service}: ${error.code} ${error.message}`);
    // A higher epoch lives elsewhere: this site has nothing more to say about the service.
    if (error.code === 'EPOCH_STALE') this.withdraw(delegation.service);
  }
}
