import { randomBytes, randomInt } from 'node:crypto';

/** Randomness as a parameter: cryptographic in service, seeded in simulations. */
export interface Random {
  /** `size` random bytes. */
  bytes(size: number): Buffer;
  /** A whole number in [0, bound). `bound` is at least 1. */
  below(bound: number): number;
}

const poolBytes = 4096;
let pool = Buffer.alloc(0);
let poolUsed = 0;

/** Small amounts come out of a pool, since each question to the generator costs as much as thousands of bytes. */
function pooledBytes(size: number): Buffer {
  if (size > poolBytes / 16) return randomBytes(size);
  if (poolUsed + size > pool.length) {
    pool = randomBytes(poolBytes);
    poolUsed = 0;
  }
  const drawn = Buffer.from(pool.subarray(poolUsed, poolUsed + size));
  pool.fill(0, poolUsed, poolUsed + size);
  poolUsed += size;
  return drawn;
}

/** The operating system's cryptographic generator. */
export const secureRandom: Random = {
  bytes: pooledBytes,
  below: (bound) => randomInt(bound),
};

/**
 * A repeatable generator (xorshift128 seeded through a 32-bit mixer), for simulations only: a failing
 * seed can be pasted back.
 */
export function seededRandom(seed: number): Random {
  let mixed = seed >>> 0;
  const mix = () => {
    mixed = (mixed + 0x9e3779b9) >>> 0;
    let z = mixed;
    z = Math.imul(z ^ (z >>> 16), 0x85ebca6b);
    z = Math.imul(z ^ (z >>> 13), 0xc2b2ae35);
    return (z ^ (z >>> 16)) >>> 0;
  };
  const state = [mix(), mix(), mix(), mix() | 1] as [number, number, number, number];
  const next = () => {
    let t = state[3];
    const s = state[0];
    state[3] = state[2];
    state[2] = state[1];
    state[1] = s;
    t ^= t << 11;
    t ^= t >>> 8;
    state[0] = (t ^ s ^ (s >>> 19)) >>> 0;
    return state[0];
  };
  return {
    bytes: (size) => Buffer.from(Array.from({ length: size }, () => next() & 255)),
    below: (bound) => next() % bound,
  };
}
