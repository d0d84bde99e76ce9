import { connect, type Socket } from 'node:net';
import { z } from 'zod';
import type { Clock } from '../../runtime/clock.ts';
import { MoveError, toMoveError } from '../../runtime/errors.ts';
import { splitAddress } from '../link-pool.ts';
import type { LocationRecord } from '../location-record.ts';

/** Milliseconds between checks of a service that is used, and how long after its last use they go on. */
const checkEveryMs = 1_000;
const usedForMs = 60_000;
/** A record that was not confirmed for longer is not relied on. */
const confirmedForMs = 3_000;
const askLimitMs = 1_000;
const connectLimitMs = 700;
/** Good checks in a row that it takes to go back after home did not answer; at first one is enough. */
const goodChecksToReturn = 5;
/** How long a direct connection may wait for an answer until it is asked whether home is still there. */
const stalledLooks = 2;
const lookEveryMs = 250;

const homeAnswerSchema = z.object({
  /** The service's home site; null where the administrator has not said. */
  home: z.string().nullable(),
  /** The signed record, only while the service is at home. */
  record: z.unknown(),
});

export interface HomeWatchParts {
  service: string;
  clock: Clock;
  /** Asks the access point whether the service is at home. */
  ask(limitMs: number): Promise<unknown>;
  /** Checks a location record. @throws MoveError */
  verify(record: unknown): LocationRecord;
  /** The way changed; connections that waited for an answer, or all that were open, have been ended. */
  changed(way: 'direct' | 'overlay', why: string): void;
}

interface Direct {
  socket: Socket;
  read: number;
  written: number;
  /** Looks in a row at which something had been written and nothing had come back. */
  stalled: number;
}

/**
 * Decides for one service whether it is used directly. Direct is taken only while a location record that the client has
 * verified itself, signed by the site and by the service's own key, says that the service is at its home site now,
 * confirmed within the last 3 s, and while what is at that site's address takes connections. The record decides
 * where, never who answers: a decoy can answer, but it cannot sign.
 */
export class HomeWatch {
  readonly #parts: HomeWatchParts;
  readonly #open = new Set<Direct>();
  #way: 'direct' | 'overlay' = 'overlay';
  #why = 'it was not asked yet where the service is';
  #since: number;
  #host = '';
  #epoch = 0;
  #port = 0;
  #confirmedAt = Number.NEGATIVE_INFINITY;
  #usedAt = Number.NEGATIVE_INFINITY;
  #good = 0;
  #goodNeeded = 1;
  #checking: Promise<void> | undefined;
  #nextCheckAt: number | null = null;
  #cancelCheck: () => void = () => undefined;
  #cancelLook: () => void = () => undefined;
  #closed = false;

  constructor(parts: HomeWatchParts) {
    this.#parts = parts;
    this.#since = parts.clock.now();
  }

  /** How things stand, for people. */
  get status() {
    const { clock } = this.#parts;
    return {
      way: this.#way,
      why: this.#why,
      since: this.#since,
      address: this.#way === 'direct' ? `${this.#host}:${this.#port}` : null,
      nextCheckMs: this.#nextCheckAt === null ? null : Math.max(0, this.#nextCheckAt - clock.monotonic()),
      connections: this.#open.size,
    };
  }

  /**
   * A direct connection, or undefined when the overlay is the way. Waits 700 ms at most, and only who is patient waits
   * for a check as well.
   */
  async connect(port: number, isPatient: boolean): Promise<Socket | undefined> {
    const { clock } = this.#parts;
    this.#usedAt = clock.monotonic();
    if (this.#port !== port) {
      // Each port of a service answers for itself.
      this.#port = port;
      this.#confirmedAt = Number.NEGATIVE_INFINITY;
    }
    if (this.#nextCheckAt === null) void this.#check();
    if (isPatient && this.#way === 'overlay') await this.#check();
    if (this.#way !== 'direct' || clock.monotonic() - this.#confirmedAt > confirmedForMs) return undefined;
    const epoch = this.#epoch;
    try {
      const socket = await this.#dial();
      if (this.#way === 'direct' && this.#epoch === epoch) {
        this.#watch(socket);
        return socket;
      }
      socket.destroy();
    } catch {
      // What went wrong becomes the reason why the overlay is used.
      this.#leave('it does not answer at home', false);
    }
    return undefined;
  }

  /** The access point says that the service moved: nothing is believed any more until it was asked again. */
  moved(): void {
    this.#confirmedAt = Number.NEGATIVE_INFINITY;
    if (this.#way === 'direct') this.#leave('it moved away from home', true);
    if (this.#parts.clock.monotonic() - this.#usedAt < usedForMs) void this.#check();
  }

  close(): void {
    this.#closed = true;
    this.#cancelCheck();
    this.#cancelLook();
    for (const { socket } of this.#open) socket.destroy();
  }

  // ---- checks ----

  #check(): Promise<void> {
    this.#checking ??= this.#checkOnce().finally(() => {
      this.#checking = undefined;
    });
    return this.#checking;
  }

  async #checkOnce(): Promise<void> {
    const { clock } = this.#parts;
    this.#cancelCheck();
    try {
      if (await this.#isAtHome()) {
        (await this.#dial()).destroy();
        this.#isGood();
      }
    } catch (thrown) {
      const isAsking = toMoveError(thrown).code !== 'HOME_SILENT';
      const why = isAsking ? 'nobody can say now whether it is at home' : 'it does not answer at home';
      // Whoever cannot ask for a moment goes on with what was confirmed, for as long as that holds.
      if (!isAsking || clock.monotonic() - this.#confirmedAt > confirmedForMs) this.#leave(why, false);
    }
    if (this.#closed) return;
    const wasUsed = clock.monotonic() - this.#usedAt < usedForMs || this.#open.size > 0;
    this.#nextCheckAt = wasUsed ? clock.monotonic() + checkEveryMs : null;
    if (wasUsed) this.#cancelCheck = clock.after(checkEveryMs, () => void this.#check());
  }

  async #isAtHome(): Promise<boolean> {
    const { clock, ask, verify, service } = this.#parts;
    const askedAt = clock.monotonic();
    const answer = homeAnswerSchema.parse(await ask(askLimitMs));
    if (answer.home === null) {
      this.#leave('nobody has said where its home is', true);
      return false;
    }
    if (answer.record === null || answer.record === undefined) {
      this.#leave(`it is not at its home ${answer.home}`, true);
      return false;
    }
    const record = verify(answer.record);
    if (record.service !== service || record.site !== answer.home)
      throw new MoveError('RECORD_INVALID', `The record that was given is not one of ${service} at home.`);
    if (record.epoch < this.#epoch)
      throw new MoveError('RECORD_INVALID', 'The record that was given is older than one seen before.');
    const { host } = splitAddress(record.address);
    if (record.epoch !== this.#epoch || host !== this.#host) {
      if (this.#way === 'direct') this.#leave('it moved', true);
      this.#epoch = record.epoch;
      this.#host = host;
    }
    this.#confirmedAt = askedAt;
    return true;
  }

  #isGood(): void {
    this.#good += 1;
    if (this.#way === 'direct' || this.#good < this.#goodNeeded) return;
    this.#way = 'direct';
    this.#goodNeeded = goodChecksToReturn;
    this.#tell('it is at home and answers there');
  }

  #leave(why: string, isElsewhere: boolean): void {
    this.#good = 0;
    if (this.#closed || (this.#way === 'overlay' && this.#why === why)) return;
    const wasDirect = this.#way === 'direct';
    this.#way = 'overlay';
    // Where it is not any more, nobody is talked to; where it only does not answer, what is coming may still come.
    for (const { socket, stalled, written } of this.#open)
      if (isElsewhere || stalled > 0 || socket.bytesWritten > written)
        socket.destroy(new MoveError('HOME_LEFT', `${this.#parts.service} is left at home: ${why}.`));
    if (wasDirect && !isElsewhere) this.#goodNeeded = goodChecksToReturn;
    if (isElsewhere) this.#goodNeeded = 1;
    this.#tell(why);
  }

  #tell(why: string): void {
    this.#why = why;
    this.#since = this.#parts.clock.now();
    this.#parts.changed(this.#way, why);
  }

  // ---- direct connections ----

  #dial(): Promise<Socket> {
    const { clock, service } = this.#parts;
    return new Promise((resolve, reject) => {
      const socket = connect({ host: this.#host, port: this.#port, allowHalfOpen: true, noDelay: true });
      const fail = (cause?: Error) => {
        cancel();
        socket.destroy();
        reject(new MoveError('HOME_SILENT', `${service} does not answer at home.`, {}, cause));
      };
      const cancel = clock.after(connectLimitMs, () => fail());
      socket.once('error', fail);
      socket.once('connect', () => {
        cancel();
        socket.off('error', fail);
        socket.on('error', () => undefined);
        resolve(socket);
      });
    });
  }

  #watch(socket: Socket): void {
    const direct: Direct = { socket, read: 0, written: 0, stalled: 0 };
    this.#open.add(direct);
    socket.once('close', () => this.#open.delete(direct));
    if (this.#open.size === 1) this.#lookLater();
  }

  #lookLater(): void {
    this.#cancelLook();
    this.#cancelLook = this.#parts.clock.after(lookEveryMs, () => {
      let isStalled = false;
      for (const direct of this.#open) {
        const { bytesRead, bytesWritten } = direct.socket;
        const isWaiting = bytesRead === direct.read && (bytesWritten > direct.written || direct.stalled > 0);
        direct.stalled = isWaiting ? direct.stalled + 1 : 0;
        direct.read = bytesRead;
        direct.written = bytesWritten;
        isStalled ||= direct.stalled >= stalledLooks && direct.stalled % stalledLooks === 0;
      }
      if (isStalled) void this.#check();
      if (this.#open.size > 0 && !this.#closed) this.#lookLater();
    });
  }
}
