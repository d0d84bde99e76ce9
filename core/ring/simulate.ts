import { parseArgs } from 'node:util';
import { measureHops } from './simulation/measure-hops.ts';
import { playInParallel } from './simulation/play-in-parallel.ts';
import { playSchedules } from './simulation/play-schedules.ts';
import type { ScheduleKind } from './simulation/simulate-schedule.ts';

const lookupsMeasured = 10_000;

/**
 * Plays seeded schedules on the simulated network, on all processors, and prints one JSON object. Exit code 1 when one did not
 * pass; `failed` then holds its seed, and `replay` the command that plays it again. With `--nodes N` it measures the
 * hops of lookups in a ring of that size instead; exit code 1 when they are more than half log2 N + 1.
 */
async function main(): Promise<number> {
  const { values } = parseArgs({
    options: {
      schedules: { type: 'string', default: '1000' },
      seed: { type: 'string', default: '1' },
      nodes: { type: 'string' },
      kind: { type: 'string' },
      trace: { type: 'boolean', default: false },
    },
  });
  const schedules = Number(values.schedules);
  const firstSeed = Number(values.seed);
  const kind = kindOf(values.kind);
  const nodes = values.nodes === undefined ? null : Number(values.nodes);
  const sensible = nodes === null || (Number.isSafeInteger(nodes) && nodes >= 8 && nodes <= 100_000);
  if (
    !sensible ||
    !Number.isSafeInteger(schedules) ||
    schedules < 1 ||
    !Number.isSafeInteger(firstSeed) ||
    kind === 'unknown'
  ) {
    process.stderr.write(
      'Usage: simulate [--schedules N] [--seed S] [--kind faithful|hostile] [--trace]\n       simulate --nodes N [--seed S]   (8 to 100,000)\n',
    );
    return 2;
  }
  const begun = performance.now();
  if (nodes !== null) {
    const measured = await measureHops(nodes, lookupsMeasured, firstSeed);
    const elapsedMs = Math.round(performance.now() - begun);
    process.stdout.write(`${JSON.stringify({ ...measured, elapsedMs })}\n`);
    return measured.wrong === 0 && measured.meanHops <= measured.bound ? 0 : 1;
  }
  const row = { firstSeed, count: schedules, ...(kind === undefined ? {} : { kind }) };
  const trace = (atMs: number, action: string) => process.stderr.write(`${atMs} ${action}\n`);
  const { played, totals, failed } = values.trace
    ? await playSchedules(row, trace)
    : await playInParallel(row);
  const elapsedMs = Math.round(performance.now() - begun);
  const replay = failed
    ? `npm run -s simulate -- --schedules 1 --seed ${failed.seed}${kind ? ` --kind ${kind}` : ''} --trace`
    : null;
  const perSecond = Math.round((played / elapsedMs) * 10_000) / 10;
  process.stdout.write(
    `${JSON.stringify({ schedules: played, firstSeed, ...totals, elapsedMs, perSecond, failed, replay })}\n`,
  );
  return failed ? 1 : 0;
}

function kindOf(text: string | undefined): ScheduleKind | 'unknown' | undefined {
  return text === undefined || text === 'faithful' || text === 'hostile' ? text : 'unknown';
}

process.exitCode = await main();
