import { describe, expect, it } from 'vitest';
import { following, serviceKey } from '../../../core/ring/identifier.ts';
import { checkRingInvariant, membersNotSettled } from '../../../core/ring/invariant.ts';
import type { Peer } from '../../../core/ring/messages.ts';
import type { RingNode } from '../../../core/ring/ring-node.ts';
import { measureHops } from '../../../core/ring/simulation/measure-hops.ts';
import { World } from './world.ts';

describe('a ring node', () => {
  it('refuses to start a ring that is too small, or without itself', () => {
    const world = new World();
    const peers = ['a', 'b', 'c'].map((name) => world.peer(name));
    const node = world.add(peers[0] as Peer);
    expect(() => node.create(peers)).toThrow(expect.objectContaining({ code: 'RING_TOO_SMALL' }));
    const others = ['b', 'c', 'd', 'e'].map((name) => world.peer(name));
    expect(() => node.create(others)).toThrow(expect.objectContaining({ code: 'RING_TOO_SMALL' }));
  });

  it('starts, takes in others, and every lookup finds the right owner', async () => {
    const world = new World();
    const first = world.ring(4);
    await world.pass(1000);
    for (const name of ['node-5', 'node-6', 'node-7', 'node-8']) {
      await world.during(world.add(world.peer(name)).join(first));
    }
    await world.pass(3000);
    const states = world.states();
    expect(membersNotSettled(states, 3)).toEqual([]);
    expect(checkRingInvariant(states, { successorListLength: 3 }).holds).toBe(true);
    const order = states.sort((a, b) => (a.identifier < b.identifier ? -1 : 1));
    for (let index = 0; index < 20; index += 1) {
      const key = serviceKey(`service-${index}.example`);
      const right = order.find((state) => state.identifier >= key) ?? order[0];
      for (const node of world.nodes.values()) {
        const found = await world.during(node.lookup(key));
        expect(found.owner.name).toBe(right?.name);
        expect(found.path[0]?.name).toBe(node.status().name);
        expect(found.path.length).toBe(found.hops + 1);
        const holders = await world.during(node.successorsOf(key, 3));
        const place = order.findIndex((state) => state.name === right?.name);
        const wanted = [0, 1, 2].map((step) => order[(place + step) % order.length]?.name);
        expect(holders.map((peer) => peer.name)).toEqual(wanted);
      }
    }
    expect(world.nodes.get('node-1')?.status().fingers.length).toBeGreaterThan(0);
  });

  it('knows its step of the route to every owner, and no route comes back', async () => {
    const world = new World();
    world.ring(12);
    await world.pass(20_000);
    const order = world.states().sort((a, b) => (a.identifier < b.identifier ? -1 : 1));
    let longest = 0;
    for (let index = 0; index < 30; index += 1) {
      const key = serviceKey(`service-${index}.example`);
      const right = (order.find((state) => state.identifier >= key) ?? order[0])?.name;
      for (const start of world.nodes.keys()) {
        const route = [start];
        let step = (world.nodes.get(start) as RingNode).routeTowards(key);
        while (!step.owner) {
          const next = step.next[0]?.name ?? '';
          expect(route).not.toContain(next);
          route.push(next);
          if (step.last) break;
          step = (world.nodes.get(next) as RingNode).routeTowards(key);
        }
        expect(route.at(-1)).toBe(right);
        longest = Math.max(longest, route.length - 1);
      }
    }
    expect(longest).toBeGreaterThan(1);
    expect(longest).toBeLessThanOrEqual(5);
    const outside = world.add(world.peer('outside'));
    expect(() => outside.routeTowards(serviceKey('x'))).toThrow(
      expect.objectContaining({ code: 'RING_NOT_MEMBER' }),
    );
  });

  it('waits for its first members instead of taking them for dead', async () => {
    const world = new World();
    const peers = Array.from({ length: 4 }, (_, index) => world.peer(`node-${index + 1}`));
    for (const peer of peers.slice(0, 3)) world.add(peer).create(peers);
    await world.pass(5000);
    expect(world.states().every((state) => !state.formed)).toBe(true);
    const joiner = world.add(world.peer('early'));
    const refused = world.during(joiner.join(peers, 1000));
    await expect(refused).rejects.toMatchObject({ code: 'RING_JOIN_FAILED' });
    world.nodes.delete('early');
    world.add(peers[3] as Peer).create(peers);
    await world.pass(1000);
    expect(world.states().every((state) => state.formed)).toBe(true);
    expect(membersNotSettled(world.states(), 3)).toEqual([]);
  });

  it('enters a running ring after a restart instead of starting another', async () => {
    const world = new World();
    const peers = world.ring(5);
    await world.pass(1000);
    world.kill('node-2');
    const again = world.add(peers[1] as Peer);
    await world.during(again.enter(peers, []));
    await world.pass(3000);
    expect(membersNotSettled(world.states(), 3)).toEqual([]);
    expect(world.states()).toHaveLength(5);
  });

  it('does not become a member any more once it was stopped while joining', async () => {
    const world = new World();
    const peers = world.ring(4);
    await world.pass(1000);
    const joiner = world.add(world.peer('node-5'));
    const joining = joiner.join(peers);
    joiner.stop();
    await expect(world.during(joining)).rejects.toMatchObject({ code: 'CANCELLED' });
    expect(joiner.status().member).toBe(false);
  });

  it('closes up at once when a member leaves in order', async () => {
    const world = new World();
    world.ring(6);
    await world.pass(1000);
    const leaver = world.nodes.get('node-3') as RingNode;
    const { predecessor, successors, identifier } = leaver.status();
    await world.during(leaver.leave());
    world.network.detach(identifier);
    world.nodes.delete('node-3');
    expect(world.nodes.get(predecessor?.name ?? '')?.status().successors[0]?.name).toBe(successors[0]?.name);
    expect(world.nodes.get(successors[0]?.name ?? '')?.status().predecessor?.name).toBe(predecessor?.name);
    await world.pass(2000);
    expect(membersNotSettled(world.states(), 3)).toEqual([]);
  });

  it('survives as many neighbours failing at once as its lists allow', async () => {
    const world = new World();
    world.ring(8);
    await world.pass(1000);
    const order = world.states().sort((a, b) => (a.identifier < b.identifier ? -1 : 1));
    for (const state of order.slice(2, 4)) world.kill(state.name);
    const asker = world.nodes.get(order[0]?.name ?? '') as RingNode;
    const found = await world.during(asker.lookup(following(order[1]?.identifier ?? '')));
    expect(found.owner.name).toBe(order[4]?.name);
    await world.pass(6000);
    expect(membersNotSettled(world.states(), 3)).toEqual([]);
  });

  it('finds back when its predecessor and all its successors fail at once', async () => {
    const world = new World();
    world.ring(12);
    await world.pass(1000);
    const order = world.states().sort((a, b) => (a.identifier < b.identifier ? -1 : 1));
    for (const state of [order[0], ...order.slice(2, 5)]) world.kill(state?.name ?? '');
    await world.pass(10_000);
    expect(world.states()).toHaveLength(8);
    expect(membersNotSettled(world.states(), 3)).toEqual([]);
  });

  it('finds back by the list of nodes when everybody it ever met is gone', async () => {
    const world = new World();
    const first = world.ring(5);
    await world.pass(1000);
    const late = Array.from({ length: 6 }, (_, index) => world.peer(`late-${index}`));
    for (const peer of late) await world.during(world.add(peer).join([...first.slice(1), ...late]));
    await world.pass(3000);
    const lonely = world.nodes.get('node-1') as RingNode;
    // The partition lasts longer than lost members are remembered.
    world.network.partition([lonely.status().identifier]);
    await world.pass(11 * 60_000);
    expect(lonely.status().successors).toEqual([]);
    for (const peer of first.slice(1)) world.kill(peer.name);
    world.network.heal();
    await world.pass(20_000);
    expect(membersNotSettled(world.states(), 3)).not.toEqual([]);
    lonely.setContacts(late);
    await world.pass(10_000);
    expect(world.states()).toHaveLength(7);
    expect(membersNotSettled(world.states(), 3)).toEqual([]);
  });

  it('joins two rings that a partition made of one', async () => {
    const world = new World();
    world.ring(8);
    await world.pass(1000);
    world.network.partition(
      world
        .states()
        .slice(0, 4)
        .map((state) => state.identifier),
    );
    await world.pass(15_000);
    const check = checkRingInvariant(world.states(), { successorListLength: 3 });
    expect(check.violations.map(({ rule }) => rule)).toContain('at-most-one-ring');
    world.network.heal();
    await world.pass(15_000);
    expect(membersNotSettled(world.states(), 3)).toEqual([]);
  });

  it('asks those whom it was told of while it was joining', async () => {
    const world = new World();
    const first = world.ring(5);
    await world.pass(1000);
    const late = Array.from({ length: 5 }, (_, index) => world.peer(`late-${index}`));
    const joiner = world.peer('joiner');
    const node = world.add(joiner);
    // Its answers take so long that the list of nodes changes before it is in.
    const joining = node.join(first);
    await world.pass(1);
    node.setContacts([...first, ...late]);
    await world.during(joining);
    for (const peer of late) await world.during(world.add(peer).join([...first, ...late]));
    await world.pass(3000);
    world.network.partition([joiner.identifier]);
    await world.pass(11 * 60_000);
    for (const peer of first) world.kill(peer.name);
    await world.pass(20_000);
    expect(membersNotSettled(world.states(), 3)).toContain('joiner');
    world.network.heal();
    await world.pass(10_000);
    expect(world.states()).toHaveLength(6);
    expect(membersNotSettled(world.states(), 3)).toEqual([]);
  });

  it('joins two rings that remember nobody of one another, by asking every contact in turn', async () => {
    const world = new World();
    const everybody = Array.from({ length: 24 }, (_, index) => world.peer(`node-${index + 1}`));
    const rings = [everybody.slice(0, 4), everybody.slice(20)];
    for (const ring of rings)
      for (const peer of ring) {
        const node = world.add(peer);
        node.create(ring);
        node.setContacts(everybody);
      }
    await world.pass(1000);
    // Each of eight asks one of twenty strangers every 3 s or so, and sixteen of those are dead.
    await world.pass(60_000);
    expect(membersNotSettled(world.states(), 3)).toEqual([]);
  });

  it('passes by a silent member within its short deadline', async () => {
    const world = new World();
    world.ring(8);
    await world.pass(1000);
    const order = world.states().sort((a, b) => (a.identifier < b.identifier ? -1 : 1));
    const silent = order[4] as (typeof order)[number];
    world.network.attach(silent.identifier, () => new Promise(() => undefined));
    const key = following(silent.identifier);
    const asker = world.nodes.get(order[0]?.name ?? '') as RingNode;
    const begun = world.clock.now();
    const holders = await world.during(asker.successorsOf(key, 3));
    expect(holders[0]?.name).toBe(order[5]?.name);
    expect(world.clock.now() - begun).toBeLessThan(300);
  });

  it('denies callers that are no overlay nodes, speak for others, or speak nonsense', async () => {
    const world = new World();
    const [one, two, three] = world.ring(4) as [Peer, Peer, Peer, Peer];
    const node = world.nodes.get('node-1') as RingNode;
    const overlay = { role: 'overlay', name: two.name, identifier: two.identifier };
    await expect(node.handle('ring.state', {}, { ...overlay, role: 'site' })).rejects.toMatchObject({
      code: 'RING_DENIED',
    });
    await expect(node.handle('ring.notify', { peer: three }, overlay)).rejects.toMatchObject({
      code: 'RING_IDENTITY_MISMATCH',
    });
    await expect(node.handle('ring.step', { key: 'zz' }, overlay)).rejects.toMatchObject({
      code: 'RING_BAD_MESSAGE',
    });
    await expect(node.handle('ring.what', {}, overlay)).rejects.toMatchObject({ code: 'UNKNOWN_METHOD' });
    const outside = world.add({ ...one, name: 'outside' });
    await expect(outside.handle('ring.state', {}, overlay)).rejects.toMatchObject({
      code: 'RING_NOT_MEMBER',
    });
    await expect(outside.lookup(one.identifier)).rejects.toMatchObject({ code: 'RING_NOT_MEMBER' });
  });
});

describe('lookups in a large ring', () => {
  it.each([1_024, 10_000])(
    'of %i nodes take half log2 N hops on average, and one more at most',
    {
      timeout: 60_000,
    },
    async (size) => {
      const measured = await measureHops(size, 2_000, 3);
      expect(measured.wrong).toBe(0);
      expect(measured.bound).toBeCloseTo(0.5 * Math.log2(size) + 1);
      expect(measured.meanHops).toBeLessThanOrEqual(measured.bound);
      expect(measured.meanHops).toBeGreaterThan(2);
    },
  );
});
