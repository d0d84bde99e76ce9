import { describe, expect, it } from 'vitest';
import { humanTestBounds } from '../../../../core/credentials/human-test/human-test.ts';
import { priceTag } from '../../../../core/credentials/human-test/price-tag.ts';

const person = { secondsPerTest: 10, rightShare: 0.8 };

describe('the price of passing', () => {
  it('is computed from the pessimistic end of what was measured', () => {
    const price = priceTag({ tried: 500, solved: 0, processorMs: 50 }, person);
    expect(price.solveRate).toBe(0);
    // Wilson's interval, one-sided 95%, of 0 in 500
    expect(price.solveRateAtMost).toBeCloseTo(0.00538, 5);
    const { refillMs, wrongCosts } = humanTestBounds;
    const attempts = 3_600_000 / refillMs / (1 + wrongCosts * (1 - 0.00538));
    expect(price.attemptsPerAddressHour).toBeCloseTo(attempts, 3);
    expect(price.passesPerAddressHour).toBeCloseTo(attempts * 0.00538, 3);
    expect(price.hoursPerPass).toBeCloseTo(1 / (attempts * 0.00538), 1);
    expect(price.processorSecondsPerPass).toBeCloseTo(0.05 / 0.00538, 1);
    expect(price.personSeconds).toBe(12.5);
  });

  it('rises with the solve rate, and sounds cost more than images', () => {
    const share = (solved: number, kind?: 'sound') =>
      priceTag({ tried: 500, solved, processorMs: 50 }, person, { kind }).shareAdmitted;
    expect(share(0)).toBeLessThan(share(10));
    expect(share(10)).toBeLessThan(share(500));
    expect(share(10, 'sound')).toBeLessThan(share(10));
  });

  it('is nothing when nothing was tried: then everything may be solved', () => {
    expect(priceTag({ tried: 0, solved: 0, processorMs: 1 }, person).solveRateAtMost).toBe(1);
  });
});
