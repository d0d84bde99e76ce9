import type { Duplex } from 'node:stream';
import type { PathPolicy } from '../contract/domain.ts';
import type { Clock } from '../runtime/clock.ts';
import { MoveError, toMoveError } from '../runtime/errors.ts';
import type { LocationRecord } from './location-record.ts';
import type { NextNode } from './ring-route.ts';
import type { ServiceWatch } from './service-watch.ts';
import type { ResumableSession } from './session/resumable-session.ts';

/** A way to the gateway of a service. */
export interface OpenedPath {
  stream: Duplex;
  policy: PathPolicy;
  /** Where it goes from here; null for the site itself. */
  next: NextNode | null;
}

export interface CarrierParts {
  session: ResumableSession;
  service: string;
  watch: ServiceWatch;
  openPath(record: LocationRecord, signal: AbortSignal): Promise<OpenedPath>;
  clock: Clock;
  onAttached(record: LocationRecord, path: OpenedPath): void;
  onParked(trouble: MoveError): void;
  /** Milliseconds a gateway has to answer on a new path. */
  attachDeadlineMs: number;
}

/** Ends that no other path would change. */
const final = new Set(['SESSION_LOST', 'SERVICE_REFUSED', 'TOO_MANY_SESSIONS', 'SESSION_PROTOCOL']);
/** Ends of a session that never began; one that was open waits for the service to come back. */
const finalBeforeOpen = new Set(['SERVICE_NOT_FOUND', 'SCOPE_DENIED', 'ROLE_DENIED', 'NO_SERVLET']);

/** What a site says when the service is on its way: the push of its new record ends the wait, not asking again. */
const onItsWay = new Set(['SERVICE_MOVING', 'SERVICE_PAUSED', 'SERVICE_NOT_HERE', 'EPOCH_STALE']);

const firstPauseMs = 25;
/** How often a session that waits for a push looks whether it is its turn to ask. */
const awayPauseMs = 600;
const longestPauseMs = 400;
const stallCheckMs = 1000;
const stallMs = 2000;

/**
 * Keeps one session on a path to wherever its service is: looks the service up, attaches, and when the path
 * breaks or a record of a higher epoch comes in, leaves the old path at once and resumes on a new one. It
 * gives up when the session does, at its parking deadline.
 */
export class SessionCarrier {
  readonly #parts: CarrierParts;
  readonly #unfollow: () => void;
  #epoch = 0;
  /** While a path is being opened. */
  #attempt: AbortController | undefined;
  #wake: (() => void) | undefined;
  #cancelStallCheck: () => void = () => undefined;

  constructor(parts: CarrierParts) {
    this.#parts = parts;
    const unfollow = parts.watch.follow(
      parts.service,
      (record) => this.#onRecord(record),
      () => parts.session.owesAnswer,
    );
    const unback = parts.watch.onBack(parts.service, () => this.#wake?.());
    this.#unfollow = () => {
      unback();
      unfollow();
    };
    parts.session.once('close', () => {
      this.#unfollow();
      this.#cancelStallCheck();
      this.#attempt?.abort();
      this.#wake?.();
    });
  }

  /** Runs until the session is over; never throws. */
  async run(): Promise<void> {
    const { session } = this.#parts;
    let pauseMs = 0;
    let failedAttempts = 0;
    this.#watchStalls();
    while (!session.destroyed) {
      const epochBefore = this.#epoch;
      if (this.#parts.watch.holdsOff(this.#parts.service)) {
        session.trouble ??= new MoveError(
          'SERVICE_MOVING',
          'The service is being moved; this session waits.',
        );
        await this.#pause(awayPauseMs);
        continue;
      }
      try {
        await this.#attachOnce(failedAttempts > 0);
        this.#parts.watch.markBack(this.#parts.service);
        failedAttempts = 0;
        pauseMs = 0;
        await this.#untilLost();
        if (session.destroyed) return;
        this.#parts.onParked(session.trouble ?? new MoveError('PATH_LOST', 'The path to the service broke.'));
        failedAttempts = 1;
      } catch (thrown) {
        const error = toMoveError(thrown);
        if (session.destroyed) return;
        if (final.has(error.code) || (!session.wasOpen && finalBeforeOpen.has(error.code))) {
          session.destroy(error);
          return;
        }
        session.trouble = error;
        failedAttempts += 1;
      }
      // A record newer than the one just tried is tried at once.
      if ((this.#parts.watch.known(this.#parts.service)?.epoch ?? 0) > Math.max(this.#epoch, epochBefore))
        continue;
      if (failedAttempts > 0 && onItsWay.has(session.trouble?.code ?? '')) {
        this.#parts.watch.markAway(this.#parts.service, this.#epoch);
        continue;
      }
      await this.#pause(pauseMs);
      pauseMs = pauseMs === 0 ? firstPauseMs : Math.min(pauseMs * 2, longestPauseMs);
    }
  }

  async #attachOnce(askAgain: boolean): Promise<void> {
    const attempt = new AbortController();
    this.#attempt = attempt;
    try {
      await this.#attachBy(askAgain, attempt.signal);
    } finally {
      if (this.#attempt === attempt) this.#attempt = undefined;
    }
  }

  async #attachBy(askAgain: boolean, signal: AbortSignal): Promise<void> {
    const { session, service, watch, clock } = this.#parts;
    const known = watch.known(service);
    let record = known;
    // After a failure the directory is asked again, but a record that is newer than what failed goes first.
    if (!record || (askAgain && record.epoch <= this.#epoch)) {
      try {
        record = await raced(watch.refresh(service), signal);
      } catch (thrown) {
        // While the directory cannot be asked, what is known and still valid serves.
        if (!known || signal.aborted) throw thrown;
        record = known;
      }
    }
    if (signal.aborted) return;
    this.#epoch = record.epoch;
    const path = await this.#parts.openPath(record, signal);
    if (signal.aborted || session.destroyed) {
      path.stream.destroy();
      throw new MoveError('PATH_LOST', 'The service moved while a path to it was being opened.');
    }
    const cancelDeadline = clock.after(this.#parts.attachDeadlineMs, () => {
      if (session.state === 'attaching') session.detach();
    });
    try {
      await session.attach(path.stream);
    } finally {
      cancelDeadline();
    }
    this.#parts.onAttached(record, path);
  }

  #onRecord(record: LocationRecord): void {
    if (record.epoch <= this.#epoch) return;
    this.#attempt?.abort();
    this.#parts.session.detach();
    this.#wake?.();
  }

  #untilLost(): Promise<void> {
    const { session } = this.#parts;
    return new Promise((resolve) => {
      const check = () => {
        if (session.state === 'open' && !session.destroyed) return;
        session.off('state', check);
        session.off('close', check);
        resolve();
      };
      session.on('state', check);
      session.on('close', check);
      check();
    });
  }

  #pause(delayMs: number): Promise<void> {
    if (delayMs === 0) return Promise.resolve();
    return new Promise((resolve) => {
      const cancel = this.#parts.clock.after(delayMs, () => this.#wake?.());
      this.#wake = () => {
        this.#wake = undefined;
        cancel();
        resolve();
      };
    });
  }

  /** A push may get lost: a session that makes no progress asks by itself whether the service moved. */
  #watchStalls(): void {
    this.#cancelStallCheck = this.#parts.clock.after(stallCheckMs, () => {
      const { session, watch, service } = this.#parts;
      if (session.destroyed) return;
      if (session.state === 'open' && session.stalledMs > stallMs) {
        // The watch tells this carrier when the answer carries a higher epoch; no answer changes nothing.
        watch.refresh(service).catch(() => undefined);
      }
      this.#watchStalls();
    });
  }
}

function raced<Value>(promise: Promise<Value>, signal: AbortSignal): Promise<Value> {
  return new Promise((resolve, reject) => {
    const onAbort = () => reject(new MoveError('PATH_LOST', 'A newer location came in.'));
    signal.addEventListener('abort', onAbort, { once: true });
    promise.then(resolve, reject).finally(() => signal.removeEventListener('abort', onAbort));
  });
}
