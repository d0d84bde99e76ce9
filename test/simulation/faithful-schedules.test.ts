import { expect, it } from 'vitest';
import { failingSchedules } from './failing-schedules.ts';

it("2,000 schedules keep Zave's invariant after every event while her assumptions hold", {
  timeout: 180_000,
}, async () => {
  expect(await failingSchedules('faithful', 1, 2_000)).toEqual([]);
});
