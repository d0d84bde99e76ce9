import { expect, it } from 'vitest';
import type { LocationRecord } from '../../../core/overlay/location-record.ts';
import type { Locator } from '../../../core/overlay/locator.ts';
import { ServiceWatch } from '../../../core/overlay/service-watch.ts';
import { HandClock } from '../../support/hand-clock.ts';

const service = 'shop.example';
const record = (epoch: number) => ({ service, epoch, expiresAt: 1_000_000 }) as LocationRecord;

/** A directory whose pushes the test sends itself. */
class Directory implements Locator {
  push: (record: LocationRecord) => void = () => undefined;

  async locate(): Promise<LocationRecord> {
    throw new Error('nobody has to ask');
  }

  watch(_service: string, listener: (record: LocationRecord) => void): () => void {
    this.push = listener;
    return () => undefined;
  }
}

it('tells sessions of a move a few at a time, first those for which somebody waits', () => {
  const clock = new HandClock();
  const directory = new Directory();
  const watch = new ServiceWatch(directory, clock);
  const told: number[] = [];
  for (let session = 0; session < 8; session += 1)
    watch.follow(
      service,
      () => told.push(session),
      () => session >= 4,
    );
  directory.push(record(1));
  expect(told).toEqual([4, 5, 6]);
  clock.turn(100);
  expect(told).toEqual([4, 5, 6, 7, 0, 1, 2, 3]);
  told.length = 0;
  directory.push(record(1));
  directory.push(record(0));
  clock.turn(100);
  expect(told).toEqual([]);
  watch.close();
});

it('tells nothing to a session that has ended meanwhile', () => {
  const clock = new HandClock();
  const directory = new Directory();
  const watch = new ServiceWatch(directory, clock);
  const told: number[] = [];
  const ends = Array.from({ length: 5 }, (_, session) => watch.follow(service, () => told.push(session)));
  directory.push(record(1));
  ends[4]?.();
  clock.turn(100);
  expect(told).toEqual([0, 1, 2, 3]);
  watch.close();
});
