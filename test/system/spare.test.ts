import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import type { OutputOf } from '../../core/contract/contract.ts';
import { catalogue } from '../../core/lab/sample-storage.ts';
import { homePage, service, sha256, until, World, worldImpossible } from './world.ts';

const why = worldImpossible();
const group = '/sys/fs/cgroup/freezer/pod-shop-example';
/** In the pod's own files, which travel with it. */
const writtenPath = '/var/tmp/written';

describe.skipIf(why !== null)(`a hot spare${why ? ` (${why})` : ''}`, () => {
  let world: World;

  beforeAll(async () => {
    world = await World.up();
  });

  afterAll(() => world?.down());

  type Spares = OutputOf<'spare.list'>['spares'];

  async function spares(): Promise<Spares> {
    const { code, stdout, stderr } = await world.cli(['spare', 'list', '--json']);
    expect([code, stderr]).toEqual([0, '']);
    return (JSON.parse(stdout) as OutputOf<'spare.list'>).spares;
  }

  /** A spare whose latest round began after this was called. */
  function roundsLater(rounds: number, limitMs = 20_000): Promise<Spares[number]> {
    const from = world.state.spares[service]?.rounds ?? 0;
    return world.until(
      `${rounds} more rounds of the spare`,
      (state) => {
        const spare = state.spares[service];
        return spare && spare.rounds >= from + rounds && spare.state === 'current' ? spare : null;
      },
      limitMs,
    );
  }

  /** Runs a script beside the service's first process, whose root is `/proc/$pid/root`. */
  async function beside(site: string, script: string): Promise<string> {
    const said = await world.hosts.run(site, `pid=$(head -n 1 ${group}/cgroup.procs); ${script}`);
    expect(said).toMatchObject({ code: 0, stderr: '' });
    return said.stdout.trim();
  }

  it('refuses the site where the service is, and one that there is not', { timeout: 20_000 }, async () => {
    const here = await world.cli(['spare', 'keep', 'shop', 'a1']);
    expect(here.code).not.toBe(0);
    expect(here.stderr).toContain('shop.example is at a1 itself. Choose another site.');
    expect((await world.cli(['spare', 'keep', 'shop', 'z9'])).stderr).toContain(
      'There is no hosting site z9.',
    );
    expect((await world.cli(['spare', 'drop', 'shop'])).stderr).toContain('shop.example has no spare.');
    expect(await spares()).toEqual([]);
  });

  it('is drawn first, and a move to it sends what changed since alone', { timeout: 120_000 }, async () => {
    const plain = await world.move({ to: 'b1' });
    expect(plain).toMatchObject({ state: 'done', error: null });
    expect((await world.move({ to: 'a1' })).state).toBe('done');
    const person = await world.connect('client-1');
    const kept = await world.cli(['spare', 'keep', 'shop', 'b1', '--every-seconds', '1', '--json']);
    expect(JSON.parse(kept.stdout)).toMatchObject({ spare: { id: service, site: 'b1', everySeconds: 1 } });
    await roundsLater(1);
    // Rounds are read while people use it, and hold nobody up.
    const download = await person.download('/catalogue.bin', { bytesPerSecond: 2 << 20, limitSeconds: 40 });
    const written = await beside(
      'a1',
      `head -c 300000 /dev/urandom > /proc/$pid/root${writtenPath}; sha256sum < /proc/$pid/root${writtenPath}`,
    );
    const spare = await roundsLater(3);
    expect(spare.bytes).toBeGreaterThan(500_000);
    expect(spare).toMatchObject({ site: 'b1', state: 'current', fault: null });
    expect(spare.processorMs).toBeGreaterThan(0);
    expect(await world.copies()).toMatchObject([{ site: 'a1', state: 'running', thawed: true }]);
    const move = await world.move({});
    console.info(
      `plain: ${plain.wireBytes} bytes, ${plain.aheadBytes} of them ahead, silent for ${plain.outageMs} ms; ` +
        `to the spare: ${move.wireBytes} bytes, ${move.aheadBytes} ahead, ${move.outageMs} ms; ` +
        `a round: ${spare.lastBytes} bytes, ${spare.lastMs} ms; ${spare.rounds} rounds: ${spare.processorMs} ms of processor`,
    );
    expect(move).toMatchObject({ state: 'done', to: 'b1', error: null });
    expect(move.wireBytes!).toBeLessThan(plain.wireBytes! / 2);
    expect(await beside('b1', `sha256sum < /proc/$pid/root${writtenPath}`)).toBe(written);
    expect(await download.done).toMatchObject({ code: 0, status: 200, sha256: sha256(catalogue()) });
    expect(await person.fetch(homePage.path)).toMatchObject({ status: 200, sha256: homePage.sha256 });
    await world.until('it is idle there', (state) => state.spares[service]?.state === 'idle', 10_000);
    await person.stop();
  });

  it('is kept again when the service has come back from it', { timeout: 60_000 }, async () => {
    expect((await world.move({ to: 'a1' })).state).toBe('done');
    await roundsLater(2);
  });

  it('lets a service run on whose agent dies in the midst of a round, and is kept by the next agent', {
    timeout: 90_000,
  }, async () => {
    const before = await beside('a1', `sort -n ${group}/cgroup.procs | tr '\\n' ' '`);
    const said = await world.hosts.run(
      'a1',
      `for n in $(seq 8000); do set -- /run/move/sparing/*/memory; [ -e "$1" ] && break; sleep 0.001; done; kill -9 $(pgrep -f 'agent[.]mjs serve'); ls /run/move/sparing/*`,
      { limitMs: 25_000 },
    );
    expect(said.stdout).toContain('memory');
    expect(await beside('a1', `cat ${group}/freezer.state`)).toBe('THAWED');
    expect(await beside('a1', `sort -n ${group}/cgroup.procs | tr '\\n' ' '`)).toBe(before);
    await world.until(
      'it is seen to begin anew',
      (state) => (state.spares[service]?.rounds ?? 9) < 2,
      30_000,
    );
    await roundsLater(2, 30_000);
    expect(await world.copies()).toMatchObject([{ site: 'a1', state: 'running', thawed: true }]);
  });

  it('ends when it is dropped', { timeout: 30_000 }, async () => {
    const dropped = await world.cli(['spare', 'drop', 'shop', '--json']);
    expect(JSON.parse(dropped.stdout)).toEqual({ service });
    expect(await spares()).toEqual([]);
    const agent = await world.hosts.agent('a1');
    await until(
      'its site keeps nothing current',
      async () => (await agent.call('site.status', {}, { deadlineMs: 5_000 })).spares?.length === 0,
      5_000,
    );
  });
});
