import { Duplex } from 'node:stream';
import type { Clock } from '../../runtime/clock.ts';
import { systemClock } from '../../runtime/clock.ts';
import { MoveError, toMoveError } from '../../runtime/errors.ts';
import { ByteQueue } from '../../runtime/link/byte-queue.ts';
import {
  encodeHeader,
  frameStart,
  offsetFrame,
  resetFrame,
  resetReason,
  SessionReader,
  sessionFrame,
  sessionKind,
  sessionStatus,
  sessionWindowBytes,
} from './session-wire.ts';

export type SessionState = 'new' | 'attaching' | 'open' | 'parked' | 'failed' | 'closed';

export interface SessionCounters {
  upBytes: number;
  downBytes: number;
  resumes: number;
  /** Milliseconds spent without a path after the first one, in sum. */
  parkedMs: number;
  /** The longest time from losing a path to the next progress. */
  longestStallMs: number;
}

export interface ResumableSessionOptions {
  /** 16 random bytes: whoever knows them can take the session over. */
  id: Buffer;
  port: number;
  clock?: Clock;
  /** Milliseconds without a path after which the session fails. Default 30 000. */
  parkDeadlineMs?: number;
}

const frameBytes = 16_384;
const ackEveryBytes = 65_536;
const deferRepliesMs = 5;

const resetErrors: Record<number, [string, string]> = {
  [resetReason.service]: ['SERVICE_RESET', 'The service reset the connection.'],
  [resetReason.refused]: ['SERVICE_REFUSED', 'The service refused the connection.'],
  [resetReason.expired]: ['SESSION_LOST', 'The session expired while it had no path; connect again.'],
  [resetReason.protocol]: ['SESSION_PROTOCOL', 'The gateway found an error in the session protocol.'],
};

/**
 * The access point's end of a session with the gateway in a pod. Towards the client it is a Duplex that
 * lives on while paths to the pod come and go: `attach` gives it a path, a lost path parks it, and after
 * the next `attach` both ends send again what the other has not got. Buffers are bounded by one window each
 * way; beyond that writers wait. It fails with `PARKED_TOO_LONG` when it stays parked beyond its deadline.
 *
 * Events: `state` with the new {@link SessionState}.
 */
export class ResumableSession extends Duplex {
  readonly id: Buffer;
  readonly port: number;
  readonly counters: SessionCounters = {
    upBytes: 0,
    downBytes: 0,
    resumes: 0,
    parkedMs: 0,
    longestStallMs: 0,
  };
  /** What the last attempt to attach ran into; told when the parking deadline passes. */
  trouble: MoveError | undefined;

  readonly #clock: Clock;
  readonly #parkDeadlineMs: number;
  #state: SessionState = 'new';
  #path: Duplex | undefined;
  #attaching: { resolve: () => void; reject: (error: MoveError) => void } | undefined;
  #everAttached = false;
  #everSent = false;
  #owesAnswer = false;
  #pathGeneration = 0;
  #cancelParkTimer: (() => void) | undefined;
  #parkedAt: number;
  #stalledSince: number | undefined;
  #lastProgress: number;

  // Upstream: `#retained` holds the bytes from #upAcked on.
  readonly #retained = new ByteQueue();
  #upAcked = 0;
  #upSent = 0;
  #upHighest = 0;
  #writeDone: (() => void) | undefined;
  #finalDone: (() => void) | undefined;
  #finWanted = false;
  #finSent = false;
  /** The path on which the end was last sent. */
  #finSentOn = 0;
  #finAcked = false;

  // Downstream.
  readonly #incoming = new ByteQueue();
  #downReceived = 0;
  #downConsumed = 0;
  #downAckSent = 0;
  #downFin: number | undefined;
  #endDelivered = false;
  #wantsRead = false;
  #finackDue = false;
  #cancelReplies: (() => void) | undefined;
  #resetPending: MoveError | undefined;

  constructor(options: ResumableSessionOptions) {
    super({ allowHalfOpen: true, readableHighWaterMark: 16_384, writableHighWaterMark: 65_536 });
    if (options.id.length !== 16) throw new MoveError('SESSION_PROTOCOL', 'A session id has 16 bytes.');
    this.id = options.id;
    this.port = options.port;
    this.#clock = options.clock ?? systemClock;
    this.#parkDeadlineMs = options.parkDeadlineMs ?? 30_000;
    this.#parkedAt = this.#clock.monotonic();
    this.#lastProgress = this.#parkedAt;
    this.on('error', () => undefined);
    this.#startParkTimer();
  }

  get state(): SessionState {
    return this.#state;
  }

  /** True once a gateway has answered for this session. */
  get wasOpen(): boolean {
    return this.#everAttached;
  }

  /** Milliseconds that sent bytes have been waiting for any sign of progress; 0 when none are waiting. */
  get stalledMs(): number {
    return this.#upSent > this.#upAcked ? this.#clock.monotonic() - this.#lastProgress : 0;
  }

  /** Whether the client said something since the service last did: somebody waits for this session. */
  get owesAnswer(): boolean {
    return this.#owesAnswer;
  }

  /** Bytes held in memory now, both ways. */
  get bufferedBytes(): number {
    return this.#retained.length + this.#incoming.length;
  }

  /**
   * Takes `path`, a byte stream to the gateway, into use in place of any former one, and resolves when the
   * gateway has agreed.
   * @throws MoveError `SESSION_LOST`, `SERVICE_REFUSED`, `TOO_MANY_SESSIONS`, `SESSION_PROTOCOL` (all of
   * them final: the session is destroyed with it), `SERVICE_PAUSED`, or what broke the path.
   */
  attach(path: Duplex): Promise<void> {
    if (this.destroyed) {
      path.destroy();
      return Promise.reject(new MoveError('SESSION_LOST', 'The session is over.'));
    }
    this.detach();
    this.#pathGeneration += 1;
    const generation = this.#pathGeneration;
    const mine = () => generation === this.#pathGeneration && this.#path === path;
    this.#path = path;
    // On a new path the gateway says its end again before that is acknowledged.
    this.#finackDue = false;
    this.#setState('attaching');
    const attached = new Promise<void>((resolve, reject) => {
      this.#attaching = { resolve, reject };
    });
    const reader = new SessionReader({
      onReply: (status, received) => mine() && this.#onReply(status, received),
      onData: (part) => mine() && this.#onData(part),
      onFrame: (type, value) => mine() && this.#onFrame(type, value),
    });
    path.on('error', () => undefined);
    path.on('data', (chunk: Buffer) => {
      if (!mine()) return;
      try {
        reader.push(chunk);
      } catch (thrown) {
        this.destroy(toMoveError(thrown));
      }
    });
    const lost = () => {
      if (!mine()) return;
      const cause = path.errored;
      this.#losePath(
        cause instanceof MoveError
          ? cause
          : new MoveError('PATH_LOST', 'The path to the service broke.', {}, cause ?? undefined),
      );
    };
    path.on('end', lost);
    path.on('close', lost);
    path.on('drain', () => mine() && this.#pumpUp());

    const first = !this.#everSent;
    this.#everSent = true;
    path.cork();
    path.write(
      encodeHeader({
        kind: this.#everAttached ? sessionKind.resume : sessionKind.open,
        id: this.id,
        port: this.port,
        received: this.#downReceived,
      }),
    );
    // Bytes may follow the very first OPEN at once: no gateway can have any of them yet.
    this.#upSent = 0;
    if (first) this.#pumpUp();
    path.uncork();
    return attached;
  }

  /** Parks the session: its path is abandoned at once. */
  detach(): void {
    if (this.#path) this.#losePath(new MoveError('PATH_LOST', 'The path was given up for another.'));
  }

  // ---- Duplex towards the client ----

  override _read(): void {
    this.#wantsRead = true;
    this.#drainIncoming();
  }

  override _write(chunk: Buffer, _encoding: BufferEncoding, done: () => void): void {
    this.#retained.push(chunk);
    this.#owesAnswer = true;
    this.counters.upBytes += chunk.length;
    this.#pumpUp();
    if (this.#retained.length < sessionWindowBytes) done();
    else this.#writeDone = done;
  }

  override _final(done: () => void): void {
    this.#finWanted = true;
    if (this.#finAcked) {
      done();
      return;
    }
    this.#finalDone = done;
    this.#pumpUp();
  }

  override _destroy(error: Error | null, done: (error?: Error | null) => void): void {
    const path = this.#path;
    this.#path = undefined;
    this.#cancelParkTimer?.();
    const complete = this.#isComplete();
    if (path) {
      if (complete) this.#writeReplies(path);
      else path.write(resetFrame(resetReason.aborted));
      path.end();
      // The gateway hangs up when it has read the end; a path that does not is cut.
      const cancel = this.#clock.after(2000, () => path.destroy());
      path.once('close', cancel);
      path.resume();
    }
    this.#attaching?.reject(
      error instanceof MoveError
        ? error
        : new MoveError('SESSION_LOST', 'The session was given up.', {}, error ?? undefined),
    );
    this.#attaching = undefined;
    this.#cancelReplies?.();
    this.#retained.clear();
    this.#incoming.clear();
    this.#setState(complete && !error ? 'closed' : 'failed');
    done(error);
  }

  // ---- the path ----

  #onReply(status: number, received: number): void {
    if (status === sessionStatus.ok) {
      this.#onAttached(received);
      return;
    }
    if (status === sessionStatus.paused) {
      this.#losePath(new MoveError('SERVICE_PAUSED', 'The service is being moved; its sessions wait.'));
      return;
    }
    if (status === sessionStatus.unknown && this.#downFin !== undefined && this.#finSent) {
      // Everything was said on both sides; only the last acknowledgement got lost with the path.
      this.#upAcked = this.#upHighest;
      this.#retained.clear();
      this.#onFinack();
      return;
    }
    const errors: Record<number, [string, string]> = {
      [sessionStatus.unknown]: ['SESSION_LOST', 'The service no longer knows this session; connect again.'],
      [sessionStatus.refused]: ['SERVICE_REFUSED', 'The service does not answer on this port.'],
      [sessionStatus.tooMany]: [
        'TOO_MANY_SESSIONS',
        'The service has as many sessions as it may; try again later.',
      ],
    };
    const [code, message] = errors[status] ?? ['SESSION_PROTOCOL', 'The gateway sent an unknown status.'];
    this.destroy(new MoveError(code, message, { port: this.port }));
  }

  #onAttached(received: number): void {
    if (received < this.#upAcked || received > this.#upHighest) {
      throw new MoveError('SESSION_PROTOCOL', 'The gateway claims bytes that it was never sent.', {
        received,
      });
    }
    this.#retained.discard(received - this.#upAcked);
    this.#upAcked = received;
    // Bytes that followed the first OPEN are under way already.
    this.#upSent = Math.max(this.#upSent, received);
    const now = this.#clock.monotonic();
    if (this.#everAttached) {
      this.counters.resumes += 1;
      this.counters.parkedMs += now - this.#parkedAt;
    }
    this.#everAttached = true;
    this.trouble = undefined;
    this.#cancelParkTimer?.();
    this.#cancelParkTimer = undefined;
    this.#downAckSent = this.#downReceived;
    if (this.#retained.length === 0) this.#progress();
    const attaching = this.#attaching;
    this.#attaching = undefined;
    this.#setState('open');
    attaching?.resolve();
    this.#releaseWriter();
    this.#pumpUp();
  }

  #onData(part: Buffer): void {
    this.#mustBeAttached();
    if (this.#downFin !== undefined)
      throw new MoveError('SESSION_PROTOCOL', 'The gateway sent bytes after its end.');
    this.#downReceived += part.length;
    this.counters.downBytes += part.length;
    this.#progress();
    this.#incoming.push(part);
    this.#owesAnswer = false;
    this.#drainIncoming();
    // After resumes a client that does not read could gather a window each time; then the path waits.
    if (this.#incoming.length > 2 * sessionWindowBytes) this.#path?.pause();
  }

  #onFrame(type: number, value: number): void {
    this.#mustBeAttached();
    switch (type) {
      case sessionFrame.ack:
        if (value > this.#upSent)
          throw new MoveError('SESSION_PROTOCOL', 'The gateway acknowledged too much.');
        if (value > this.#upAcked) {
          this.#retained.discard(value - this.#upAcked);
          this.#upAcked = value;
          this.#progress();
          this.#releaseWriter();
          this.#pumpUp();
        }
        return;
      case sessionFrame.fin:
        if (value !== this.#downReceived) {
          throw new MoveError('SESSION_PROTOCOL', 'The gateway ended at another offset than it sent.', {
            end: value,
            received: this.#downReceived,
          });
        }
        this.#downFin = value;
        this.#finackDue = true;
        this.#deferReplies();
        this.#progress();
        this.#drainIncoming();
        return;
      case sessionFrame.finack:
        if (!this.#finSent)
          throw new MoveError('SESSION_PROTOCOL', 'The gateway acknowledged an end never sent.');
        this.#retained.clear();
        this.#upAcked = this.#upHighest;
        this.#onFinack();
        return;
      default: {
        const [code, message] = resetErrors[value] ?? ['SERVICE_RESET', 'The gateway reset the session.'];
        this.#path?.destroy();
        this.#path = undefined;
        this.#failAfterDelivery(new MoveError(code, message));
      }
    }
  }

  /** What the service said before it reset the connection still reaches a client that reads. */
  #failAfterDelivery(error: MoveError): void {
    this.#resetPending = error;
    if (this.#endDelivered) {
      this.destroy(error);
      return;
    }
    this.once('end', () => this.destroy(error));
    this.#startParkTimer();
    this.#drainIncoming();
  }

  #onFinack(): void {
    this.#finAcked = true;
    this.#progress();
    const done = this.#finalDone;
    this.#finalDone = undefined;
    done?.();
    this.#endPathWhenComplete();
  }

  #losePath(error: MoveError): void {
    const path = this.#path;
    if (!path) return;
    this.#path = undefined;
    const now = this.#clock.monotonic();
    if (this.#state === 'open') this.#parkedAt = now;
    this.#stalledSince ??= now;
    path.destroy();
    const attaching = this.#attaching;
    this.#attaching = undefined;
    this.trouble = error;
    if (!this.#isComplete()) {
      if (!this.#cancelParkTimer) this.#startParkTimer();
      this.#setState(this.#everAttached ? 'parked' : 'new');
    }
    attaching?.reject(error);
  }

  // ---- moving bytes ----

  #pumpUp(): void {
    const path = this.#path;
    if (!path || path.destroyed || this.destroyed) return;
    // After the first OPEN only an answer tells from where on to send.
    if (this.#state === 'attaching' && (this.#everAttached || this.#pathGeneration > 1)) return;
    path.cork();
    while (!path.writableNeedDrain) {
      const room = this.#upAcked + sessionWindowBytes - this.#upSent;
      const piece =
        room > 0 ? this.#retained.peek(this.#upSent - this.#upAcked, Math.min(room, frameBytes)) : undefined;
      if (!piece) break;
      if (this.#upSent === this.#upAcked) this.#lastProgress = this.#clock.monotonic();
      if (this.#state === 'open') this.#writeReplies(path);
      path.write(frameStart(sessionFrame.data, piece.length));
      path.write(piece);
      this.#upSent += piece.length;
      this.#upHighest = Math.max(this.#upHighest, this.#upSent);
    }
    if (this.#finWanted && !this.#finAcked && this.#upSent === this.#upAcked + this.#retained.length) {
      if (this.#finSentOn !== this.#pathGeneration) {
        this.#finSentOn = this.#pathGeneration;
        this.#finSent = true;
        if (this.#state === 'open') this.#writeReplies(path);
        path.write(offsetFrame(sessionFrame.fin, this.#upSent));
      }
    }
    path.uncork();
  }

  #drainIncoming(): void {
    while (this.#wantsRead && !this.destroyed) {
      const piece = this.#incoming.shift(65_536);
      if (!piece) break;
      this.#downConsumed += piece.length;
      this.#wantsRead = this.push(piece);
    }
    if (this.destroyed) return;
    if (this.#incoming.length <= sessionWindowBytes && this.#path?.isPaused()) this.#path.resume();
    // The end, once acknowledged, has acknowledged everything before it.
    if (this.#downConsumed > this.#downAckSent && this.#state === 'open' && this.#downFin === undefined) {
      if (this.#path && this.#downConsumed - this.#downAckSent >= ackEveryBytes)
        this.#writeReplies(this.#path);
      else this.#deferReplies();
    }
    if (this.#incoming.length > 0) return;
    if ((this.#downFin !== undefined || this.#resetPending) && !this.#endDelivered) {
      this.#endDelivered = true;
      this.push(null);
      this.#endPathWhenComplete();
    }
  }

  #endPathWhenComplete(): void {
    if (!this.#path || !this.#isComplete()) return;
    this.#writeReplies(this.#path);
    this.#path.end();
  }

  /** Nobody waits for an ACK or FINACK: they travel with the next bytes, or by themselves after a moment. */
  #deferReplies(): void {
    // The timer is left to run when they have gone before: one in 5 ms costs less than one for each answer.
    this.#cancelReplies ??= this.#clock.after(deferRepliesMs, () => {
      this.#cancelReplies = undefined;
      if (this.#path && this.#state === 'open') this.#writeReplies(this.#path);
    });
  }

  #writeReplies(path: Duplex): void {
    if (this.#downConsumed > this.#downAckSent && this.#downFin === undefined) {
      this.#downAckSent = this.#downConsumed;
      path.write(offsetFrame(sessionFrame.ack, this.#downConsumed));
    }
    // A FINACK acknowledges everything before it.
    if (this.#finackDue) path.write(frameStart(sessionFrame.finack, 0));
    this.#finackDue = false;
  }

  #releaseWriter(): void {
    if (!this.#writeDone || this.#retained.length >= sessionWindowBytes) return;
    const done = this.#writeDone;
    this.#writeDone = undefined;
    done();
  }

  #progress(): void {
    const now = this.#clock.monotonic();
    this.#lastProgress = now;
    if (this.#stalledSince === undefined) return;
    this.counters.longestStallMs = Math.max(this.counters.longestStallMs, now - this.#stalledSince);
    this.#stalledSince = undefined;
  }

  #isComplete(): boolean {
    return this.#finAcked && this.#downFin !== undefined;
  }

  #mustBeAttached(): void {
    if (this.#state !== 'open')
      throw new MoveError('SESSION_PROTOCOL', 'The gateway spoke before its answer.');
  }

  #startParkTimer(): void {
    this.#cancelParkTimer?.();
    this.#cancelParkTimer = this.#clock.after(this.#parkDeadlineMs, () => {
      const seconds = Math.round(this.#parkDeadlineMs / 1000);
      this.destroy(
        this.#resetPending ??
          new MoveError(
            'PARKED_TOO_LONG',
            `The service was not reachable for ${seconds} s; try again later.`,
            {
              ...(this.trouble ? { lastCode: this.trouble.code, lastMessage: this.trouble.message } : {}),
            },
          ),
      );
    });
  }

  #setState(state: SessionState): void {
    if (this.#state === state) return;
    this.#state = state;
    this.emit('state', state);
  }
}
