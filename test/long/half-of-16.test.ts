import { describe, expect, it } from 'vitest';
import { loseHalfOfTheRing } from '../system/world/half-the-ring.ts';
import { worldImpossible } from '../system/world.ts';

const why = worldImpossible();

describe.skipIf(why !== null)(`a ring of 16${why ? ` (${why})` : ''}`, () => {
  it('loses half of its nodes at once and goes on', { timeout: 90_000 }, async () => {
    const seen = await loseHalfOfTheRing(16, 12, 16);
    console.info(JSON.stringify(seen));
    expect(seen.requests).toBeGreaterThan(0.8 * 12 * 50);
    expect(seen.failed / seen.requests).toBeLessThanOrEqual(0.001);
    expect(seen.verification).toMatchObject({ ok: true, violations: [], successorListLength: 7 });
    expect(seen.invariantAfterMs).toBeLessThanOrEqual(10_000);
  });
});
