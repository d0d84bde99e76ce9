import { parseArgs } from 'node:util';
import { simulateSchedule } from './simulation/simulate-schedule.ts';

/**
 * Plays seeded schedules on the simulated network and prints one JSON object. Exit code 1 when one did not
 * pass; `failed` then holds its seed, and `--seed SEED --schedules 1` plays it again.
 */
async function main(): Promise<number> {
  const { values } = parseArgs({
    options: {
      schedules: { type: 'string', default: '1000' },
      seed: { type: 'string', default: '1' },
      kind: { type: 'string' },
      trace: { type: 'boolean', default: false },
    },
  });
  const schedules = Number(values.schedules);
  const firstSeed = Number(values.seed);
  const { kind } = values;
  const known = kind === undefined || kind === 'faithful' || kind === 'hostile';
  if (!Number.isSafeInteger(schedules) || schedules < 1 || !Number.isSafeInteger(firstSeed) || !known) {
    process.stderr.write('Usage: simulate [--schedules N] [--seed S] [--kind faithful|hostile] [--trace]\n');
    return 2;
  }
  const begun = performance.now();
  const totals = { calls: 0, joins: 0, leaves: 0, crashes: 0, partitions: 0, longestSettledMs: 0 };
  let played = 0;
  let failed: unknown = null;
  for (let seed = firstSeed; played < schedules && !failed; seed += 1) {
    const result = await simulateSchedule(seed, {
      ...(kind === undefined ? {} : { kind }),
      ...(values.trace ? { onAction: (atMs, action) => process.stderr.write(`${atMs} ${action}\n`) } : {}),
    });
    played += 1;
    for (const name of ['calls', 'joins', 'leaves', 'crashes', 'partitions'] as const) {
      totals[name] += result[name];
    }
    totals.longestSettledMs = Math.max(totals.longestSettledMs, result.settledMs);
    if (!result.passed) failed = result;
  }
  const elapsedMs = Math.round(performance.now() - begun);
  process.stdout.write(`${JSON.stringify({ schedules: played, firstSeed, ...totals, elapsedMs, failed })}\n`);
  return failed ? 1 : 0;
}

process.exitCode = await main();
