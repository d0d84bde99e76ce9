import { simulateSchedule } from '../../core/ring/simulation/simulate-schedule.ts';

/** Plays the schedules of these seeds; what comes back are those that did not pass, ready to be pasted. */
export async function failingSchedules(
  kind: 'faithful' | 'hostile',
  firstSeed: number,
  count: number,
): Promise<unknown[]> {
  const failed: unknown[] = [];
  for (let seed = firstSeed; seed < firstSeed + count; seed += 1) {
    const result = await simulateSchedule(seed, { kind });
    if (!result.passed) failed.push(result);
  }
  return failed;
}
