import { createHmac, timingSafeEqual } from 'node:crypto';
import { MoveError } from '../../runtime/errors.ts';

const alphabet = 'ABCDEFGHIJKLMNOPQRSTUVWXYZ234567';
/** Seconds for which a code is shown (RFC 6238 section 4.1). */
export const codeSeconds = 30;
export const codeDigits = 6;
/** Steps before and after the present one whose codes count too: for clocks that differ and slow typing. */
const leeway = 1;

/** Base32 without padding (RFC 4648 section 6), as authenticator programs take secrets. */
export function toBase32(bytes: Buffer): string {
  let bits = '';
  for (const byte of bytes) bits += byte.toString(2).padStart(8, '0');
  return (bits.match(/.{1,5}/g) ?? [])
    .map((five) => alphabet[Number.parseInt(five.padEnd(5, '0'), 2)]!)
    .join('');
}

/** @throws MoveError `SECRET_MALFORMED`. */
export function fromBase32(text: string): Buffer {
  const values = Array.from(text, (letter) => alphabet.indexOf(letter));
  if (values.includes(-1))
    throw new MoveError(
      'SECRET_MALFORMED',
      'A secret of one-time codes is written in base32: A to Z, 2 to 7.',
    );
  const bits = values.map((value) => value.toString(2).padStart(5, '0')).join('');
  return Buffer.from((bits.match(/.{8}/g) ?? []).map((byte) => Number.parseInt(byte, 2)));
}

/**
 * The time-based one-time code of RFC 6238 with SHA-1 for the step `counter`, which is seconds since the epoch
 * divided by {@link codeSeconds}: HOTP (RFC 4226 section 5.3) of it.
 */
export function codeAt(secret: Buffer, counter: number, digits = codeDigits): string {
  const message = Buffer.alloc(8);
  message.writeBigUInt64BE(BigInt(counter));
  const digest = createHmac('sha1', secret).update(message).digest();
  const offset = digest.at(-1)! & 15;
  const number = digest.readUInt32BE(offset) & 0x7fffffff;
  return String(number % 10 ** digits).padStart(digits, '0');
}

/**
 * The step whose code `code` is, among those that count at `now` (milliseconds since the epoch), else null. All
 * of them are compared, each in constant time.
 */
export function stepOfCode(secret: Buffer, code: string, now: number): number | null {
  const present = Math.floor(now / 1000 / codeSeconds);
  const given = Buffer.alloc(codeDigits);
  given.write(code.slice(0, codeDigits), 'latin1');
  const wellFormed = /^\d+$/.test(code) && code.length === codeDigits;
  let found: number | null = null;
  for (let step = Math.max(0, present - leeway); step <= present + leeway; step += 1) {
    const same = timingSafeEqual(given, Buffer.from(codeAt(secret, step), 'latin1'));
    if (same && wellFormed) found = step;
  }
  return found;
}
