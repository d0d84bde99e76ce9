import { Duplex } from 'node:stream';
import { MoveError } from '../errors.ts';
import { ByteQueue } from './byte-queue.ts';

/** What a stream needs of its link. */
export interface StreamCarrier {
  /** The stream has bytes or an END to send and credit for it. */
  wantsToSend(stream: LinkStream): void;
  /** Gives the peer `bytes` more of credit. */
  grant(stream: LinkStream, bytes: number): void;
  /** The stream is over; `error` is told to the peer unless the peer began it. */
  finished(stream: LinkStream, reset: MoveError | undefined): void;
}

/**
 * One bidirectional stream of a link: a Node Duplex with half-close. Sending waits for the peer's credit;
 * receiving holds at most one window. An error on it is a {@link MoveError}, the peer's own if the peer
 * reset the stream. Errors that nobody listens for are dropped: `close` always follows.
 */
export class LinkStream extends Duplex {
  readonly id: number;
  /** The JSON header it was opened with; whoever acts on it checks it. */
  readonly header: unknown;
  /** Resolves when the peer accepts the stream, rejects with the peer's error when it refuses. */
  readonly accepted: Promise<void>;

  readonly #carrier: StreamCarrier;
  readonly #windowBytes: number;
  readonly #incoming = new ByteQueue();
  #settleAccepted: { resolve: () => void; reject: (error: MoveError) => void };
  #acceptance: 'waiting' | 'accepted' | 'settled' = 'waiting';
  #peerEnded = false;
  #endDelivered = false;
  #wantsRead = false;
  #receiveCredit: number;
  #ungranted = 0;

  #sendCredit: number;
  #outgoing: Buffer[] = [];
  #outgoingDone: (() => void) | undefined;
  #endDone: (() => void) | undefined;
  #endSent = false;
  #peerReset = false;

  constructor(
    carrier: StreamCarrier,
    id: number,
    header: unknown,
    windows: { send: number; receive: number },
  ) {
    super({ allowHalfOpen: true, readableHighWaterMark: 16_384, writableHighWaterMark: 131_072 });
    this.#carrier = carrier;
    this.id = id;
    this.header = header;
    this.#windowBytes = windows.receive;
    this.#receiveCredit = windows.receive;
    this.#sendCredit = windows.send;
    const settle = Promise.withResolvers<void>();
    this.accepted = settle.promise;
    this.#settleAccepted = settle;
    // A refused stream is also destroyed with the same error; the promise is for those who wait on it.
    this.accepted.catch(() => undefined);
    this.on('error', () => undefined);
  }

  /** Ends both directions at once and tells the peer why. */
  reset(error: MoveError): void {
    this.destroy(error);
  }

  // ---- called by the link ----

  /** @internal */
  becomeAccepted(): void {
    if (this.#acceptance !== 'waiting') return;
    this.#acceptance = 'accepted';
    this.#settleAccepted.resolve();
  }

  /** @internal The peer refused or reset the stream, or the link went away. */
  endedByPeer(error: MoveError): void {
    this.#peerReset = true;
    this.destroy(error);
  }

  /** @internal @throws MoveError `LINK_PROTOCOL` when the peer overruns its credit. */
  receive(part: Buffer): void {
    if (this.#peerEnded)
      throw new MoveError('LINK_PROTOCOL', 'The peer sent bytes after the end of a stream.');
    this.#receiveCredit -= part.length;
    if (this.#receiveCredit < 0) {
      throw new MoveError('LINK_PROTOCOL', 'The peer sent more bytes than it had credit for.');
    }
    if (this.destroyed) return;
    if (this.#wantsRead && this.#incoming.length === 0 && part.length >= 512) {
      this.#deliver(part);
      return;
    }
    this.#incoming.push(part);
    if (this.#wantsRead) this.#drainIncoming();
  }

  /** @internal */
  receiveEnd(): void {
    if (this.#peerEnded) throw new MoveError('LINK_PROTOCOL', 'The peer ended a stream twice.');
    this.#peerEnded = true;
    this.#drainIncoming();
  }

  /** @internal */
  addCredit(bytes: number): void {
    this.#sendCredit += bytes;
    if (this.#sendCredit > 0x7fffffff)
      throw new MoveError('LINK_PROTOCOL', 'The peer granted too much credit.');
    if (this.hasWork) this.#carrier.wantsToSend(this);
  }

  /** @internal Bytes that were written and wait to be sent, as far as they are known. */
  get waitingBytes(): number {
    return this.writableLength;
  }

  /** @internal Something can be sent now. */
  get hasWork(): boolean {
    if (this.destroyed) return false;
    if (this.#outgoing.length > 0) return this.#sendCredit > 0;
    return this.#endDone !== undefined && !this.#endSent;
  }

  /** @internal The next bytes to send, as pieces of together at most `limit`; empty when there are none. */
  takeOutgoing(limit: number): { pieces: Buffer[]; bytes: number } {
    const room = Math.min(limit, this.#sendCredit);
    const pieces: Buffer[] = [];
    let bytes = 0;
    while (bytes < room && this.#outgoing.length > 0) {
      const first = this.#outgoing[0]!;
      if (first.length <= room - bytes) {
        pieces.push(first);
        bytes += first.length;
        this.#outgoing.shift();
      } else {
        pieces.push(first.subarray(0, room - bytes));
        this.#outgoing[0] = first.subarray(room - bytes);
        bytes = room;
      }
    }
    this.#sendCredit -= bytes;
    if (this.#outgoing.length === 0 && this.#outgoingDone) {
      const done = this.#outgoingDone;
      this.#outgoingDone = undefined;
      done();
    }
    return { pieces, bytes };
  }

  /** @internal True once, when END is due. */
  takeEnd(): boolean {
    if (this.#endSent || !this.#endDone || this.#outgoing.length > 0) return false;
    this.#endSent = true;
    const done = this.#endDone;
    this.#endDone = undefined;
    done();
    return true;
  }

  // ---- Duplex ----

  override _read(): void {
    this.#wantsRead = true;
    this.#drainIncoming();
  }

  override _write(chunk: Buffer, _encoding: BufferEncoding, done: (error?: Error | null) => void): void {
    this.#send([chunk], done);
  }

  override _writev(
    chunks: { chunk: Buffer; encoding: BufferEncoding }[],
    done: (error?: Error | null) => void,
  ): void {
    this.#send(
      chunks.map((item) => item.chunk),
      done,
    );
  }

  override _final(done: (error?: Error | null) => void): void {
    this.#endDone = done;
    this.#carrier.wantsToSend(this);
  }

  override _destroy(error: Error | null, done: (error?: Error | null) => void): void {
    this.#incoming.clear();
    this.#outgoing = [];
    const complete = !error && this.#endSent && this.#endDelivered;
    const silent = complete || this.#peerReset;
    // An error gathers a stack: none is made for the many streams that end as they should.
    const reason =
      silent && this.#acceptance !== 'waiting'
        ? undefined
        : error instanceof MoveError
          ? error
          : new MoveError('STREAM_ABORTED', `The stream was abandoned${error ? `: ${error.message}` : '.'}`);
    if (this.#acceptance === 'waiting' && reason) {
      this.#acceptance = 'settled';
      this.#settleAccepted.reject(reason);
    }
    this.#carrier.finished(this, silent ? undefined : reason);
    done(error);
  }

  #send(chunks: Buffer[], done: (error?: Error | null) => void): void {
    this.#outgoing = chunks.filter((chunk) => chunk.length > 0);
    if (this.#outgoing.length === 0) {
      done();
      return;
    }
    this.#outgoingDone = done;
    if (this.#sendCredit > 0) this.#carrier.wantsToSend(this);
  }

  #drainIncoming(): void {
    while (this.#wantsRead && !this.destroyed) {
      const piece = this.#incoming.shift(65_536);
      if (!piece) break;
      this.#deliver(piece);
    }
    if (this.#peerEnded && this.#incoming.length === 0 && !this.#endDelivered && !this.destroyed) {
      this.#endDelivered = true;
      this.push(null);
    }
  }

  #deliver(piece: Buffer): void {
    this.#wantsRead = this.push(piece);
    this.#ungranted += piece.length;
    if (this.#ungranted >= this.#windowBytes / 4 && !this.#peerEnded) {
      this.#receiveCredit += this.#ungranted;
      this.#carrier.grant(this, this.#ungranted);
      this.#ungranted = 0;
    }
  }
}
