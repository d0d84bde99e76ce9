import { writeFileSync } from 'node:fs';
import path from 'node:path';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import type { OutputOf } from '../../core/contract/contract.ts';
import { catalogue } from '../../core/lab/sample-storage.ts';
import { service, sha256, until, World, worldImpossible } from './world.ts';

const why = worldImpossible();
const watcher = 'watcher.example';

/** A service that nothing can carry: it watches files of its root. */
const watcherFile = `
hostname: ${watcher}
homeSite: b1
image: apache
command: [perl, -e, 'use IO::Socket; syscall(253) >= 0 or die; my $s = IO::Socket::INET->new(LocalPort => 80, Listen => 9, ReuseAddr => 1) or die; while (my $c = $s->accept) { print $c "here\\n"; close $c }']
port: 80
direct: false
probe:
  tcp: { firstBytes: here }
`;

describe.skipIf(why !== null)(`will it move${why ? ` (${why})` : ''}`, () => {
  let world: World;

  beforeAll(async () => {
    world = await World.up();
  });

  afterAll(() => world?.down());

  async function preflight(name: string, ...more: string[]) {
    const { code, stdout } = await world.cli(['preflight', name, ...more]);
    return { code, ...(JSON.parse(stdout) as OutputOf<'service.preflight'>) };
  }

  it('rehearses, asks every other site, predicts, and nobody loses anything by it', {
    timeout: 60_000,
  }, async () => {
    const person = await world.connect('client-1');
    const download = await person.download('/catalogue.bin', { bytesPerSecond: 1_000_000, limitSeconds: 40 });
    await until('the download has begun', async () => (await download.arrived()) > 300_000, 15_000);
    const { code, preflight: found } = await preflight('shop');
    expect(found).toMatchObject({ verdict: 'moves', findings: [], site: 'a1' });
    expect(code).toBe(0);
    expect(found.rehearsal!.sessions).toBeGreaterThan(0);
    expect(found.rehearsal!.stateBytes).toBeGreaterThan(1e6);
    expect(found.rehearsal!.silentMs).toBeGreaterThanOrEqual(found.rehearsal!.dumpMs);
    expect(found.sites.map(({ site }) => site)).toEqual(['a2', 'b1', 'b2', 'c1', 'c2']);
    for (const site of found.sites) expect(site).toMatchObject({ usable: true, findings: [] });
    // The further the site, the longer the silence: c is 30 ms of round trip further than a.
    const roundTrip = (name: string) => found.sites.find(({ site }) => site === name)!.roundTripMs!;
    expect(roundTrip('c1') - roundTrip('a2')).toBeGreaterThan(20);
    expect(await world.copies()).toMatchObject([{ site: 'a1', state: 'running', thawed: true }]);
    expect(await download.done).toMatchObject({ code: 0, status: 200, sha256: sha256(catalogue()) });
    await person.stop();
  });

  it('says afterwards what the prediction was worth', { timeout: 60_000 }, async () => {
    const move = await world.move({ to: 'b2' });
    expect(move).toMatchObject({ state: 'done', error: null });
    const { checks } = await preflight('shop', '--inspect-only');
    expect(checks).toMatchObject([
      { move: move.id, to: 'b2', predictedMs: move.predictedOutageMs, actualMs: Math.round(move.outageMs!) },
    ]);
  });

  it('finds what cannot be carried before anybody attacks it', { timeout: 60_000 }, async () => {
    const file = path.join(world.home, 'watcher.yaml');
    writeFileSync(file, watcherFile);
    const added = await world.cli(['service', 'add', file]);
    expect([added.code, added.stderr]).toEqual([0, expect.any(String)]);
    const { code, preflight: found } = await preflight(watcher);
    expect(code).toBe(1);
    expect(found).toMatchObject({
      verdict: 'blocked',
      findings: [{ code: 'CHECKPOINT_INOTIFY', severity: 'blocks', subject: 'perl' }],
      rehearsal: null,
    });
    expect(await world.copies(watcher)).toMatchObject([{ state: 'running', thawed: true }]);
  });

  it('thaws a service whose agent died in the middle of a rehearsal', { timeout: 60_000 }, async () => {
    const { site } = world.state.services[service]!;
    const rehearsal = preflight('shop').catch(() => undefined);
    // The pod's own group tells that it stands still; the agent is killed at that moment.
    const said = await world.hosts.run(
      site,
      `group=/sys/fs/cgroup/freezer/pod-shop-example; for n in $(seq 4000); do [ "$(cat $group/freezer.state)" = FROZEN ] && break; sleep 0.002; done; cat $group/freezer.state; kill -9 $(pgrep -f 'agent[.]mjs serve')`,
      { limitMs: 20_000 },
    );
    expect(said.stdout).toContain('FROZEN');
    await rehearsal;
    await expect
      .poll(() => world.copies().catch(() => []), { timeout: 20_000, interval: 200 })
      .toMatchObject([{ site, state: 'running', thawed: true }]);
  });
});
