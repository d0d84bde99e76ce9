import { readFileSync } from 'node:fs';
import path from 'node:path';
import { createInterface } from 'node:readline';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { catalogue } from '../../core/lab/sample-storage.ts';
import { addCountService, countService } from '../chaos/count-service.ts';
import { RedisClient } from '../system/world/redis-client.ts';
import { Viewer } from '../system/world/viewer.ts';
import { homePage, service, sha256, until, World, worldImpossible } from '../system/world.ts';

const why = worldImpossible();
const desktop = 'desktop.example';
const clients = 200;
/** So many sessions at most a certificate may have at an access point: people have certificates of their own. */
const clientsEach = 40;
const tour = ['b1', 'c1', 'b2', 'a1', 'c2', 'b1', 'a2', 'c1', 'a1', 'b2'];
const pageBytes = readFileSync(
  path.resolve(import.meta.dirname, '../../assets/samples/shop/index.html'),
).length;
const downloadBytesPerSecond = 60_000;

const countOf = (words: readonly string[]): Record<string, number> => {
  const counts: Record<string, number> = {};
  for (const word of words) counts[word] = (counts[word] ?? 0) + 1;
  return counts;
};

describe.skipIf(why !== null)(`ten moves in a row${why ? ` (${why})` : ''}`, () => {
  let world: World;

  beforeAll(async () => {
    world = await World.up();
    const desktopFile = path.resolve(import.meta.dirname, '../../assets/services/desktop.yaml');
    const added = await world.cli(['service', 'add', desktopFile], 300_000);
    expect(added.code, added.stderr).toBe(0);
    await addCountService(world);
  }, 600_000);

  afterAll(() => world?.down());

  it('are seen by nobody who keeps a connection, but for a pause', async () => {
    const people = clients / clientsEach;
    const ports = Array.from({ length: people }, (_, index) => 8101 + index);
    for (const port of ports)
      await world.connect('client-1', { name: `person-${port}`, forwards: [`${port}=${service}:80`] });
    const own = await world.connect('client-1', {
      name: 'own',
      credential: await world.issue({ services: [service, desktop, countService] }),
      forwards: [`5901=${desktop}:5900`, `6390=${countService}:6379`],
    });

    await world.hosts.write(
      'client-1',
      '/tmp/keep-alive-clients.ts',
      readFileSync(path.resolve(import.meta.dirname, '../system/world/keep-alive-clients.ts')),
    );
    const program = await world.hosts.start('client-1', 'exec /opt/move/bin/node /tmp/keep-alive-clients.ts');
    const said = createInterface({ input: program.stdout })[Symbol.asyncIterator]();
    program.stdin.write(
      `${JSON.stringify({ ports, clients, host: service, path: homePage.path, bytes: pageBytes, pauseMs: 2_000 })}\n`,
    );
    let trouble = '';
    program.stderr.on('data', (chunk: Buffer) => {
      trouble += chunk.toString('utf8');
    });
    await said.next();
    const viewer = await Viewer.start(world.hosts, 'client-1', 5901);
    viewer.click(200, 450);
    const begun = Date.now();
    const store = new RedisClient(await world.hosts.tcp('client-1', '127.0.0.1', 6390));
    let counted = 0;
    let longestCountMs = 0;
    let counting = true;
    const counter = (async () => {
      while (counting) {
        const asked = performance.now();
        counted += 1;
        expect(await store.ask('INCR', 'count')).toBe(String(counted));
        longestCountMs = Math.max(longestCountMs, performance.now() - asked);
        await new Promise((resolve) => setTimeout(resolve, 20));
      }
    })();
    const bytes = catalogue();
    const download = await own.download('/catalogue.bin', {
      bytesPerSecond: downloadBytesPerSecond,
      limitSeconds: 600,
    });
    await until('the download has begun', async () => (await download.arrived()) > 100_000, 20_000);

    const outages: number[] = [];
    for (const [round, to] of tour.entries()) {
      viewer.type(`echo ${round} >> /tmp/typed\n`);
      for (const id of [service, desktop, countService]) {
        if (world.state.services[id]?.site === to) continue;
        const move = await world.move({ service: id, to });
        expect(move, JSON.stringify(move.error)).toMatchObject({ state: 'done', to });
        if (move.outageMs !== null) outages.push(Math.round(move.outageMs));
      }
    }
    // It was under way all the time.
    expect(await download.arrived()).toBeLessThan(bytes.length);
    expect(await download.done).toMatchObject({ code: 0, status: 200, sha256: sha256(bytes) });
    counting = false;
    await counter;
    const typed = '/var/lib/move/pods/desktop-example/root/tmp/typed';
    const expected = tour.map((_, round) => `${round}\n`).join('');
    await until(
      'everything that was typed has arrived',
      async () => (await world.hosts.run(tour.at(-1) ?? '', `cat ${typed}`)).stdout === expected,
      20_000,
    );
    const silence = await viewer.silence(begun);
    program.stdin.end();
    const told = String((await said.next()).value);
    expect(told, trouble).toMatch(/^\{.*\}$/);
    const seen = JSON.parse(told) as {
      answers: number;
      resets: number;
      renewed: number;
      askedAgain: number;
      faults: string[];
      longestMs: number;
    };
    process.stdout.write(
      `${JSON.stringify(countOf(seen.faults))}\n${tour.length} moves of three services: ${clients} kept connections, ${seen.answers} answers, ${seen.resets} resets, ` +
        `${seen.faults.length} errors, longest stall ${seen.longestMs} ms (${seen.renewed} connections closed by the service ` +
        `between two answers, ${seen.askedAgain} with a question on its way); desktop ${silence.to - silence.from} ms; ` +
        `store ${Math.round(longestCountMs)} ms in ${counted} counts; outages of ${service}: ${outages.join(', ')} ms\n`,
    );
    expect(seen).toMatchObject({ resets: 0, faults: [] });
    expect(seen.answers).toBeGreaterThan(clients * tour.length);
    expect(store.faults).toEqual([]);
    store.close();
    viewer.stop();
  });
});
