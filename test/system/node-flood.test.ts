import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { drillReportSchema } from '../../core/drills/drill-report.ts';
import { service, World, worldImpossible } from './world.ts';

const why = worldImpossible();

describe.skipIf(why !== null)(`a flooded overlay node${why ? ` (${why})` : ''}`, () => {
  let world: World;

  beforeAll(async () => {
    world = await World.up();
  });

  afterAll(() => world?.down());

  // Two processors carry the flood, the whole miniature internet and whatever else runs on them.
  it('leaves the ring, its client goes elsewhere, and it returns: by the drill', {
    timeout: 100_000,
    retry: 1,
  }, async () => {
    await world.until('somebody has entered', (state) => state.services[service]?.accessPoint, 20_000);
    const head = await world.journalHead();
    const drill = await world.cli(['drill', 'run', 'node-flood', '--json']);
    if (drill.stdout === '') throw new Error(`The drill has no report: ${drill.stderr}`);
    const report = drillReportSchema.parse(JSON.parse(drill.stdout));
    console.info(JSON.stringify(report.hypothesis.map(({ statement, measured }) => [statement, measured])));
    expect(report.hypothesis.filter(({ held }) => !held)).toEqual([]);
    expect(drill.code).toBe(0);
    const node = report.attack.targetSite;
    expect(node).toMatch(/^node-\d$/);
    const told = (await world.journal(head)).filter(({ subject }) => subject === node);
    expect(told.map(({ type }) => type)).toEqual(expect.arrayContaining(['node.flooded', 'node.returned']));
    const ring = JSON.parse((await world.cli(['ring', 'verify'])).stdout);
    expect(ring).toMatchObject({ ok: true, absent: [], silent: [] });
    expect(ring.members).toHaveLength(8);
    expect(Object.values(world.state.attacks)).toEqual([]);
  });
});
