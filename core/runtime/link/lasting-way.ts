import { Duplex } from 'node:stream';
import type { Clock } from '../clock.ts';
import { systemClock } from '../clock.ts';
import { MoveError } from '../errors.ts';

/**
 * A byte stream that outlives the connections that carry it. Each end counts the bytes that it has taken and keeps
 * what the other has not acknowledged; when a connection breaks, the end that dials makes another, both say how far
 * they have come, and what was under way is sent again. It proves nothing about who is there: a link's TLS runs
 * inside it, from end to end, and does not notice.
 */

const frame = { data: 1, ack: 2, end: 3, reset: 4 } as const;
const frameHeaderBytes = 5;
const dataFrameBytes = 65_536;
const ackEveryBytes = 131_072;
const ackAfterMs = 10;
/** What may be under way unacknowledged; whoever writes more waits. */
const windowBytes = 4 << 20;
const watchEveryMs = 250;
/** A connection over which nothing comes for so long while something is unacknowledged is given up. */
const silenceMs = 1_500;

export interface LastingWayOptions {
  /** How long it may be without a connection. */
  giveUpMs: number;
  clock?: Clock;
  /** The dialling end makes another connection; the accepting end waits for one. */
  onLost?: () => void;
}

export class LastingWay extends Duplex {
  readonly #clock: Clock;
  readonly #options: LastingWayOptions;
  #carrier: Duplex | null = null;
  #received = 0;
  #told = 0;
  #written = 0;
  #acknowledged = 0;
  #unacknowledged: Buffer[] = [];
  #waiting: (() => void) | null = null;
  #ending = false;
  #ended = false;
  #heardAt: number;
  #lostAt: number | null;
  #cancelAck: (() => void) | null = null;
  #cancelWatch: () => void = () => undefined;
  #head = Buffer.alloc(0);
  #left = 0;
  /** How often it went on over another connection. */
  resumptions = 0;
  /** The longest time without a connection so far, in milliseconds. */
  longestGapMs = 0;

  constructor(options: LastingWayOptions) {
    super({ allowHalfOpen: true });
    this.#options = options;
    this.#clock = options.clock ?? systemClock;
    this.#heardAt = this.#clock.monotonic();
    this.#lostAt = this.#heardAt;
    this.#watch();
  }

  /** Bytes taken so far: where the other end goes on. */
  get received(): number {
    return this.#received;
  }

  get isCarried(): boolean {
    return this.#carrier !== null;
  }

  /** Goes on over this connection; `peerReceived` is how far the other end has come. */
  use(carrier: Duplex, peerReceived: number): void {
    if (this.destroyed || peerReceived < this.#acknowledged || peerReceived > this.#written) {
      carrier.destroy();
      if (!this.destroyed)
        this.destroy(new MoveError('WAY_PROTOCOL', 'The other end has lost its place on this way.'));
      return;
    }
    this.#drop();
    if (this.#lostAt !== null && this.#written + this.#received > 0) {
      this.resumptions += 1;
      this.longestGapMs = Math.max(this.longestGapMs, this.#clock.monotonic() - this.#lostAt);
    }
    this.#lostAt = null;
    this.#heardAt = this.#clock.monotonic();
    this.#head = Buffer.alloc(0);
    this.#left = 0;
    this.#told = this.#received;
    this.#carrier = carrier;
    carrier.on('data', (chunk: Buffer) => {
      if (this.#carrier === carrier) this.#take(chunk);
    });
    const lost = () => {
      if (this.#carrier === carrier) this.#lost();
    };
    for (const event of ['error', 'end', 'close']) carrier.on(event, lost);
    this.#acknowledge(peerReceived);
    for (const chunk of this.#unacknowledged) this.#sendData(chunk);
    if (this.#ending) this.#send(frame.end);
    carrier.resume();
  }

  override _read(): void {
    this.#carrier?.resume();
  }

  override _write(chunk: Buffer, _encoding: string, done: (error?: Error | null) => void): void {
    this.#written += chunk.length;
    this.#unacknowledged.push(chunk);
    this.#sendData(chunk);
    if (this.#written - this.#acknowledged < windowBytes) done();
    else this.#waiting = done;
  }

  override _final(done: (error?: Error | null) => void): void {
    this.#ending = true;
    this.#send(frame.end);
    done();
  }

  override _destroy(error: Error | null, done: (error?: Error | null) => void): void {
    this.#cancelWatch();
    this.#cancelAck?.();
    const carrier = this.#carrier;
    if (carrier) {
      if (!this.#ending || !this.#ended) this.#send(frame.reset);
      this.#carrier = null;
      carrier.on('error', () => undefined);
      carrier.resume();
      carrier.end();
      this.#clock.after(1_000, () => carrier.destroy());
    }
    this.#unacknowledged = [];
    done(error);
  }

  #watch(): void {
    this.#cancelWatch = this.#clock.after(watchEveryMs, () => {
      const now = this.#clock.monotonic();
      if (this.#lostAt !== null && now - this.#lostAt > this.#options.giveUpMs) {
        this.destroy(
          new MoveError(
            'WAY_LOST',
            `A way was without a connection for ${this.#options.giveUpMs} ms and is given up.`,
          ),
        );
        return;
      }
      const isSilent = this.#written > this.#acknowledged && now - this.#heardAt > silenceMs;
      if (this.#carrier && isSilent && !this.#carrier.isPaused()) this.#lost();
      this.#watch();
    });
  }

  #lost(): void {
    this.#drop();
    if (this.destroyed) return;
    if (this.#ending && this.#ended) {
      this.destroy();
      return;
    }
    this.#lostAt ??= this.#clock.monotonic();
    this.#options.onLost?.();
  }

  #drop(): void {
    const carrier = this.#carrier;
    this.#carrier = null;
    this.#cancelAck?.();
    this.#cancelAck = null;
    if (!carrier) return;
    carrier.on('error', () => undefined);
    carrier.destroy();
  }

  #send(type: number, body?: Buffer): void {
    const carrier = this.#carrier;
    if (!carrier || carrier.destroyed) return;
    const header = Buffer.alloc(frameHeaderBytes);
    header.writeUInt8(type, 0);
    header.writeUInt32BE(body?.length ?? 0, 1);
    carrier.cork();
    carrier.write(header);
    if (body) carrier.write(body);
    carrier.uncork();
  }

  #sendData(chunk: Buffer): void {
    for (let at = 0; at < chunk.length; at += dataFrameBytes)
      this.#send(frame.data, chunk.subarray(at, at + dataFrameBytes));
  }

  #take(chunk: Buffer): void {
    this.#heardAt = this.#clock.monotonic();
    for (let rest = chunk; rest.length > 0; ) {
      if (this.#left > 0) {
        const part = rest.subarray(0, this.#left);
        this.#left -= part.length;
        rest = rest.subarray(part.length);
        this.#received += part.length;
        if (!this.push(part)) this.#carrier?.pause();
        this.#owe();
        continue;
      }
      const wanted = this.#wantedHead();
      const part = rest.subarray(0, wanted - this.#head.length);
      this.#head = Buffer.concat([this.#head, part]);
      rest = rest.subarray(part.length);
      if (this.#head.length < this.#wantedHead()) continue;
      const head = this.#head;
      this.#head = Buffer.alloc(0);
      if (!this.#act(head)) return;
    }
  }

  /** A header, and with an acknowledgement its body. */
  #wantedHead(): number {
    return frameHeaderBytes + (this.#head.length >= frameHeaderBytes && this.#head[0] === frame.ack ? 8 : 0);
  }

  /** Acts on one header; false when nothing behind it is to be read any more. */
  #act(head: Buffer): boolean {
    const type = head[0];
    const length = head.readUInt32BE(1);
    if (type === frame.data && length > 0 && length <= dataFrameBytes) {
      this.#left = length;
      return true;
    }
    if (type === frame.ack && length === 8) {
      this.#acknowledge(Number(head.readBigUInt64BE(frameHeaderBytes)));
      return !this.destroyed;
    }
    if (type === frame.end && length === 0) {
      if (!this.#ended) this.push(null);
      this.#ended = true;
      return true;
    }
    this.destroy(
      type === frame.reset
        ? new MoveError('WAY_LOST', 'The other end gave the way up.')
        : new MoveError('WAY_PROTOCOL', 'What came is no frame of a lasting way.'),
    );
    return false;
  }

  #owe(): void {
    if (this.#received - this.#told >= ackEveryBytes) this.#tell();
    else
      this.#cancelAck ??= this.#clock.after(ackAfterMs, () => {
        this.#cancelAck = null;
        this.#tell();
      });
  }

  #tell(): void {
    this.#told = this.#received;
    const body = Buffer.alloc(8);
    body.writeBigUInt64BE(BigInt(this.#received));
    this.#send(frame.ack, body);
  }

  #acknowledge(upTo: number): void {
    if (this.destroyed) return;
    if (upTo > this.#written || upTo < this.#acknowledged) {
      this.destroy(new MoveError('WAY_PROTOCOL', 'The other end acknowledged what was never sent.'));
      return;
    }
    let bytes = upTo - this.#acknowledged;
    this.#acknowledged = upTo;
    let whole = 0;
    for (const chunk of this.#unacknowledged) {
      if (bytes < chunk.length) break;
      bytes -= chunk.length;
      whole += 1;
    }
    this.#unacknowledged.splice(0, whole);
    if (bytes > 0) this.#unacknowledged[0] = this.#unacknowledged[0]!.subarray(bytes);
    if (this.#waiting && this.#written - this.#acknowledged < windowBytes) {
      const go = this.#waiting;
      this.#waiting = null;
      go();
    }
  }
}
