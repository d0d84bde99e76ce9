import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { manyMoves, peopleOfManyServices } from './world/many-moves.ts';
import { type Connected, World, worldImpossible } from './world.ts';

const why = worldImpossible();
const rounds = 2;

describe.skipIf(why !== null)(`two moves in a row${why ? ` (${why})` : ''}`, () => {
  let world: World;
  let person: Connected;

  beforeAll(async () => {
    world = await World.up();
    person = await peopleOfManyServices(world);
  }, 400_000);

  afterAll(() => world?.down());

  it('lose nothing of 200 kept connections, a viewer that types, a connection that counts and a download', {
    timeout: 180_000,
  }, async () => {
    const seen = await manyMoves(world, person, rounds);
    expect(seen.moves).toBe(3 * rounds);
    process.stderr.write(`two moves in a row: ${JSON.stringify(seen)}\n`);
  });
});
