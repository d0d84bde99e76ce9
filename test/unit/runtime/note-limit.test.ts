import { expect, it } from 'vitest';
import { NoteLimit } from '../../../core/runtime/note-limit.ts';
import { HandClock } from '../../support/hand-clock.ts';

it('lets the first of a kind through, then one in five seconds with the number of the others', () => {
  const clock = new HandClock();
  const limit = new NoteLimit(10, clock);
  const passed = Array.from({ length: 100 }, () => limit.pass('same'));
  expect(passed.filter(Boolean)).toEqual(Array.from({ length: 20 }, () => ({ untold: 0 })));
  expect(limit.pass('other')).toEqual({ untold: 0 });
  clock.turn(5_000);
  expect(limit.pass('same')).toEqual({ untold: 80 });
  expect(limit.pass('same')).toBeUndefined();
});

it('keeps a bounded number of kinds; those beyond share one, until others have been quiet', () => {
  const clock = new HandClock();
  const limit = new NoteLimit(10, clock);
  const told = Array.from({ length: 1_000 }, (_, index) => limit.pass(`kind ${index}`)).filter(Boolean);
  expect(told).toHaveLength(10 + 20);
  clock.turn(200_000);
  expect(limit.pass('a new kind')).toEqual({ untold: 0 });
});
