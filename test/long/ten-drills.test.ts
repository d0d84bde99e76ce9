import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { drillReportSchema } from '../../core/drills/drill-report.ts';
import { World, worldImpossible } from '../system/world.ts';

const why = worldImpossible();
const drills = 10;

describe.skipIf(why !== null)(`ten drills in a row${why ? ` (${why})` : ''}`, () => {
  let world: World;

  beforeAll(async () => {
    world = await World.up();
  });

  afterAll(() => world?.down());

  it('end with ten verdicts true, by the same command again and again', async () => {
    const verdicts: { verdict: boolean; fallen: string[] }[] = [];
    for (let round = 0; round < drills; round += 1) {
      const drill = await world.cli(['drill', 'run', 'udp-flood', '--json', '--to', 'b1'], 240_000);
      if (drill.stdout === '') throw new Error(`Drill ${round} has no report: ${drill.stderr}`);
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
    }
    expect(verdicts).toEqual(Array.from({ length: drills }, () => ({ verdict: true, fallen: [] })));
  });
});
