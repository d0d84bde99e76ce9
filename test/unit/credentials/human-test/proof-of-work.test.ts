import { createHash } from 'node:crypto';
import vm from 'node:vm';
import { describe, expect, it } from 'vitest';
import {
  solveWork,
  verifyWork,
  workBits,
  workSolverSource,
} from '../../../../core/credentials/human-test/proof-of-work.ts';

const work = { prefix: 'AAAAAAAAAAAAAAAAAAAAAA', bits: 12 };

describe('proof of work', () => {
  it('is found by the solver, is the first, and holds before Node’s own SHA-256', () => {
    for (let seed = 0; seed < 8; seed += 1) {
      const prefix = `prefix-${seed}-${'x'.repeat(seed * 2)}`;
      const nonce = solveWork(prefix, 10, 0, 1e6)!;
      expect(verifyWork({ prefix, bits: 10 }, nonce)).toBe(true);
      const zeros = (tried: number) =>
        createHash('sha256').update(`${prefix}:${tried}`).digest().readUInt32BE(0) < 2 ** 22;
      expect(Array.from({ length: Number(nonce) + 1 }, (_, tried) => zeros(tried)).indexOf(true)).toBe(
        Number(nonce),
      );
    }
  });

  it('can be looked for in slices', () => {
    const nonce = solveWork(work.prefix, work.bits, 0, 1e6)!;
    expect(solveWork(work.prefix, work.bits, 0, Number(nonce))).toBeNull();
    expect(solveWork(work.prefix, work.bits, Number(nonce), 1)).toBe(nonce);
  });

  it('is refused when it is none, or written in another way', () => {
    const nonce = solveWork(work.prefix, work.bits, 0, 1e6)!;
    expect(verifyWork({ ...work, bits: 40 }, nonce)).toBe(false);
    expect(verifyWork({ ...work, prefix: 'other' }, nonce)).toBe(false);
    for (const wrong of ['', 'x', ` ${nonce}`, `${nonce}\n`, '1'.repeat(17), '-1', '1e3'])
      expect(verifyWork({ ...work, bits: 0 }, wrong)).toBe(false);
  });

  it('runs as plain text in a page that has nothing else', () => {
    const solve = vm.runInNewContext(`(${workSolverSource()})`) as typeof solveWork;
    expect(solve(work.prefix, work.bits, 0, 1e6)).toBe(solveWork(work.prefix, work.bits, 0, 1e6));
  });

  it('is asked for under stress only, and more of it the more stress there is', () => {
    const bounds = { threshold: 0.3, from: 14, to: 20 };
    expect([0, 0.29, Number.NaN].map((stress) => workBits(stress, bounds))).toEqual([0, 0, 0]);
    expect([0.3, 0.65, 1, 7].map((stress) => workBits(stress, bounds))).toEqual([14, 17, 20, 20]);
  });
});
