import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { seededRandom } from '../../core/runtime/random.ts';
import { type Connected, homePage, service, until, World, worldImpossible } from '../system/world.ts';

const why = worldImpossible();
const moves = 40;
const sites = ['a1', 'a2', 'b1', 'b2', 'c1', 'c2'] as const;

describe.skipIf(why !== null)(`a service that moves all the time${why ? ` (${why})` : ''}`, () => {
  let world: World;
  let person: Connected;

  beforeAll(async () => {
    world = await World.up();
    person = await world.connect('client-1');
  });

  afterAll(() => world?.down());

  it('stays one, and answers after every move, with controllers that die now and then', async () => {
    const random = seededRandom(7);
    for (let round = 0; round < moves; round += 1) {
      const from = world.state.services[service]?.site;
      const others = sites.filter((site) => site !== from);
      const to = others[random.below(others.length)] ?? 'b1';
      const { move } = await world.client.call('move.start', { service, to });
      if (random.below(4) === 0) {
        await new Promise((resolve) => setTimeout(resolve, random.below(2_500)));
        await world.control.kill();
        await world.respawnControl().ready();
      }
      await world.until(
        `move ${round} to ${to} has ended`,
        (state) => ['done', 'rolled-back'].includes(state.moves[move.id]?.state ?? ''),
        60_000,
      );
      const where = world.state.moves[move.id]?.state === 'done' ? to : from;
      await until('one copy is left', async () => (await world.copies()).length === 1, 15_000);
      expect(await world.copies()).toMatchObject([{ site: where, state: 'running', thawed: true }]);
      await until(
        'a right answer',
        async () => (await person.fetch(homePage.path)).sha256 === homePage.sha256,
        10_000,
      );
    }
    expect(await world.client.call('journal.verify', {})).toMatchObject({ ok: true });
    expect((await world.client.call('ring.verify', {})).ok).toBe(true);
  });
});
