import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { drillReportSchema } from '../../core/drills/drill-report.ts';
import { World, worldImpossible } from '../system/world.ts';

const why = worldImpossible();
const rounds = 6;

describe.skipIf(why !== null)(`honest surges in a row${why ? ` (${why})` : ''}`, () => {
  let world: World;

  beforeAll(async () => {
    world = await World.up();
  });

  afterAll(() => world?.down());

  it('are shown at most, and move nothing', async () => {
    for (let round = 1; round <= rounds; round += 1) {
      const before = Object.keys(world.state.attacks);
      const drill = await world.cli(['drill', 'run', 'honest-surge', '--json']);
      if (drill.stdout === '') throw new Error(`The drill has no report: ${drill.stderr}`);
      const report = drillReportSchema.parse(JSON.parse(drill.stdout));
      const told = Object.values(world.state.attacks).filter(({ id }) => !before.includes(id));
      expect(told, `round ${round}`).toEqual([]);
      expect(report, `round ${round}`).toMatchObject({ alarms: 0, verdict: true });
    }
  });
});
