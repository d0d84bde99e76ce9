import { availableParallelism } from 'node:os';
import { Worker } from 'node:worker_threads';
import { addRow, nonePlayed, type PlayedRow, type ScheduleRow } from './play-schedules.ts';

/** Seeds that a thread gets at once. */
const rowLength = 100;

/**
 * Plays the schedules of a long row on all processors, shared out in short rows. After a failure no further row
 * is begun, and of several failures the one with the lowest seed is told: every seed before it has passed.
 */
export async function playInParallel({ firstSeed, count, kind }: ScheduleRow): Promise<PlayedRow> {
  const whole = nonePlayed();
  let next = firstSeed;
  const end = firstSeed + count;
  const nextRow = (): ScheduleRow | null => {
    if (whole.failed || next >= end) return null;
    const row = { firstSeed: next, count: Math.min(rowLength, end - next), ...(kind ? { kind } : {}) };
    next += row.count;
    return row;
  };
  const threads = Math.min(availableParallelism(), Math.ceil(count / rowLength));
  await Promise.all(Array.from({ length: threads }, () => playRows(nextRow, (row) => addRow(whole, row))));
  return whole;
}

/** One thread, busy with rows until there are none. */
async function playRows(nextRow: () => ScheduleRow | null, add: (row: PlayedRow) => void): Promise<void> {
  const worker = new Worker(new URL('schedule-worker.ts', import.meta.url));
  try {
    await new Promise<void>((resolve, reject) => {
      const give = () => {
        const row = nextRow();
        if (row) worker.postMessage(row);
        else resolve();
      };
      worker.on('message', (row: PlayedRow) => {
        add(row);
        give();
      });
      worker.once('error', reject);
      give();
    });
  } finally {
    await worker.terminate();
  }
}
