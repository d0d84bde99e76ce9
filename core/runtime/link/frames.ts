import { MoveError } from '../errors.ts';

/** The frames of a link. Header: u8 type, u24 length, u32 id (of a stream or a call), big-endian. */
export const frameType = {
  hello: 1,
  open: 2,
  accept: 3,
  refuse: 4,
  data: 5,
  end: 6,
  reset: 7,
  window: 8,
  ping: 9,
  pong: 10,
  call: 11,
  result: 12,
  fault: 13,
  notify: 14,
  goodbye: 15,
} as const;

export const frameHeaderBytes = 8;
/** With its header a full DATA frame fills one TLS record of 16 KiB. */
export const maxDataBytes = 16_384 - frameHeaderBytes;
/** The longest JSON message (stream header, call, result, notice). */
export const maxMessageBytes = 262_144;

export function frameHeader(type: number, id: number, length: number): Buffer {
  const header = Buffer.allocUnsafe(frameHeaderBytes);
  writeFrameHeader(header, 0, type, id, length);
  return header;
}

/** Writes a frame's header into a buffer and returns where it ends. */
export function writeFrameHeader(into: Buffer, at: number, type: number, id: number, length: number): number {
  into.writeUInt32BE(type * 0x1000000 + length, at);
  return into.writeUInt32BE(id, at + 4);
}

/** A frame with a JSON body. @throws MoveError `MESSAGE_TOO_LARGE` above {@link maxMessageBytes}. */
export function jsonFrame(type: number, id: number, value: unknown): Buffer {
  const body = Buffer.from(value === undefined ? 'null' : JSON.stringify(value), 'utf8');
  if (body.length > maxMessageBytes) {
    throw new MoveError(
      'MESSAGE_TOO_LARGE',
      'A message for a link is longer than 256 KiB; send it as a stream.',
      {
        bytes: body.length,
      },
    );
  }
  return Buffer.concat([frameHeader(type, id, body.length), body]);
}

/** The longest header of a stream, and the longest reason for ending something. */
const maxHeaderBytes = 16_384;

function longest(type: number): number {
  if (type === frameType.data) return maxDataBytes;
  return type >= frameType.call && type <= frameType.notify ? maxMessageBytes : maxHeaderBytes;
}

export interface FrameSink {
  /** Part of a DATA frame; a frame may come in several parts. */
  onData(id: number, part: Buffer): void;
  /** Any other frame, whole. */
  onFrame(type: number, id: number, body: Buffer): void;
}

const empty = Buffer.alloc(0);

/**
 * Cuts a byte stream into frames. DATA passes through in slices without a copy; other frames are small and
 * gathered. What breaks the format throws `LINK_PROTOCOL`, after which the reader must not be used.
 */
export class FrameReader {
  readonly #sink: FrameSink;
  readonly #header = Buffer.alloc(frameHeaderBytes);
  #headerFilled = 0;
  #type = 0;
  #id = 0;
  #left = 0;
  #parts: Buffer[] = [];

  constructor(sink: FrameSink) {
    this.#sink = sink;
  }

  push(chunk: Buffer): void {
    let at = 0;
    while (at < chunk.length) {
      if (this.#headerFilled === 0 && chunk.length - at >= frameHeaderBytes) {
        // As nearly always: the header lies in one piece, and is read where it is.
        this.#headerFilled = frameHeaderBytes;
        this.#startFrame(chunk, at);
        at += frameHeaderBytes;
        if (this.#left === 0) this.#endFrame();
        continue;
      }
      if (this.#headerFilled < frameHeaderBytes) {
        const taken = Math.min(frameHeaderBytes - this.#headerFilled, chunk.length - at);
        chunk.copy(this.#header, this.#headerFilled, at, at + taken);
        this.#headerFilled += taken;
        at += taken;
        if (this.#headerFilled < frameHeaderBytes) return;
        this.#startFrame(this.#header, 0);
        if (this.#left === 0) this.#endFrame();
        continue;
      }
      const taken = Math.min(this.#left, chunk.length - at);
      const part = chunk.subarray(at, at + taken);
      at += taken;
      this.#left -= taken;
      if (this.#type === frameType.data) this.#sink.onData(this.#id, part);
      else this.#parts.push(part);
      if (this.#left === 0) this.#endFrame();
    }
  }

  #startFrame(header: Buffer, at: number): void {
    this.#type = header[at]!;
    this.#left = (header[at + 1]! << 16) | (header[at + 2]! << 8) | header[at + 3]!;
    this.#id = header.readUInt32BE(at + 4);
    if (this.#left > longest(this.#type)) {
      throw new MoveError('LINK_PROTOCOL', 'The peer sent a frame longer than the protocol allows.', {
        type: this.#type,
        bytes: this.#left,
      });
    }
  }

  #endFrame(): void {
    this.#headerFilled = 0;
    if (this.#type === frameType.data) return;
    const parts = this.#parts;
    this.#parts = [];
    this.#sink.onFrame(
      this.#type,
      this.#id,
      parts.length === 1 ? parts[0]! : parts.length ? Buffer.concat(parts) : empty,
    );
  }
}

/** The JSON of a frame. @throws MoveError `LINK_PROTOCOL` when it is none. */
export function parseJsonBody(body: Buffer): unknown {
  try {
    return JSON.parse(body.toString('utf8'));
  } catch (cause) {
    throw new MoveError('LINK_PROTOCOL', 'The peer sent a message that is not JSON.', {}, cause);
  }
}
