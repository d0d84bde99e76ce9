import type { ScheduleKind, ScheduleResult } from './simulate-schedule.ts';
import { simulateSchedule } from './simulate-schedule.ts';

const counted = ['calls', 'joins', 'leaves', 'crashes', 'partitions'] as const;

/** A row of seeds. */
export interface ScheduleRow {
  firstSeed: number;
  count: number;
  kind?: ScheduleKind;
}

/** What came of a row: sums over what was played, and the first schedule that did not pass. */
export interface PlayedRow {
  played: number;
  totals: Record<(typeof counted)[number] | 'longestSettledMs', number>;
  failed: ScheduleResult | null;
}

/** Plays the schedules of a row one after the other, up to the first that does not pass. */
export async function playSchedules(
  { firstSeed, count, kind }: ScheduleRow,
  onAction?: (atMs: number, action: string) => void,
): Promise<PlayedRow> {
  // Failed calls are daily life here, and nobody reads where they were thrown.
  Error.stackTraceLimit = 0;
  const row: PlayedRow = nonePlayed();
  for (let seed = firstSeed; seed < firstSeed + count && !row.failed; seed += 1) {
    const result = await simulateSchedule(seed, {
      ...(kind === undefined ? {} : { kind }),
      ...(onAction ? { onAction } : {}),
    });
    row.played += 1;
    for (const name of counted) row.totals[name] += result[name];
    row.totals.longestSettledMs = Math.max(row.totals.longestSettledMs, result.settledMs);
    if (!result.passed) row.failed = result;
  }
  return row;
}

/** Adds what came of another row; of two failures the one with the lower seed is kept. */
export function addRow(to: PlayedRow, row: PlayedRow): void {
  to.played += row.played;
  for (const name of counted) to.totals[name] += row.totals[name];
  to.totals.longestSettledMs = Math.max(to.totals.longestSettledMs, row.totals.longestSettledMs);
  if (row.failed && (!to.failed || row.failed.seed < to.failed.seed)) to.failed = row.failed;
}

/** A row of which nothing was played yet. */
export function nonePlayed(): PlayedRow {
  return {
    played: 0,
    totals: { calls: 0, joins: 0, leaves: 0, crashes: 0, partitions: 0, longestSettledMs: 0 },
    failed: null,
  };
}
