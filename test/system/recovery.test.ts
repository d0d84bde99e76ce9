import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { seededRandom } from '../../core/runtime/random.ts';
import { type Connected, homePage, service, until, World, worldImpossible } from './world.ts';

const why = worldImpossible();
/** What the issue allows from the restart of the controller to one copy that answers. */
const recoveryLimitMs = 15_000;
const phases = ['freeze', 'dump', 'ship', 'verify', 'restore', 'commit', 'announce', 'firstAnswer'] as const;
const afterCommit = new Set<string>(['announce', 'firstAnswer']);

describe.skipIf(why !== null)(`a controller that gets kill -9 in a move${why ? ` (${why})` : ''}`, () => {
  let world: World;
  let person: Connected;

  beforeAll(async () => {
    world = await World.up();
    person = await world.connect('client-1');
  });

  afterAll(() => world?.down());

  /** One copy, and nothing left of any other; or null. */
  async function onlyCopy(): Promise<string | null> {
    const copies = await world.copies();
    const [copy] = copies;
    return copies.length === 1 && copy?.state === 'running' && copy.thawed ? copy.site : null;
  }

  async function isRightAnswer(): Promise<boolean> {
    const answer = await person.fetch(homePage.path, { limitSeconds: 2 });
    return answer.code === 0 && answer.status === 200 && answer.sha256 === homePage.sha256;
  }

  const home = () => world.state.services[service]?.site ?? '';
  const away = () => (home() === 'a1' ? 'b1' : 'a1');

  /** Kills the controller as it is, starts it again, and holds it to the limit without any help. */
  async function killAndRecover(id: string): Promise<{ site: string; state: string }> {
    await world.control.kill();
    // Never two, not even while nobody is in charge.
    expect(
      (await world.copies()).filter((copy) => copy.thawed && copy.state === 'running').length,
    ).toBeLessThanOrEqual(1);
    const restartedAt = performance.now();
    const control = world.respawnControl();
    const site = await until('exactly one copy', onlyCopy, recoveryLimitMs);
    await until('a right answer through the overlay', isRightAnswer, recoveryLimitMs);
    expect(performance.now() - restartedAt).toBeLessThan(recoveryLimitMs);
    await control.ready();
    await world.until(
      'the console shows the service running where it is',
      (state) => state.services[service]?.state === 'running' && state.services[service]?.site === site,
      recoveryLimitMs,
    );
    expect(await onlyCopy()).toBe(site);
    return { site, state: world.state.moves[id]?.state ?? 'unknown' };
  }

  it.each(phases)(
    'before %s leaves one copy that answers',
    async (phase) => {
      const from = home();
      const to = away();
      const paused = await world.move({ to, pauseAt: phase });
      expect(paused.pausedBefore).toBe(phase);
      const recovered = await killAndRecover(paused.id);
      expect(recovered).toEqual(
        afterCommit.has(phase) ? { site: to, state: 'done' } : { site: from, state: 'rolled-back' },
      );
    },
    90_000,
  );

  it('at moments drawn by a seed leaves one copy that answers', async () => {
    const random = seededRandom(2_026);
    for (let round = 0; round < 3; round += 1) {
      const from = home();
      const to = away();
      const { move } = await world.client.call('move.start', { service, to });
      await world.until(
        'the service is frozen',
        (state) => state.moves[move.id]?.phases.some(({ phase }) => phase === 'freeze'),
        20_000,
      );
      await new Promise((resolve) => setTimeout(resolve, random.below(900)));
      const recovered = await killAndRecover(move.id);
      expect([from, to]).toContain(recovered.site);
      expect(['done', 'rolled-back']).toContain(recovered.state);
      expect(recovered.site).toBe(recovered.state === 'done' ? to : from);
    }
  }, 180_000);

  it('has the copy killed that an unreachable source kept frozen, also after a restart, and tells of it', async () => {
    // Towards home: its storage is there, and nothing but the kill needs the link that is cut.
    const [from, to] = ['b1', 'a1'];
    if (home() !== from) expect((await world.move({ to: from })).state).toBe('done');
    const paused = await world.move({ to, pauseAt: 'commit' });
    await world.setLink(from, 'secondary', false);
    try {
      const done = await world.proceed(paused.id);
      expect(done).toMatchObject({ state: 'done', owed: 'kill' });
      await until('a right answer through the overlay', isRightAnswer, recoveryLimitMs);
      await world.control.kill();
      await world.respawnControl().ready();
      expect(world.state.moves[paused.id]).toMatchObject({ state: 'done', owed: 'kill' });
    } finally {
      await world.setLink(from, 'secondary', true);
    }
    const mendedAt = performance.now();
    await world.until('the frozen copy is killed', (state) => state.moves[paused.id]?.owed === null, 60_000);
    process.stdout.write(`killed ${Math.round(performance.now() - mendedAt)} ms after the link was mended\n`);
    expect(await onlyCopy()).toBe(to);
    expect(world.state.moves[paused.id]?.failure?.phase).not.toBe('commit');
  }, 150_000);

  it('starts no second copy when it cannot see the site where the service lives', async () => {
    if (home() !== 'b1') expect((await world.move({ to: 'b1' })).state).toBe('done');
    const epoch = world.state.services[service]?.epoch;
    await world.control.kill();
    await world.setLink('b1', 'secondary', false);
    try {
      await world.respawnControl().ready();
      expect(world.state.services[service]).toMatchObject({ site: 'b1', state: 'down', epoch });
      expect((await world.journal()).map(({ type }) => type)).toContain('service.unseen');
      expect(await isRightAnswer()).toBe(true);
    } finally {
      await world.setLink('b1', 'secondary', true);
    }
    await world.until('it is found again', (state) => state.services[service]?.state === 'running', 40_000);
    expect(world.state.services[service]).toMatchObject({ site: 'b1', epoch });
    await until('exactly one copy, where it was', async () => (await onlyCopy()) === 'b1', 15_000);
  }, 150_000);

  it('starts the service anew when its lab went away in the middle of a move', async () => {
    const paused = await world.move({ to: away(), pauseAt: 'dump' });
    await world.control.kill();
    await world.replaceLab();
    await world.respawnControl().ready();
    const site = await until('one copy runs', onlyCopy, 60_000);
    expect(site).toBe('a1');
    await world.until(
      'the move is over, and the service runs',
      (state) =>
        state.moves[paused.id]?.state === 'rolled-back' &&
        state.services[service]?.state === 'running' &&
        state.services[service]?.site === site,
      60_000,
    );
    person = await world.connect('client-1');
    await until('a right answer through the overlay', isRightAnswer, recoveryLimitMs);
  }, 180_000);

  it('leaves a journal whose chain is whole', async () => {
    expect(await world.client.call('journal.verify', {})).toMatchObject({ ok: true, firstBad: null });
  });
});
