import type { DirectConnection } from './request-reading.ts';

/** A connection on which nothing was answered for so long is held, and not just slow. Milliseconds. */
const HELD_AFTER_MS = 800;
/** A connection without a byte: its first request may have been lost on a full link, and be sent again. Milliseconds. */
const EMPTY_AFTER_MS = 2_000;
/** Who sends a request slower than this, in bytes a second, means to: the worst of lines carries more. */
const SLOWEST_HONEST = 1_000;
/** Segments of requests without a body are shorter on average, those of an upload are full. */
const UPLOAD_SEGMENT_BYTES = 1_000;
/** Something was sent so lately that more of it may follow. Milliseconds. */
const STILL_SENDING_MS = 30;

/**
 * One connection from reading to reading: counts the requests on it by the turns that its two ends take, without looking
 * into any of them. A request is what was sent in one segment and answered; an upload of many full segments is one.
 */
export class Conversation {
  /** Milliseconds of the monotonic clock: when something was answered last, or else when it was first seen. */
  #answeredAt: number;
  #answered: boolean;
  #before: DirectConnection;
  /** What came in and has had no answer yet, and in how many readings it became more. */
  #waiting = { segments: 0, bytes: 0, pieces: 0 };

  /** `fresh` is whether it began since the reading before: all of its counters are new, then. */
  constructor(connection: DirectConnection, monotonic: number, fresh: boolean) {
    this.#answeredAt = monotonic;
    this.#before = fresh
      ? { ...connection, bytesIn: 0, bytesOut: 0, segmentsIn: 0, segmentsOut: 0 }
      : connection;
    this.#answered = this.#before.bytesOut > 0;
  }

  /** Takes its next reading, and says how many requests were answered since the one before. */
  take(connection: DirectConnection, monotonic: number): number {
    const before = this.#before;
    this.#before = connection;
    this.#waiting.segments += connection.segmentsIn - before.segmentsIn;
    this.#waiting.bytes += connection.bytesIn - before.bytesIn;
    if (connection.bytesIn > before.bytesIn) this.#waiting.pieces += 1;
    if (connection.bytesOut <= before.bytesOut) return 0;
    const { segments, bytes } = this.#waiting;
    this.#waiting = { segments: 0, bytes: 0, pieces: 0 };
    this.#answered = true;
    this.#answeredAt = monotonic;
    const uploads = bytes > segments * UPLOAD_SEGMENT_BYTES;
    return uploads ? 1 : Math.min(segments, Math.max(1, connection.segmentsOut - before.segmentsOut));
  }

  /** Whether this is the connection that was read before, and not a later one from the same port. */
  continues(connection: DirectConnection): boolean {
    return (
      connection.bytesIn >= this.#before.bytesIn &&
      connection.bytesOut >= this.#before.bytesOut &&
      connection.segmentsIn >= this.#before.segmentsIn
    );
  }

  /** Whether the service is at work for it just now: it waits for an answer, or gets one. */
  get isServed(): boolean {
    return this.#waiting.segments > 0 || (this.#before.sentMsAgo ?? STILL_SENDING_MS) < STILL_SENDING_MS;
  }

  /** Open for long without a byte of either end. */
  isEmpty(monotonic: number): boolean {
    return !this.#answered && this.#waiting.segments === 0 && monotonic - this.#answeredAt >= EMPTY_AFTER_MS;
  }

  /**
   * Whether a request is being sent that comes in so slowly that it is never to be complete. One that came in one piece
   * waits for a service that is slow, as far as anybody can tell, and a segment that comes again is nothing new.
   */
  isDripping(monotonic: number): boolean {
    const waitedMs = monotonic - this.#answeredAt;
    return (
      waitedMs >= HELD_AFTER_MS &&
      this.#waiting.pieces > 1 &&
      (this.#waiting.bytes * 1000) / waitedMs < SLOWEST_HONEST
    );
  }
}
