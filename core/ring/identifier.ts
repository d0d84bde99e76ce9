import { createHash, type X509Certificate } from 'node:crypto';
import { MoveError } from '../runtime/errors.ts';

/** Bits of an identifier; the size of the circle is 2 to this power (Chord §4.1 uses 160 as well). */
export const identifierBits = 160;
const digits = identifierBits / 4;
const circle = 1n << BigInt(identifierBits);
const wellFormed = new RegExp(`^[0-9a-f]{${digits}}$`);

/** A place on the circle: 40 lower-case hexadecimal digits, so that text order is numeric order. */
export type Identifier = string;

const hash = (...parts: readonly (Uint8Array | string)[]): Identifier => {
  const digest = createHash('sha256');
  for (const part of parts) {
    const bytes = typeof part === 'string' ? Buffer.from(part, 'utf8') : part;
    const length = Buffer.alloc(4);
    length.writeUInt32BE(bytes.length);
    digest.update(length).update(bytes);
  }
  return digest.digest('hex').slice(0, digits);
};

/**
 * The identifier of a node: SHA-256, cut to 160 bits, over its public key (SubjectPublicKeyInfo, DER) and
 * the serial that the authority chose for its certificate (lower-case hexadecimal). The node chooses the
 * key before it knows the serial, so it cannot choose its place on the ring.
 */
export function ringIdentifier(publicKeyDer: Uint8Array, serial: string): Identifier {
  return hash('move-ring-node', publicKeyDer, serial.toLowerCase());
}

const identifierOfCertificate = new WeakMap<X509Certificate, Identifier>();

/** A node's place on the ring by its certificate; remembered, since every message of a peer asks for it. */
export function ringIdentifierOf(certificate: X509Certificate): Identifier {
  const known = identifierOfCertificate.get(certificate);
  if (known !== undefined) return known;
  const identifier = ringIdentifier(
    certificate.publicKey.export({ type: 'spki', format: 'der' }),
    certificate.serialNumber,
  );
  identifierOfCertificate.set(certificate, identifier);
  return identifier;
}

/** The key of a service: the same hash over its lower-cased hostname (MOVE §3.1, SOS's beacon). */
export function serviceKey(hostname: string): Identifier {
  return hash('move-ring-service', hostname.toLowerCase());
}

const isIdentifier = (value: unknown): value is Identifier =>
  typeof value === 'string' && wellFormed.test(value);

/** @throws MoveError `RING_BAD_MESSAGE` when `value` is not 40 lower-case hexadecimal digits. */
export function parseIdentifier(value: unknown): Identifier {
  if (isIdentifier(value)) return value;
  throw new MoveError('RING_BAD_MESSAGE', `A ring identifier must have ${digits} lower-case hex digits.`);
}

/**
 * True when `x` lies strictly between `a` and `b`, going up the circle from `a`. From a point to itself
 * lies the whole circle but that point (Zave 2017, section 3: "between").
 */
export function between(a: Identifier, x: Identifier, b: Identifier): boolean {
  return a < b ? a < x && x < b : a < x || x < b;
}

/** True when `x` lies in (a, b]: the keys that `b` owns when `a` is its predecessor. */
export function owns(a: Identifier, x: Identifier, b: Identifier): boolean {
  return x === b || between(a, x, b);
}

/** Where finger `power` starts: 2^power after `from` (Chord §4.3). `power` is in [0, identifierBits). */
export function fingerStart(from: Identifier, power: number): Identifier {
  return offset(from, 1n << BigInt(power));
}

/** The next place on the circle: its owner is the successor of whoever stands on `from`. */
export function following(from: Identifier): Identifier {
  return offset(from, 1n);
}

function offset(from: Identifier, distance: bigint): Identifier {
  return ((BigInt(`0x${from}`) + distance) % circle).toString(16).padStart(digits, '0');
}

/** How far one has to go up the circle from `from` to `to`, for sums and drawings. */
export function distanceBetween(from: Identifier, to: Identifier): bigint {
  return (BigInt(`0x${to}`) - BigInt(`0x${from}`) + circle) % circle;
}

/**
 * Sorts places by how closely they precede `key`, the closest first; one that stands on `key` itself comes
 * last, being a whole circle away.
 */
export function closerTo(key: Identifier): (a: Identifier, b: Identifier) => number {
  return (a, b) => {
    if (a === b) return 0;
    if (a < key !== b < key) return a < key ? -1 : 1;
    return a > b ? -1 : 1;
  };
}
