import { beforeEach, expect, test } from 'vitest';
import { RingMembership } from '../../../core/agent/ring-membership.ts';
import { Directory } from '../../../core/overlay/directory/directory.ts';
import type { LocationRecord } from '../../../core/overlay/location-record.ts';
import { membersNotSettled } from '../../../core/ring/invariant.ts';
import type { Peer, RingCaller } from '../../../core/ring/messages.ts';
import type { RingNode } from '../../../core/ring/ring-node.ts';
import { World } from '../ring/world.ts';

const service = 'shop.example';

/** A ring with a directory on each node; records are believed as they are. */
class Overlay extends World {
  readonly directories = new Map<string, Directory>();
  readonly memberships = new Map<string, RingMembership>();
  readonly logged: string[] = [];

  constructor(count: number) {
    super();
    const peers = this.ring(count);
    for (const { name } of peers) {
      const parts = { ring: this.node(name), directory: this.directory(name) };
      const options = { clock: this.clock, successorListLength: 3, firstMembers: peers };
      const log = (line: string) => this.logged.push(line);
      this.memberships.set(name, new RingMembership({ ...parts, ...options, contacts: () => peers, log }));
    }
  }

  override add(peer: Peer, length = 3): RingNode {
    const ring = super.add(peer, length);
    const transport = this.network.transportOf(peer);
    const verify = (candidate: unknown) => candidate as LocationRecord;
    const directory = new Directory({ ring, transport, clock: this.clock, verify, onEvent: () => undefined });
    this.directories?.set(peer.name, directory);
    return ring;
  }

  protected override handle(node: RingNode, method: string, params: unknown, from: RingCaller) {
    if (!method.startsWith('directory.')) return node.handle(method, params, from);
    return this.directory(node.status().name).handle(method, params, { ...from, services: [], serial: '01' });
  }

  node = (name: string) => this.nodes.get(name) as RingNode;
  directory = (name: string) => this.directories.get(name) as Directory;
  membership = (name: string) => this.memberships.get(name) as RingMembership;

  async announce(): Promise<void> {
    const issuedAt = this.clock.now();
    const record = {
      service,
      site: 'a1',
      address: 'a1:7400',
      epoch: 1,
      issuedAt,
      expiresAt: issuedAt + 30_000,
    };
    await this.during(this.directory('node-1').announce(record as LocationRecord));
  }

  async holders(from: string): Promise<string[]> {
    return (await this.during(this.directory(from).holdersOf(service))).map(({ name }) => name);
  }
}

let overlay: Overlay;
beforeEach(async () => {
  overlay = new Overlay(8);
  await overlay.pass(2_000);
});

test('a node that goes leaves its records and its place in order, and comes back', async () => {
  await overlay.announce();
  const before = await overlay.holders('node-1');
  const owner = before[0] as string;
  const others = [...overlay.nodes.keys()].filter((name) => name !== owner);
  await overlay.during(overlay.membership(owner).depart());
  expect(overlay.node(owner).status().member).toBe(false);
  // Nobody had to notice: the neighbours were told.
  const after = await overlay.holders(others[0] as string);
  expect(after).not.toContain(owner);
  expect(after.slice(0, 2)).toEqual(before.slice(1, 3));
  for (const name of after) expect(overlay.directory(name).held(service)).toMatchObject({ epoch: 1 });
  expect(membersNotSettled(overlay.states(), 3).length).toBeLessThan(overlay.states().length);
  await overlay.during(overlay.membership(owner).enter());
  await overlay.pass(4_000);
  expect(membersNotSettled(overlay.states(), 3)).toEqual([]);
  expect((await overlay.holders(others[0] as string))[0]).toBe(owner);
  expect(overlay.directory(owner).held(service)).toMatchObject({ epoch: 1 });
  expect(overlay.logged).toEqual([]);
});

test('goes within its limit although nobody hears it', async () => {
  await overlay.announce();
  const [owner] = (await overlay.holders('node-1')) as [string];
  overlay.network.partition([overlay.node(owner).status().identifier]);
  const begun = overlay.clock.now();
  await overlay.during(overlay.membership(owner).depart());
  expect(overlay.clock.now() - begun).toBeLessThanOrEqual(1_500);
  expect(overlay.node(owner).status().member).toBe(false);
});

test('is dispensable while the ring has a member more than it needs', async () => {
  const names = [...overlay.nodes.keys()];
  // Lists of three need four members: of eight, four may go.
  for (const name of names.slice(0, 4)) {
    expect(overlay.membership(name).isDispensable).toBe(true);
    await overlay.during(overlay.membership(name).depart());
    await overlay.pass(3_000);
  }
  for (const name of names.slice(4)) expect(overlay.membership(name).isDispensable).toBe(false);
  // Whoever is not on the ring does not have to be spared.
  expect(overlay.membership('node-1').isDispensable).toBe(true);
});

test('tries to come back until it may, and not once it was told to forgo it', async () => {
  const name = 'node-2';
  const { identifier } = overlay.node(name).status();
  await overlay.during(overlay.membership(name).depart());
  overlay.network.partition([identifier]);
  let entered = false;
  const entering = overlay
    .membership(name)
    .enter()
    .then(() => {
      entered = true;
    });
  await overlay.pass(70_000);
  expect(entered).toBe(false);
  overlay.network.heal();
  await overlay.during(entering);
  expect(overlay.node(name).status().member).toBe(true);
  await overlay.during(overlay.membership(name).depart());
  overlay.network.partition([identifier]);
  const again = overlay.membership(name).enter();
  await overlay.pass(5_000);
  overlay.membership(name).forgo();
  await overlay.during(again);
  overlay.network.heal();
  await overlay.pass(10_000);
  expect(overlay.node(name).status().member).toBe(false);
});
