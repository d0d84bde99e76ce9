import { describe, expect, it } from 'vitest';
import { simulateSchedule } from '../../core/ring/simulation/simulate-schedule.ts';

/** Plays the schedules of these seeds; what comes back are those that did not pass, ready to be pasted. */
async function failing(kind: 'faithful' | 'hostile', firstSeed: number, count: number) {
  const failed: unknown[] = [];
  for (let seed = firstSeed; seed < firstSeed + count; seed += 1) {
    const result = await simulateSchedule(seed, { kind });
    if (!result.passed) failed.push(result);
  }
  return failed;
}

describe('seeded schedules on the simulated network', () => {
  it("keep Zave's invariant after every event while her assumptions hold", { timeout: 60_000 }, async () => {
    expect(await failing('faithful', 1, 200)).toEqual([]);
  });

  it('end with one whole ring after partitions, losses and crashes of any kind', {
    timeout: 60_000,
  }, async () => {
    expect(await failing('hostile', 1, 120)).toEqual([]);
  });

  it('are the same event for event when played again', async () => {
    const actions: string[][] = [[], []];
    const results = [];
    for (const heard of actions) {
      results.push(await simulateSchedule(42, { onAction: (at, action) => heard.push(`${at} ${action}`) }));
    }
    expect(results[0]).toEqual(results[1]);
    expect(actions[0]).toEqual(actions[1]);
    expect(actions[0]?.length).toBeGreaterThan(3);
  });
});
