import type { Duplex } from 'node:stream';
import type { Clock } from '../../runtime/clock.ts';
import { MoveError, toMoveError } from '../../runtime/errors.ts';
import {
  SftpFields,
  type SftpFrame,
  SftpFrameReader,
  sftpFrame,
  sftpNumber,
  sftpStatus,
  sftpString,
  sftpType,
  statusBody,
} from './frames.ts';

const protocolVersion = 3;
/**
 * Silence is counted in beats without a byte while somebody waits: 1.0 to 1.25 s. A lifeline that loses one
 * packet stalls for TCP's 200 ms, one that loses its retransmission too for 600 ms; the third (1.4 s) is rare
 * enough to be an error. Beats and not elapsed time, as with links: a process that itself stood still on a busy
 * machine counts one beat and then reads what has come meanwhile.
 */
const beatMs = 250;
const silentBeats = 4;
/** A storage whose stream ends at once is not asked for another with every request. */
const dialAgainAfterMs = 100;
/** Also counts requests given up on; one more is refused, so that a dead storage cannot gather them. */
const outstandingAtMost = 8192;

/** What becomes of a request: the storage's reply without its number, or, when `reached` is false, our own. */
export interface Reply {
  type: number;
  body: Buffer;
  reached: boolean;
}

type OnReply = (reply: Reply) => void;

const unreachable: Reply = {
  type: sftpType.status,
  body: statusBody(sftpStatus.unreachable, 'The storage does not answer over its lifeline.'),
  reached: false,
};

interface StorageRequestsParts {
  /** Opens a stream to the storage's file server, usable at once; null while no link is there. */
  dial: () => Duplex | null;
  clock: Clock;
  onVersion: (payload: Buffer) => void;
  /** The stream has ended; everybody who waited has been told. */
  onLost: () => void;
  /** Room for more requests may have come or gone. */
  onRoom: () => void;
  /** The storage sent what is not SFTP; its stream is closed. */
  onFault: (error: MoveError) => void;
}

/**
 * Requests to a storage over streams that come and go. Every request gets exactly one reply, within about a
 * second of silence at the latest: when the storage falls silent or its stream ends, all that wait are told so;
 * while it is silent new ones are told so at once; when bytes come again, it is used again. What answers too
 * late is dropped. Numbers on the storage's side are its own, so that nobody else's can collide with them.
 */
export class StorageRequests {
  readonly #parts: StorageRequestsParts;
  /** Null for those that were given up on. */
  readonly #outstanding = new Map<number, OnReply | null>();
  #waiting = 0;
  #stream: Duplex | null = null;
  #connection = 0;
  #dialledAt = Number.NEGATIVE_INFINITY;
  #greeted = false;
  #nextNumber = 1;
  #silent = false;
  #missedBeats = 0;
  #cancelBeat: (() => void) | undefined;
  #closed = false;

  constructor(parts: StorageRequestsParts) {
    this.#parts = parts;
  }

  /** Names the stream in use; handles of one mean nothing on another. */
  get connection(): number {
    return this.#connection;
  }

  /** The stream takes no more bytes for now. */
  get isFull(): boolean {
    return !this.#silent && (this.#stream?.writableNeedDrain ?? false);
  }

  /**
   * Opens the stream if there is none; over a new link also when the last one was opened a moment ago.
   * @returns whether there is one now.
   */
  connect(overNewLink = false): boolean {
    // Its end has not been told yet.
    if (this.#stream?.destroyed) this.#lost();
    if (this.#stream) return true;
    const now = this.#parts.clock.monotonic();
    const tooSoon = now - this.#dialledAt < dialAgainAfterMs && !overNewLink;
    if (this.#closed || tooSoon) return false;
    const stream = this.#parts.dial();
    if (!stream) return false;
    this.#dialledAt = now;
    this.#stream = stream;
    this.#connection += 1;
    this.#greeted = false;
    const reader = new SftpFrameReader((frame) => this.#onFrame(frame));
    stream.on('data', (chunk: Buffer) => {
      if (this.#stream === stream) this.#onChunk(reader, chunk);
    });
    stream.on('drain', () => this.#parts.onRoom());
    stream.on('error', () => undefined);
    stream.on('end', () => stream.destroy());
    stream.on('close', () => {
      if (this.#stream === stream) this.#lost();
    });
    stream.write(sftpFrame(sftpType.init, sftpNumber(protocolVersion)));
    return true;
  }

  /** Sends a request, dialling first if need be; `onReply` may be called before this returns. */
  send(type: number, body: readonly Buffer[], onReply: OnReply): void {
    if (this.#silent || this.#outstanding.size >= outstandingAtMost || !this.connect()) {
      onReply(unreachable);
      return;
    }
    this.#write(type, body, onReply);
    this.#waiting += 1;
    if (this.#waiting > 1) return;
    this.#missedBeats = 0;
    this.#beat();
  }

  /** Closes a handle of the stream in use, also in silence. Nobody waits for the reply. */
  closeHandle(handle: Buffer): void {
    if (this.#stream) this.#write(sftpType.close, [sftpString(handle)], null);
  }

  /** The one who asks takes no replies for now: not reading them is then no silence of the storage. */
  pauseReplies(): void {
    this.#stream?.pause();
  }

  resumeReplies(): void {
    this.#stream?.resume();
  }

  /** Ends the stream and everything that waits. */
  close(): void {
    this.#closed = true;
    const stream = this.#stream;
    if (!stream) return;
    this.#lost();
    stream.destroy();
  }

  #write(type: number, body: readonly Buffer[], onReply: OnReply | null): void {
    const number = this.#freeNumber();
    this.#outstanding.set(number, onReply);
    this.#stream!.write(sftpFrame(type, sftpNumber(number), ...body));
  }

  #freeNumber(): number {
    do this.#nextNumber = (this.#nextNumber + 1) % 2 ** 32;
    while (this.#outstanding.has(this.#nextNumber));
    return this.#nextNumber;
  }

  #onChunk(reader: SftpFrameReader, chunk: Buffer): void {
    this.#missedBeats = 0;
    this.#silent = false;
    try {
      reader.push(chunk);
    } catch (thrown) {
      this.#parts.onFault(toMoveError(thrown));
      this.close();
    }
  }

  #onFrame(frame: SftpFrame): void {
    if (!this.#stream) return;
    if (!this.#greeted) {
      if (frame.type !== sftpType.version)
        throw new MoveError('SFTP_MALFORMED', 'The storage did not begin with the version it speaks.');
      this.#greeted = true;
      this.#parts.onVersion(frame.payload);
      return;
    }
    const fields = new SftpFields(frame.payload);
    const number = fields.number();
    const onReply = this.#outstanding.get(number);
    if (onReply === undefined)
      throw new MoveError('SFTP_MALFORMED', 'The storage answered what nobody asked.', { type: frame.type });
    this.#outstanding.delete(number);
    if (onReply) {
      this.#settled();
      onReply({ type: frame.type, body: fields.rest(), reached: true });
      this.#parts.onRoom();
    } else if (frame.type === sftpType.handle) {
      // An open that was given up on has worked after all.
      this.closeHandle(fields.string());
    }
  }

  #beat(): void {
    this.#cancelBeat = this.#parts.clock.after(beatMs, () => {
      if (!this.#stream?.isPaused()) this.#missedBeats += 1;
      if (this.#missedBeats < silentBeats) {
        this.#beat();
        return;
      }
      this.#silent = true;
      this.#giveUp();
    });
  }

  #settled(): void {
    this.#waiting -= 1;
    if (this.#waiting > 0) return;
    this.#cancelBeat?.();
    this.#cancelBeat = undefined;
  }

  #giveUp(): void {
    const waiting = [...this.#outstanding].filter((entry): entry is [number, OnReply] => entry[1] !== null);
    for (const [number] of waiting) this.#outstanding.set(number, null);
    this.#waiting = 0;
    this.#cancelBeat?.();
    this.#cancelBeat = undefined;
    for (const [, onReply] of waiting) onReply(unreachable);
    this.#parts.onRoom();
  }

  #lost(): void {
    this.#stream = null;
    this.#silent = false;
    const waiting = [...this.#outstanding.values()].filter((onReply) => onReply !== null);
    this.#outstanding.clear();
    this.#waiting = 0;
    this.#cancelBeat?.();
    this.#cancelBeat = undefined;
    for (const onReply of waiting) onReply(unreachable);
    this.#parts.onLost();
    this.#parts.onRoom();
  }
}
