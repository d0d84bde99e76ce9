import { mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterEach, beforeEach, expect, it } from 'vitest';
import { EpochFile } from '../../../core/overlay/directory/epoch-file.ts';
import { serviceLimit } from '../../../core/overlay/directory/record-store.ts';
import { SimulatedClock } from '../../../core/ring/simulation/simulated-clock.ts';
import type { MoveError } from '../../../core/runtime/errors.ts';

let directory: string;
let path: string;
let clock: SimulatedClock;
const troubles: MoveError[] = [];
const open = (authority = 'authority-1') =>
  new EpochFile({ path, authority, clock, onTrouble: (trouble) => troubles.push(trouble) });

beforeEach(() => {
  directory = mkdtempSync(join(tmpdir(), 'move-epochs-'));
  path = join(directory, 'epochs.sqlite');
  clock = new SimulatedClock();
  troubles.length = 0;
});
afterEach(() => rmSync(directory, { recursive: true, force: true }));

it('keeps the highest epoch of each service, written within a moment and without an orderly end', async () => {
  const file = open();
  file.remember({ service: 'shop.example', site: 'a1', epoch: 1 });
  file.remember({ service: 'mail.example', site: 'a1', epoch: 7 });
  file.remember({ service: 'shop.example', site: 'b1', epoch: 2 });
  await clock.runUntil(clock.now() + 50);
  // As after a crash: nobody closed the first.
  const next = open();
  expect(next.load()).toEqual([
    { service: 'shop.example', site: 'b1', epoch: 2 },
    { service: 'mail.example', site: 'a1', epoch: 7 },
  ]);
  next.remember({ service: 'shop.example', site: 'a1', epoch: 1 });
  next.close();
  file.close();
  expect(open().load()).toContainEqual({ service: 'shop.example', site: 'b1', epoch: 2 });
  expect(troubles).toEqual([]);
});

it('keeps no more than its limit, and forgets those heard of longest ago', () => {
  const file = open();
  for (let index = 0; index < serviceLimit + 5; index += 1)
    file.remember({ service: `s${index}.example`, site: 'a1', epoch: 1 });
  file.close();
  const known = open().load();
  expect(known).toHaveLength(serviceLimit);
  expect(known[0]?.service).toBe('s5.example');
});

it('forgets the epochs of another authority', () => {
  const file = open();
  file.remember({ service: 'shop.example', site: 'b1', epoch: 2 });
  file.close();
  expect(open('authority-2').load()).toEqual([]);
});

it('begins anew, and says so, when the file is damaged; says so when there is no place for it', () => {
  writeFileSync(path, 'this is no database, whatever its name says. '.repeat(100));
  const file = open();
  expect(file.load()).toEqual([]);
  file.remember({ service: 'shop.example', site: 'b1', epoch: 2 });
  file.close();
  expect(troubles.map(({ code }) => code)).toEqual(['EPOCHS_NOT_KEPT']);
  expect(open().load()).toHaveLength(1);
  path = join(directory, 'nowhere', 'epochs.sqlite');
  const none = open();
  none.remember({ service: 'shop.example', site: 'b1', epoch: 2 });
  expect(none.load()).toEqual([]);
  none.close();
  expect(troubles).toHaveLength(2);
});
