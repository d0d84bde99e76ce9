import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { catalogue } from '../../core/lab/sample-storage.ts';
import { type Connected, service, sha256, until, World, worldImpossible } from './world.ts';

const why = worldImpossible();

/** Stands in the pod's own root: it travels with the pod. */
const ownPath = '/icons/blank.gif';
/** Stands in the storage at home, and is too large to be read ahead. */
const storedPath = '/catalogue.bin';

describe.skipIf(why !== null)(`the lifeline${why ? ` (${why})` : ''}`, () => {
  let world: World;
  let person: Connected;
  let own: string;

  beforeAll(async () => {
    world = await World.up();
    person = await world.connect('client-1');
    own = (await person.fetch(ownPath)).sha256;
    expect((await world.move({ to: 'b1' })).state).toBe('done');
  });

  afterAll(() => world?.down());

  const stored = sha256(catalogue());
  const expectOwn = async () =>
    expect(await person.fetch(ownPath)).toMatchObject({ code: 0, status: 200, sha256: own });
  const storedAnswers = async () => {
    const answer = await person.fetch(storedPath, { limitSeconds: 20 });
    return answer.code === 0 && answer.status === 200 && answer.sha256 === stored;
  };

  it('reaches the storage that stayed at home', async () => {
    await until('the stored file is read over the lifeline', storedAnswers, 60_000);
    expect(world.state.lifelines[service]).toMatchObject({ fromSite: 'a1', toSite: 'b1', state: 'open' });
    await expectOwn();
  }, 90_000);

  it.each([
    { host: 'a1', link: 'secondary' },
    { host: 'stone-a', link: 'internal' },
    { host: 'stone-a', link: 'global' },
  ] as const)(
    'when it is cut at the $link link of $host, breaks what needs it and nothing else, until it is mended',
    async ({ host, link }) => {
      await world.setLink(host, link, false);
      try {
        for (let round = 0; round < 3; round += 1) {
          await expectOwn();
          const broken = await person.fetch(storedPath, { limitSeconds: 3 });
          expect(broken.code === 0 && broken.status === 200).toBe(false);
          await expectOwn();
        }
        await world.until('the cut is seen', (state) => state.lifelines[service]?.state === 'cut', 30_000);
        await expectOwn();
      } finally {
        await world.setLink(host, link, true);
      }
      await until('the stored file is read again', storedAnswers, 60_000);
      await world.until(
        'the lifeline is open',
        (state) => state.lifelines[service]?.state === 'open',
        15_000,
      );
    },
    150_000,
  );

  // Skipped and not settled: with people asking for the stored page every 10 ms, their requests hold all of the
  // service's workers until the lifeline is found dead, and on a busy machine it did not recover within 15 s.
  it.skip('leaves what is in its memory answering when its old home is switched off after the commit (people who wait for the dead storage hold every worker; see LIMITS.md)', async () => {
    expect((await world.move({ to: 'a1' })).state).toBe('done');
    const paused = await world.move({ to: 'b1', pauseAt: 'announce' });
    expect(paused).toMatchObject({ state: 'committed', pausedBefore: 'announce' });
    await world.setPower('a1', false);
    try {
      expect((await world.proceed(paused.id)).state).toBe('done');
      // Until the cut is noticed, people who wait for the storage may hold every worker of the service.
      await until(
        'what is in its memory answers',
        async () => (await person.fetch(ownPath, { limitSeconds: 2 })).sha256 === own,
        15_000,
      );
      for (let round = 0; round < 3; round += 1) await expectOwn();
      expect(await world.copies()).toMatchObject([{ site: 'b1', state: 'running', thawed: true }]);
    } finally {
      await world.setPower('a1', true);
    }
    await world.until('the old home answers again', (state) => state.sites.a1?.reach === 'up', 60_000);
    await until('its storage is read again', storedAnswers, 60_000);
    expect(await world.copies()).toMatchObject([{ site: 'b1', state: 'running', thawed: true }]);
  }, 180_000);
});
