import { describe, expect, it } from 'vitest';
import { contract, type InputOf } from '../../../core/contract/contract.ts';
import { Admissions } from '../../../core/control/admissions-control.ts';
import type { PeopleFile } from '../../../core/control/people-file.ts';
import type { Recorder } from '../../../core/control/recorder.ts';
import { StateStore } from '../../../core/control/state-store.ts';

function surroundings() {
  const store = new StateStore();
  const journal: string[] = [];
  const told: { open: string[]; sound: boolean; lifetimeMinutes: number }[] = [];
  const admissions = new Admissions({
    store,
    recorder: {
      record(entry: { text: string; changes?: Parameters<StateStore['change']>[0] }) {
        journal.push(entry.text);
        store.change(entry.changes ?? []);
      },
    } as unknown as Recorder,
    people: { list: async () => [] } as unknown as PeopleFile,
    services: () => ({ all: ['shop.example', 'wiki.example'], own: ['shop.example'] }),
    tellDoors: async () => {
      const { open, sound, lifetimeMinutes } = await admissions.forDoors();
      told.push({ open, sound, lifetimeMinutes });
      return 8;
    },
  });
  const set = (input: InputOf<'admission.set'>) =>
    admissions.set(contract['admission.set'].input.parse(input), 'window');
  return { store, journal, told, admissions, set };
}

describe('admission', () => {
  it('changes what is said and nothing else; every access point is told', async () => {
    const { journal, told, set } = surroundings();
    expect(await set({ sound: 'off' })).toMatchObject({
      lifetimeMinutes: 30,
      sound: false,
      services: [
        { service: 'shop.example', humanTest: true },
        { service: 'wiki.example', humanTest: false },
      ],
      accessPointsTold: 8,
    });
    await set({ lifetimeMinutes: 5, open: ['wiki.example'], close: ['shop.example'] });
    expect(told).toEqual([
      { open: ['shop.example'], sound: false, lifetimeMinutes: 30 },
      { open: ['wiki.example'], sound: false, lifetimeMinutes: 5 },
    ]);
    await set({ sound: 'on' });
    expect(told.at(-1)).toMatchObject({ sound: true, lifetimeMinutes: 5 });
    expect(journal[0]).toBe('The human test admits for 30 minutes; by sounds no more.');
  });

  it('offers sounds where an older journal says nothing of them', async () => {
    const { store, admissions } = surroundings();
    const older = { id: 'admission', lifetimeMinutes: 10, open: {} };
    store.change([{ op: 'upsert', collection: 'admission', id: 'admission', value: older as never }]);
    expect(await admissions.show()).toMatchObject({ lifetimeMinutes: 10, sound: true });
  });

  it('opens and closes known services only, and none both ways', async () => {
    const { journal, set } = surroundings();
    await expect(set({ open: ['none.example'] })).rejects.toMatchObject({ code: 'SERVICE_UNKNOWN' });
    await expect(set({ open: ['shop.example'], close: ['shop.example'] })).rejects.toMatchObject({
      code: 'REQUEST_INVALID',
    });
    expect(journal).toEqual([]);
  });
});
