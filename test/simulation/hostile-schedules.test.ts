import { describe, expect, it } from 'vitest';
import { simulateSchedule } from '../../core/ring/simulation/simulate-schedule.ts';
import { failingSchedules } from './failing-schedules.ts';

describe('seeded schedules on the simulated network', () => {
  it('1,000 end with one whole ring after partitions, losses and crashes of any kind', {
    timeout: 120_000,
  }, async () => {
    expect(await failingSchedules('hostile', 1, 1_000)).toEqual([]);
  });

  it.each([20_698])(
    '%i ends so as well, which once left a member alone',
    { timeout: 20_000 },
    async (seed) => {
      expect(await failingSchedules('hostile', seed, 1)).toEqual([]);
      expect((await simulateSchedule(seed)).problems).toEqual([]);
    },
  );

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
