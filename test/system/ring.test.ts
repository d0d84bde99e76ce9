import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { drillReportSchema } from '../../core/drills/drill-report.ts';
import { service, until, World, worldImpossible } from './world.ts';

const why = worldImpossible();

describe.skipIf(why !== null)(`the ring at work${why ? ` (${why})` : ''}`, () => {
  let world: World;

  beforeAll(async () => {
    world = await World.up();
  });

  afterAll(() => world?.down());

  /** Who holds the record of the service, the directory node first; null when nobody is that. */
  async function holders(): Promise<string[] | null> {
    const { nodes } = await world.client.call('ring.show', {});
    const holding = nodes.flatMap(({ id, records }) =>
      records.filter((record) => record.service === service).map(({ owner }) => ({ id, owner })),
    );
    const owners = holding.filter(({ owner }) => owner);
    if (owners.length !== 1) return null;
    return [...owners, ...holding.filter(({ owner }) => !owner)].map(({ id }) => id);
  }

  it('keeps the record when its directory node dies, and gives it back when that one returns', {
    timeout: 60_000,
  }, async () => {
    const before = await until('the record has its directory node', holders, 15_000);
    // The directory node and as many of the next ones as its predecessor lists beside it.
    expect(before.length).toBeGreaterThanOrEqual(4);
    const [owner] = before as [string];
    // Each is asked once: whoever asks keeps the record, and is told of changes.
    const bystanders = Object.keys(world.state.nodes).filter((node) => !before.includes(node));
    const find = async () => {
      const agent = await world.hosts.agent(bystanders.shift() ?? '');
      return (await agent.call('overlay.fetch', { service }, { deadlineMs: 5_000 })).record;
    };
    await world.setPower(owner, false);
    expect(await find()).toMatchObject({ service, site: 'a1' });
    const after = await until('another node has taken the place', holders, 15_000, 250);
    expect(after[0]).not.toBe(owner);
    expect(await find()).toMatchObject({ service, site: 'a1' });
    await world.setPower(owner, true);
    await until(
      'the old directory node has the record again',
      async () => (await holders())?.[0] === owner,
      20_000,
      250,
    );
    const verified = await until(
      'the ring is whole',
      async () => {
        const found = await world.client.call('ring.verify', {}, { deadlineMs: 15_000 });
        return found.members.length === 8 ? found : null;
      },
      15_000,
      250,
    );
    expect(verified).toMatchObject({ ok: true, violations: [], absent: [], silent: [] });
  });

  // Two processors carry the flood, the whole miniature internet and whatever else runs on them.
  it('lets a flooded node go, its client goes elsewhere, and it returns: by the drill', {
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
