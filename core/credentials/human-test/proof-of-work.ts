import { createHash } from 'node:crypto';

/** A nonce that a page may send: decimal digits, so that what is hashed stays small. */
const noncePattern = /^\d{1,16}$/;

/** What somebody is asked to compute: SHA-256 of `prefix:nonce` with `bits` leading zero bits. */
export interface Work {
  prefix: string;
  bits: number;
}

/**
 * How many bits are asked for at a stress between 0 and 1: none in quiet times, then `from` bits at `threshold`
 * up to `to` bits at 1. A bit more doubles the work.
 */
export function workBits(stress: number, bounds: { threshold: number; from: number; to: number }): number {
  if (!(stress >= bounds.threshold)) return 0;
  const share = Math.min(1, (stress - bounds.threshold) / Math.max(1e-9, 1 - bounds.threshold));
  return Math.round(bounds.from + share * (bounds.to - bounds.from));
}

/** True when `nonce` (up to 16 decimal digits) does the work. One SHA-256, whatever it says. */
export function verifyWork(work: Work, nonce: string): boolean {
  if (!noncePattern.test(nonce)) return false;
  const digest = createHash('sha256').update(`${work.prefix}:${nonce}`).digest();
  let zeros = 0;
  for (const byte of digest) {
    zeros += byte === 0 ? 8 : Math.clz32(byte) - 24;
    if (byte !== 0) break;
  }
  return zeros >= work.bits;
}

/**
 * Tries the `count` nonces from `first` on and returns the first that does the work, else null, so that a page
 * can go on in slices. Leans on nothing outside itself, SHA-256 (FIPS 180-4) included, because a browser runs it
 * as {@link workSolverSource}; `prefix` is ASCII of at most 30 characters, so that all fits into one block.
 */
export function solveWork(prefix: string, bits: number, first: number, count: number): string | null {
  const rotate = (value: number, by: number) => (value >>> by) | (value << (32 - by));
  const fraction = (root: number) => ((root - Math.floor(root)) * 4294967296) | 0;
  const initial: number[] = [];
  const constants: number[] = [];
  for (let candidate = 2; constants.length < 64; candidate += 1) {
    let prime = true;
    for (let divisor = 2; divisor * divisor <= candidate; divisor += 1)
      if (candidate % divisor === 0) prime = false;
    if (!prime) continue;
    if (initial.length < 8) initial.push(fraction(Math.sqrt(candidate)));
    constants.push(fraction(Math.cbrt(candidate)));
  }
  const words = new Int32Array(64);
  for (let nonce = first; nonce < first + count; nonce += 1) {
    const text = `${prefix}:${nonce}`;
    words.fill(0);
    for (let index = 0; index < text.length; index += 1)
      words[index >> 2]! |= text.charCodeAt(index) << (24 - (index & 3) * 8);
    words[text.length >> 2]! |= 128 << (24 - (text.length & 3) * 8);
    words[15] = text.length * 8;
    for (let index = 16; index < 64; index += 1) {
      const early = words[index - 15]!;
      const late = words[index - 2]!;
      const small = rotate(early, 7) ^ rotate(early, 18) ^ (early >>> 3);
      const large = rotate(late, 17) ^ rotate(late, 19) ^ (late >>> 10);
      words[index] = words[index - 16]! + small + words[index - 7]! + large;
    }
    let a = initial[0]!;
    let b = initial[1]!;
    let c = initial[2]!;
    let d = initial[3]!;
    let e = initial[4]!;
    let f = initial[5]!;
    let g = initial[6]!;
    let h = initial[7]!;
    for (let index = 0; index < 64; index += 1) {
      const high = rotate(e, 6) ^ rotate(e, 11) ^ rotate(e, 25);
      const one = (h + high + ((e & f) ^ (~e & g)) + constants[index]! + words[index]!) | 0;
      const low = rotate(a, 2) ^ rotate(a, 13) ^ rotate(a, 22);
      const two = (low + ((a & b) ^ (a & c) ^ (b & c))) | 0;
      h = g;
      g = f;
      f = e;
      e = (d + one) | 0;
      d = c;
      c = b;
      b = a;
      a = (one + two) | 0;
    }
    // the other six words of the digest matter only beyond 64 bits
    const head = (initial[0]! + a) | 0;
    const zeros = head !== 0 ? Math.clz32(head) : 32 + Math.clz32((initial[1]! + b) | 0);
    if (zeros >= bits) return String(nonce);
  }
  return null;
}

/** {@link solveWork} as the text of a plain JavaScript function expression, for a page to run. */
export function workSolverSource(): string {
  return solveWork.toString();
}
