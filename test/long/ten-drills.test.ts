import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { drillReportSchema } from '../../core/drills/drill-report.ts';
import { service, until, World, worldImpossible } from '../system/world.ts';

const why = worldImpossible();
const drills = 10;

describe.skipIf(why !== null)(`ten drills in a row${why ? ` (${why})` : ''}`, () => {
  let world: World;

  beforeAll(async () => {
    world = await World.up();
  });

  afterAll(() => world?.down());

  it('end with ten verdicts true', async () => {
    const verdicts: { verdict: boolean; fallen: string[] }[] = [];
    for (let round = 0; round < drills; round += 1) {
      const to = world.state.services[service]?.site === 'b1' ? 'a1' : 'b1';
      const drill = await world.cli(['drill', 'run', 'udp-flood', '--json', '--to', to]);
      const report = drillReportSchema.parse(JSON.parse(drill.stdout));
      const fallen = report.hypothesis
        .filter(({ held }) => !held)
        .map((each) => `${each.statement} ${each.measured}`);
      console.info(
        JSON.stringify({
          round,
          verdict: report.verdict,
          detectedMs: report.detectedMs,
          outageMs: report.outageMs,
          disruptionMs: report.disruptionMs,
          failures: report.overlay.failures,
          fallen,
        }),
      );
      verdicts.push({ verdict: report.verdict && drill.code === 0, fallen });
      await world.until(
        'no site is attacked any more',
        (state) => Object.values(state.sites).every((site) => !site.attacked),
        30_000,
      );
      await until('one copy is left', async () => (await world.copies()).length === 1, 10_000);
    }
    expect(verdicts).toEqual(Array.from({ length: drills }, () => ({ verdict: true, fallen: [] })));
  });
});
