import { parentPort } from 'node:worker_threads';
import { playSchedules, type ScheduleRow } from './play-schedules.ts';

parentPort?.on('message', (row: ScheduleRow) => {
  playSchedules(row).then(
    (played) => parentPort?.postMessage(played),
    (thrown) => {
      throw thrown;
    },
  );
});
