import { MoveError } from '../../runtime/errors.ts';

/** The session protocol between an access point and the gateway in a pod, big-endian (ARCHITECTURE.md). */
export const sessionKind = { open: 1, resume: 2, control: 9 } as const;
export const sessionStatus = { ok: 0, unknown: 1, refused: 2, paused: 3, tooMany: 4 } as const;
export const sessionFrame = { data: 1, ack: 2, fin: 3, reset: 4, finack: 5 } as const;
export const resetReason = { service: 1, refused: 2, expired: 3, protocol: 4, aborted: 5 } as const;

export const sessionHeaderBytes = 31;
export const sessionReplyBytes = 13;
export const sessionFrameHeaderBytes = 5;
/** Unacknowledged bytes that may be under way each way. */
export const sessionWindowBytes = 262_144;

const magic = Buffer.from('MVS1', 'latin1');

export interface SessionHeader {
  kind: number;
  id: Buffer;
  port: number;
  received: number;
}

export function encodeHeader(header: SessionHeader): Buffer {
  const bytes = Buffer.alloc(sessionHeaderBytes);
  magic.copy(bytes, 0);
  bytes.writeUInt8(header.kind, 4);
  header.id.copy(bytes, 5, 0, 16);
  bytes.writeUInt16BE(header.port, 21);
  bytes.writeBigUInt64BE(BigInt(header.received), 23);
  return bytes;
}

export function frameStart(type: number, length: number): Buffer {
  const bytes = Buffer.allocUnsafe(sessionFrameHeaderBytes);
  bytes.writeUInt8(type, 0);
  bytes.writeUInt32BE(length, 1);
  return bytes;
}

export function offsetFrame(type: number, offset: number): Buffer {
  const bytes = Buffer.allocUnsafe(sessionFrameHeaderBytes + 8);
  bytes.writeUInt8(type, 0);
  bytes.writeUInt32BE(8, 1);
  bytes.writeBigUInt64BE(BigInt(offset), sessionFrameHeaderBytes);
  return bytes;
}

export function resetFrame(reason: number): Buffer {
  return Buffer.from([sessionFrame.reset, 0, 0, 0, 1, reason]);
}

export interface SessionSink {
  onReply(status: number, received: number): void;
  /** Part of a DATA frame's payload. */
  onData(part: Buffer): void;
  /** ACK and FIN carry an offset, RESET a reason, FINACK nothing. */
  onFrame(type: number, value: number): void;
}

const bodyBytes = new Map<number, number>([
  [sessionFrame.ack, 8],
  [sessionFrame.fin, 8],
  [sessionFrame.reset, 1],
  [sessionFrame.finack, 0],
]);

const protocolError = (message: string): MoveError => new MoveError('SESSION_PROTOCOL', message);

function readOffset(bytes: Buffer, at: number): number {
  const value = bytes.readBigUInt64BE(at);
  if (value > BigInt(Number.MAX_SAFE_INTEGER)) throw protocolError('The gateway sent an impossible offset.');
  return Number(value);
}

/**
 * Cuts what a gateway sends (its reply, then frames) out of a byte stream.
 * `push` throws MoveError `SESSION_PROTOCOL`; after that the reader must not be used.
 */
export class SessionReader {
  readonly #sink: SessionSink;
  readonly #gathered = Buffer.alloc(16);
  #filled = 0;
  #phase: 'reply' | 'header' | 'data' | 'body' = 'reply';
  #wanted: number = sessionReplyBytes;
  #type = 0;

  constructor(sink: SessionSink) {
    this.#sink = sink;
  }

  push(chunk: Buffer): void {
    let at = 0;
    while (at < chunk.length) {
      if (this.#phase === 'data') {
        const part = chunk.subarray(at, at + this.#wanted);
        at += part.length;
        this.#wanted -= part.length;
        if (this.#wanted === 0) this.#expectHeader();
        this.#sink.onData(part);
        continue;
      }
      const taken = Math.min(this.#wanted - this.#filled, chunk.length - at);
      chunk.copy(this.#gathered, this.#filled, at, at + taken);
      this.#filled += taken;
      at += taken;
      if (this.#filled === this.#wanted) this.#gatheredAll();
    }
  }

  #expectHeader(): void {
    this.#phase = 'header';
    this.#wanted = sessionFrameHeaderBytes;
    this.#filled = 0;
  }

  #gatheredAll(): void {
    const bytes = this.#gathered;
    if (this.#phase === 'reply') {
      if (bytes.compare(magic, 0, 4, 0, 4) !== 0) throw protocolError('The other end is not a gateway.');
      const status = bytes.readUInt8(4);
      const received = readOffset(bytes, 5);
      this.#expectHeader();
      this.#sink.onReply(status, received);
      return;
    }
    if (this.#phase === 'header') {
      this.#type = bytes.readUInt8(0);
      const length = bytes.readUInt32BE(1);
      this.#filled = 0;
      this.#startFrame(length);
      return;
    }
    const value = this.#type === sessionFrame.reset ? bytes.readUInt8(0) : readOffset(bytes, 0);
    this.#expectHeader();
    this.#sink.onFrame(this.#type, value);
  }

  #startFrame(length: number): void {
    if (this.#type === sessionFrame.data) {
      if (length > sessionWindowBytes)
        throw protocolError('The gateway sent a frame longer than its window.');
      this.#phase = 'data';
      this.#wanted = length;
      if (length === 0) this.#expectHeader();
      return;
    }
    if (bodyBytes.get(this.#type) !== length) throw protocolError('The gateway sent a malformed frame.');
    if (length === 0) {
      this.#expectHeader();
      this.#sink.onFrame(this.#type, 0);
      return;
    }
    this.#phase = 'body';
    this.#wanted = length;
  }
}
