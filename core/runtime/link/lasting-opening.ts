/** What is said first on each connection of a lasting way, big-endian. */
const magic = Buffer.from('MVW1', 'latin1');
export const openingBytes = 29;
export const replyBytes = 9;

export interface LastingOpening {
  /** Which way this connection belongs to; drawn by the end that dials. */
  token: Buffer;
  received: number;
  isFirst: boolean;
}

export function encodeOpening(opening: LastingOpening): Buffer {
  const bytes = Buffer.alloc(openingBytes);
  magic.copy(bytes, 0);
  opening.token.copy(bytes, 4, 0, 16);
  bytes.writeBigUInt64BE(BigInt(opening.received), 20);
  bytes.writeUInt8(opening.isFirst ? 1 : 0, 28);
  return bytes;
}

/** Undefined when the bytes are no opening. */
export function decodeOpening(bytes: Buffer): LastingOpening | undefined {
  if (bytes.length < openingBytes || !bytes.subarray(0, 4).equals(magic) || bytes[28]! > 1) return undefined;
  const received = bytes.readBigUInt64BE(20);
  if (received > BigInt(Number.MAX_SAFE_INTEGER)) return undefined;
  return {
    token: Buffer.from(bytes.subarray(4, 20)),
    received: Number(received),
    isFirst: bytes[28] === 1,
  };
}

export function encodeReply(isKnown: boolean, received: number): Buffer {
  const bytes = Buffer.alloc(replyBytes);
  bytes.writeUInt8(isKnown ? 1 : 0, 0);
  bytes.writeBigUInt64BE(BigInt(received), 1);
  return bytes;
}

/** Whether the other end knows the way, and how far it has come. */
export class LastingReply {
  readonly isKnown: boolean;
  readonly received: number;

  constructor(bytes: Buffer) {
    this.isKnown = bytes[0] === 1;
    this.received = Number(bytes.readBigUInt64BE(1));
  }
}
