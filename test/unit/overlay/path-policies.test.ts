import { request } from 'node:http';
import { afterEach, describe, expect, it } from 'vitest';
import type { ServicePath } from '../../../core/contract/domain.ts';
import { routeOf } from '../../../core/control/route-of-service.ts';
import type { LinkPool, LinkTarget } from '../../../core/overlay/link-pool.ts';
import { hopLimit } from '../../../core/overlay/ring-route.ts';
import { ServletChoice } from '../../../core/overlay/servlet-choice.ts';
import type { SiteDistances } from '../../../core/overlay/site-distances.ts';
import { seededRandom } from '../../../core/runtime/random.ts';
import { HandClock } from '../../support/hand-clock.ts';
import type { OverlayWorld } from '../../support/overlay-world.ts';
import { createOverlayWorld, serviceName } from '../../support/overlay-world.ts';

const record = { site: 'site-0', address: '127.0.0.1:1' };

describe('path policies', () => {
  let world: OverlayWorld | undefined;
  let path: ServicePath = { policy: 'two-hop', nearest: 1 };
  afterEach(async () => {
    await world?.close();
    world = undefined;
  });

  /** Each request gets a session of its own, since the service closes. Nodes stand on the ring in their order; the directory node is node-3, each node knows the next only. */
  const build = (directory = 3, nodes = 5) =>
    createOverlayWorld((_incoming, outgoing) => outgoing.setHeader('connection', 'close').end('hello'), {
      nodes,
      path: () => path,
      route(index, peers) {
        if (index === directory) return { owner: true };
        const next = peers[(index + 1) % peers.length]!;
        return { owner: false, last: (index + 1) % peers.length === directory, next: [next] };
      },
    });

  async function fetchOnce(proxy: string): Promise<number> {
    const { hostname, port } = new URL(proxy);
    return await new Promise((resolve, reject) => {
      const asked = request({
        host: hostname,
        port,
        agent: false,
        path: `http://${serviceName}/`,
        headers: { host: serviceName },
      });
      asked.on('error', reject);
      asked.on('response', (answer) => {
        answer.resume();
        answer.on('end', () => resolve(answer.statusCode ?? 0));
      });
      asked.end();
    });
  }

  const routeSeen = (from: number) => {
    const states = new Map(world!.nodes.map((node, index) => [`node-${index}`, node.status()]));
    return routeOf(states, `node-${from}`, serviceName);
  };

  it('takes one hop, two, or the way around the ring to the directory node and its servlet', async () => {
    world = await build();
    const { ready } = await world.forwarder({});
    path = { policy: 'one-hop', nearest: 1 };
    expect(await fetchOnce(ready.httpProxy!)).toBe(200);
    expect(routeSeen(0)).toEqual(['node-0']);
    path = { policy: 'two-hop', nearest: 1 };
    expect(await fetchOnce(ready.httpProxy!)).toBe(200);
    expect(routeSeen(0)).toHaveLength(2);
    path = { policy: 'full-ring', nearest: 1 };
    expect(await fetchOnce(ready.httpProxy!)).toBe(200);
    const route = routeSeen(0);
    expect(route.slice(0, 4)).toEqual(['node-0', 'node-1', 'node-2', 'node-3']);
    const { onward } = world.nodes[3]!.status();
    // Neither the directory node itself nor the node that it got the stream from; node-0 may be drawn.
    expect(onward[serviceName]).toMatchObject({ servlet: true, node: expect.stringMatching(/^node-[014]$/) });
    expect(world.events.flatMap((event) => (event.type === 'session-opened' ? [event.path] : []))).toEqual([
      'one-hop',
      'two-hop',
      'full-ring',
    ]);
  });

  it('draws the servlet itself where the access point is the directory node', async () => {
    world = await build(0);
    path = { policy: 'full-ring', nearest: 1 };
    const { ready } = await world.forwarder({});
    expect(await fetchOnce(ready.httpProxy!)).toBe(200);
    expect(routeSeen(0)).toHaveLength(2);
    expect(world.nodes[0]!.status().paths[serviceName]).toMatchObject({ next: { servlet: true } });
  });

  it('gives up a stream that would go around for ever, and says why', async () => {
    world = await build(-1);
    path = { policy: 'full-ring', nearest: 1 };
    const link = await world.nodes[1]!.pool.link({
      address: `127.0.0.1:${world.nodes[2]!.port}`,
      role: 'overlay',
      name: 'node-2',
    });
    const header = { kind: 'ring', service: serviceName, port: 80, epoch: 1, last: false };
    await expect(link.openStreamNow({ ...header, hops: hopLimit }).accepted).rejects.toMatchObject({
      code: 'ROUTE_TOO_LONG',
    });
    await expect(link.openStreamNow({ ...header, hops: hopLimit + 1 }).accepted).rejects.toMatchObject({
      code: 'HEADER_INVALID',
    });
    const passedOn = world.nodes.map((node) => node.status().onward[serviceName]?.node);
    expect(passedOn).toEqual(['node-1', 'node-2', 'node-3', 'node-4', 'node-0']);
  });

  it('carries nobody but overlay nodes along the ring', async () => {
    world = await build();
    const { ready } = await world.forwarder({});
    expect(await fetchOnce(ready.httpProxy!)).toBe(200);
    const client = await world.authority.issue({ role: 'client', name: 'eve', services: [serviceName] });
    const { connectLink } = await import('../../../core/runtime/link/link-tls.ts');
    const link = await connectLink({
      transport: { host: '127.0.0.1', port: world.nodes[0]!.port },
      identity: client,
      verifyPeer: () => undefined,
      deadlineMs: 3000,
    });
    const header = { kind: 'ring', service: serviceName, port: 80, epoch: 1, last: true, hops: 3 };
    await expect(link.openStreamNow(header).accepted).rejects.toMatchObject({ code: 'ROLE_DENIED' });
    link.close();
  });

  it('follows a move on the full ring, sessions included', async () => {
    world = await build();
    path = { policy: 'full-ring', nearest: 1 };
    const { ready } = await world.forwarder({});
    expect(await fetchOnce(ready.httpProxy!)).toBe(200);
    world.pause();
    world.wake(1);
    expect(await fetchOnce(ready.httpProxy!)).toBe(200);
    expect(world.events.findLast((event) => event.type === 'session-opened')).toMatchObject({
      site: 'site-1',
      epoch: 2,
    });
  });
});

describe('the choice of a servlet', () => {
  const peers = Array.from({ length: 8 }, (_, index) => ({
    name: `node-${index}`,
    address: `127.0.0.1:${7400 + index}`,
  }));
  const site: LinkTarget = { address: record.address, role: 'site', name: record.site };

  const choice = (parts: {
    rtt?: (name: string) => number | undefined;
    toSite?: (name: string) => number | undefined;
  }) =>
    new ServletChoice({
      name: 'node-0',
      peers: () => peers,
      pool: {
        peek: ({ name }: LinkTarget) => ({ rttMs: parts.rtt?.(name ?? '') }),
      } as unknown as LinkPool,
      distances: {
        between: ({ name }: { name: string }) => parts.toSite?.(name),
      } as unknown as SiteDistances,
      random: seededRandom(7),
      clock: new HandClock(),
    });

  const counts = (servlets: ServletChoice, nearest: number, draws: number) => {
    const drawn = new Map<string, number>();
    for (let draw = 0; draw < draws; draw += 1) {
      const { name } = servlets.choose({ site, nearest });
      drawn.set(name, (drawn.get(name) ?? 0) + 1);
    }
    return drawn;
  };

  const number = (name: string) => Number(name.slice(-1));

  it('is uniform with one draw, whatever the round trips', () => {
    const drawn = counts(choice({ rtt: number, toSite: number }), 1, 7000);
    expect(drawn.has('node-0')).toBe(false);
    expect(drawn.size).toBe(7);
    for (const count of drawn.values()) expect(Math.abs(count - 1000)).toBeLessThan(150);
  });

  it('takes the nearest of three as often as combinatorics says', () => {
    const drawn = counts(choice({ rtt: number, toSite: () => 10 }), 3, 7000);
    // C(7 − r, 2) / C(7, 3) of 35 draws: 15, 10, 6, 3, 1, 0, 0.
    for (const [rank, of35] of [15, 10, 6, 3, 1, 0, 0].entries())
      expect(Math.abs((drawn.get(`node-${rank + 1}`) ?? 0) - of35 * 200)).toBeLessThan(200);
  });

  it('adds the way from the servlet to the site', () => {
    // The nearer the servlet is, the farther the site is behind it.
    const drawn = counts(choice({ rtt: number, toSite: (name) => 100 - 2 * number(name) }), 7, 20);
    expect([...drawn]).toEqual([['node-7', 20]]);
  });

  it('tries a node whose way is not known yet', () => {
    // Node 1 is near and its way to the site long; of the others that is not known: the nearest of them is tried.
    const known = (name: string) => (name === 'node-1' ? 50 : name === 'node-7' ? 10 : undefined);
    expect([...counts(choice({ rtt: number, toSite: known }), 7, 5)]).toEqual([['node-2', 5]]);
    const rtt = (name: string) => (name === 'node-4' ? undefined : number(name));
    expect([...counts(choice({ rtt, toSite: (name) => (name === 'node-4' ? 5 : 9) }), 7, 5)]).toEqual([
      ['node-4', 5],
    ]);
  });
});
