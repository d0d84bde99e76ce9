import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import type { DecoyView } from '../../core/contract/decoy-view.ts';
import { homePage, service, until, World, worldImpossible } from './world.ts';

const why = worldImpossible();

describe.skipIf(why !== null)(`the old address of a service that has moved${why ? ` (${why})` : ''}`, () => {
  let world: World;

  beforeAll(async () => {
    world = await World.up();
  }, 180_000);

  afterAll(() => world?.down(), 60_000);

  const show = async (): Promise<DecoyView> =>
    JSON.parse((await world.cli(['decoy', 'show', service, '--json'])).stdout);

  it('goes on answering strangers as a decoy, which no client takes for the service, until the service is home', {
    timeout: 240_000,
  }, async () => {
    const person = await world.connect('client-1', { more: '--way auto' });
    const look = async () => await person.fetch(homePage.path);
    expect(await look()).toMatchObject({ status: 200, sha256: homePage.sha256 });
    expect((await show()).truth).toMatchObject({ site: 'a1', answeredBy: 'the service' });
    // What strangers get is kept at the site soon after the service has come up.
    const kept = `[ -s /var/lib/move/decoys/${service}.json ] && echo kept`;
    await until(
      'its picture is taken',
      async () => (await world.hosts.run('a1', kept)).stdout.includes('kept'),
      60_000,
    );

    // Through the queue, to a site that was asked: by hand, as an approved proposal goes too.
    expect(await world.move({ to: 'b1' })).toMatchObject({ state: 'done', from: 'a1', to: 'b1' });
    await world.until('the decoy answers', ({ sites }) => sites.a1?.decoys?.includes(service), 60_000);
    const stranger = `curl -s -m 20 http://${world.address('a1', 'primary')}/ | sha256sum`;
    expect((await world.hosts.run('bot-1', stranger)).stdout).toContain(homePage.sha256);
    const view = await show();
    expect(view).toMatchObject({
      seen: { answered: true, status: 200 },
      truth: { site: 'b1', atHome: false, answeredBy: 'a decoy' },
    });
    await until(
      'the decoy has told of the request',
      async () => ((await show()).decoy?.requests ?? 0) > 0,
      10_000,
    );
    // It is nobody's process: no key, no state directory, and it comes last for the processor.
    const processes = await world.hosts.run('a1', 'ps -eo uid,ni,args | grep "[a]gent.mjs decoy"');
    expect(processes.stdout.trim()).toMatch(/^65534\s+19\s/);

    // The person's way is told by the signed record alone, so that the decoy is never asked, although it answers.
    for (let turn = 0; turn < 20; turn += 1) {
      expect(await look()).toMatchObject({ status: 200, sha256: homePage.sha256 });
      expect((await person.status()).services[0]?.way).toBe('overlay');
    }
    expect((await world.copies()).map(({ site }) => site)).toEqual(['b1']);

    // The administrator ends it and begins it again; coming home ends it for good.
    await world.cli(['service', 'policy', service, '--decoy', 'off']);
    await world.until('the decoy has ended', ({ sites }) => !sites.a1?.decoys?.includes(service), 60_000);
    expect((await show()).truth.answeredBy).toBe('nobody');
    await world.cli(['service', 'policy', service, '--decoy', 'on']);
    await world.until('the decoy answers again', ({ sites }) => sites.a1?.decoys?.includes(service), 60_000);
    expect(await world.move({ to: 'a1' })).toMatchObject({ state: 'done', to: 'a1' });
    await world.until('the decoy is gone', ({ sites }) => !sites.a1?.decoys?.includes(service), 60_000);
    expect((await show()).truth).toMatchObject({ site: 'a1', answeredBy: 'the service' });
    expect(await look()).toMatchObject({ status: 200, sha256: homePage.sha256 });
    await person.stop();
  });
});
