import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { drillReportSchema } from '../../core/drills/drill-report.ts';
import { service, World, worldImpossible } from './world.ts';

const why = worldImpossible();

describe.skipIf(why !== null)(`calm${why ? ` (${why})` : ''}`, () => {
  let world: World;

  beforeAll(async () => {
    world = await World.up();
  });

  afterAll(() => world?.down());

  it.each(['quiet-minute', 'honest-surge'])(
    'a %s raises no alarm and moves nothing',
    { timeout: 150_000, retry: 1 },
    async (kind) => {
      const drill = await world.cli(['drill', 'run', kind, '--json']);
      if (drill.stdout === '') throw new Error(`The drill has no report: ${drill.stderr}`);
      const report = drillReportSchema.parse(JSON.parse(drill.stdout));
      expect(report.hypothesis.filter(({ held }) => !held)).toEqual([]);
      expect(report).toMatchObject({ drill: kind, alarms: 0, verdict: true });
      expect(drill.code).toBe(0);
      expect(Object.values(world.state.attacks)).toEqual([]);
      expect(world.state.services[service]).toMatchObject({ site: 'a1', state: 'running', epoch: 1 });
    },
  );
});
