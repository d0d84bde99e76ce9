import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { drillReportSchema } from '../../core/drills/drill-report.ts';
import { service, World, worldImpossible } from './world.ts';

const why = worldImpossible();

describe.skipIf(why !== null)(`attacks by requests${why ? ` (${why})` : ''}`, () => {
  let world: World;

  beforeAll(async () => {
    world = await World.up();
  });

  afterAll(() => world?.down());

  it.each(['http-flood', 'slow-http', 'expensive-requests'])(
    'a drill %s is recognised as what it is and as nothing else, and left behind',
    {
      timeout: 150_000,
      retry: 1,
    },
    async (kind) => {
      const drill = await world.cli(['drill', 'run', kind, '--to', 'b1', '--json']);
      if (drill.stdout === '') throw new Error(`The drill has no report: ${drill.stderr}`);
      const report = drillReportSchema.parse(JSON.parse(drill.stdout));
      const told = Object.values(world.state.attacks).map(({ kind: taken, site, evidence }) => ({
        taken,
        site,
        evidence,
      }));
      const { detectedMs, detectedClass, falseClasses, outageMs, hypothesis, notes } = report;
      console.info(
        JSON.stringify({ kind, detectedMs, detectedClass, falseClasses, outageMs, hypothesis, notes, told }),
      );
      expect(hypothesis.filter(({ held }) => !held)).toEqual([]);
      expect(report).toMatchObject({ drill: kind, detectedClass: kind, falseClasses: [], verdict: true });
      expect(drill.code).toBe(0);
      expect(world.state.services[service]).toMatchObject({ site: 'b1', state: 'running' });
    },
  );
});
