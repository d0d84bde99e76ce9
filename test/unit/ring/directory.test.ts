import { beforeEach, describe, expect, it } from 'vitest';
import { Directory } from '../../../core/overlay/directory/directory.ts';
import type { DirectoryCaller, DirectoryEvent } from '../../../core/overlay/directory/directory-types.ts';
import type { KnownEpoch } from '../../../core/overlay/directory/record-store.ts';
import { RingLocator } from '../../../core/overlay/directory/ring-locator.ts';
import type { LocationRecord } from '../../../core/overlay/location-record.ts';
import type { Peer, RingCaller } from '../../../core/ring/messages.ts';
import type { RingNode } from '../../../core/ring/ring-node.ts';
import { MoveError } from '../../../core/runtime/errors.ts';
import { World } from './world.ts';

const service = 'shop.example';
const lifeMs = 30_000;

/** Stands for certificates: a signature is the signer's name. */
function verify(candidate: unknown, announcer: DirectoryCaller | null): LocationRecord {
  const record = candidate as LocationRecord;
  const { delegation } = record;
  const right =
    record.signature === record.site &&
    delegation.signature === record.service &&
    delegation.site === record.site &&
    delegation.epoch === record.epoch &&
    (announcer === null || announcer.name === record.site);
  if (right) return record;
  throw new MoveError('RECORD_INVALID', 'The record is not what its signers signed.');
}

class Overlay extends World {
  readonly directories = new Map<string, Directory>();
  readonly events: DirectoryEvent[] = [];
  readonly calls: string[] = [];

  override add(peer: Peer, length = 3): RingNode {
    const node = super.add(peer, length);
    this.directories.set(
      peer.name,
      new Directory({
        ring: node,
        transport: this.network.transportOf(peer),
        clock: this.clock,
        verify,
        onEvent: (event) => this.events.push(event),
      }),
    );
    return node;
  }

  protected override async handle(
    node: RingNode,
    method: string,
    params: unknown,
    from: RingCaller,
  ): Promise<unknown> {
    // As over a link: what crosses is JSON.
    const crossed = JSON.parse(JSON.stringify(params)) as unknown;
    if (!method.startsWith('directory.')) return await node.handle(method, crossed, from);
    this.calls.push(`${from.name} ${method} ${node.status().name}`);
    const answer = await this.directory(node.status().name).handle(method, crossed, {
      ...from,
      services: [],
      serial: '01',
    });
    return JSON.parse(JSON.stringify(answer)) as unknown;
  }

  directory(name: string): Directory {
    const directory = this.directories.get(name);
    if (!directory) throw new Error(`no ${name}`);
    return directory;
  }

  override kill(name: string): void {
    super.kill(name);
    this.directory(name).close();
    this.directories.delete(name);
  }

  /** Leaves in order, its records handed over first. */
  async depart(name: string): Promise<void> {
    await this.during(this.directory(name).handOver());
    await this.during(this.nodes.get(name)?.leave() ?? Promise.resolve());
    this.kill(name);
  }

  record(site: string, epoch: number, changes: Partial<LocationRecord> = {}): LocationRecord {
    const issuedAt = this.clock.now();
    return {
      service,
      site,
      address: `${site}.example:7400`,
      epoch,
      issuedAt,
      expiresAt: issuedAt + lifeMs,
      delegation: { service, site, epoch, serviceCertificatePem: 'pem', signature: service },
      siteCertificatePem: 'pem',
      signature: site,
      ...changes,
    };
  }

  announce(record: unknown, site: string, at = 'node-1', role = 'site'): Promise<unknown> {
    const from = { role, name: site, services: [], serial: '02' };
    return this.during(this.directory(at).handle('directory.announce', { record }, from));
  }

  find(at: string): Promise<LocationRecord> {
    return this.during(this.directory(at).find(service, false));
  }

  async holders(): Promise<string[]> {
    const [any] = [...this.directories.values()];
    return (await this.during((any as Directory).holdersOf(service))).map((peer) => peer.name);
  }

  /** A living node that holds nothing. */
  async bystander(): Promise<string> {
    const holders = await this.holders();
    return [...this.directories.keys()].find((name) => !holders.includes(name)) as string;
  }

  heldAt(): string[] {
    return [...this.directories].filter(([, one]) => one.held(service) !== null).map(([name]) => name);
  }
}

describe('the directory', () => {
  let overlay: Overlay;
  beforeEach(async () => {
    overlay = new Overlay();
    overlay.ring(8);
    await overlay.pass(2000);
  });

  it('keeps an announced record on the directory node and two more, and finds it from everywhere', async () => {
    const answer = await overlay.announce(overlay.record('a1', 1), 'a1');
    const holders = await overlay.holders();
    expect(answer).toMatchObject({ outcome: 'moved' });
    expect(overlay.heldAt().sort()).toEqual([...holders].sort());
    expect(holders).toHaveLength(3);
    const roles = holders.map((name) =>
      overlay
        .directory(name)
        .records()
        .map(({ owner }) => owner),
    );
    expect(roles).toEqual([[true], [false], [false]]);
    for (const name of overlay.directories.keys()) {
      expect(await overlay.find(name)).toMatchObject({ site: 'a1', epoch: 1 });
    }
    expect(overlay.events).toEqual([expect.objectContaining({ type: 'location.changed', site: 'a1' })]);
  });

  it('says that nobody announces a service, and that the directory cannot be asked', async () => {
    await expect(overlay.find('node-3')).rejects.toMatchObject({ code: 'SERVICE_NOT_FOUND' });
    overlay.nodes.get('node-3')?.stop();
    await expect(overlay.find('node-3')).rejects.toMatchObject({ code: 'LOCATE_FAILED' });
  });

  it('finds the record again while and after its directory node dies, and makes new copies', async () => {
    await overlay.announce(overlay.record('a1', 1), 'a1');
    const [owner] = await overlay.holders();
    overlay.kill(owner as string);
    for (const name of overlay.directories.keys()) {
      const begun = overlay.clock.now();
      expect(await overlay.find(name)).toMatchObject({ site: 'a1' });
      expect(overlay.clock.now() - begun).toBeLessThan(600);
    }
    await overlay.pass(8000);
    const holders = await overlay.holders();
    expect(holders).not.toContain(owner);
    expect(overlay.heldAt()).toEqual(expect.arrayContaining(holders));
  });

  it('loses nothing when two of the three holders die at once', async () => {
    await overlay.announce(overlay.record('a1', 1), 'a1');
    for (const name of (await overlay.holders()).slice(0, 2)) overlay.kill(name);
    await overlay.pass(10_000);
    for (const name of overlay.directories.keys())
      expect(await overlay.find(name)).toMatchObject({ epoch: 1 });
    expect(overlay.heldAt()).toEqual(expect.arrayContaining(await overlay.holders()));
  });

  it('is delayed by a silent holder by no more than its grace', async () => {
    await overlay.announce(overlay.record('a1', 1), 'a1');
    const [, replica] = await overlay.holders();
    const node = overlay.nodes.get(replica as string) as RingNode;
    overlay.network.attach(node.status().identifier, () => new Promise(() => undefined));
    const asker = await overlay.bystander();
    const begun = overlay.clock.now();
    expect(await overlay.find(asker)).toMatchObject({ site: 'a1' });
    expect(overlay.clock.now() - begun).toBeLessThan(500);
  });

  it('hands its records over to a member that joins, and to those that stay when it leaves', async () => {
    await overlay.announce(overlay.record('a1', 1), 'a1');
    const first = [...overlay.nodes.values()].map((node) => node.status() as Peer);
    for (let index = 9; index < 17; index += 1) {
      await overlay.during(overlay.add(overlay.peer(`node-${index}`)).join(first));
    }
    await overlay.pass(4000);
    expect(overlay.heldAt()).toEqual(expect.arrayContaining(await overlay.holders()));
    for (let round = 0; round < 4; round += 1) {
      const [owner] = (await overlay.holders()) as [string];
      await overlay.during(overlay.directory(owner).handOver());
      await overlay.during((overlay.nodes.get(owner) as RingNode).leave());
      overlay.kill(owner);
      expect(await overlay.find(await overlay.bystander())).toMatchObject({ site: 'a1' });
      await overlay.pass(2000);
    }
    expect(overlay.heldAt()).toEqual(expect.arrayContaining(await overlay.holders()));
  });

  it('refuses an old epoch, another site in the same epoch, and says so to the journal once', async () => {
    await overlay.announce(overlay.record('a1', 1), 'a1');
    await overlay.announce(overlay.record('b1', 2), 'b1', 'node-2');
    const stale = overlay.announce(overlay.record('a1', 1), 'a1', 'node-5');
    await expect(stale).rejects.toMatchObject({ code: 'EPOCH_STALE' });
    const rival = overlay.announce(overlay.record('c1', 2), 'c1', 'node-6');
    await expect(rival).rejects.toMatchObject({ code: 'LOCATION_CONFLICT' });
    const refused = overlay.events.filter(({ type }) => type === 'location.refused');
    expect(refused).toMatchObject([
      { code: 'EPOCH_STALE', caller: 'a1', service, epoch: 1 },
      { code: 'LOCATION_CONFLICT', caller: 'c1', service, epoch: 2 },
    ]);
    expect(await overlay.find('node-7')).toMatchObject({ site: 'b1', epoch: 2 });
  });

  it('believes no holder that withholds the record, and none that replays an old one', async () => {
    const old = overlay.record('a1', 1);
    await overlay.announce(old, 'a1');
    await overlay.announce(overlay.record('b1', 2), 'b1');
    const holders = await overlay.holders();
    const lies: ((method: string) => unknown)[] = [() => ({ record: null }), () => ({ record: old })];
    for (const lie of lies) {
      // All but one of those that hold the record lie, the directory node first of all.
      for (const liar of holders.slice(0, -1)) {
        const node = overlay.nodes.get(liar) as RingNode;
        overlay.network.attach(node.status().identifier, async (method, params, from) =>
          method.startsWith('directory.') ? lie(method) : await node.handle(method, params, from),
        );
      }
      const asker = await overlay.bystander();
      expect(await overlay.find(asker)).toMatchObject({ site: 'b1', epoch: 2 });
      const locator = new RingLocator({ directory: overlay.directory(asker), clock: overlay.clock });
      await expect(overlay.during(locator.locate(service))).resolves.toMatchObject({ site: 'b1' });
      await overlay.during(locator.close());
    }
  });

  it('asks and tells a few nodes only, in a ring of 64', async () => {
    overlay = new Overlay();
    overlay.ring(64);
    await overlay.pass(30_000);
    overlay.calls.length = 0;
    await overlay.announce(overlay.record('a1', 1), 'a1');
    const told = new Set(overlay.calls.map((call) => call.split(' ').at(-1)));
    expect(overlay.heldAt().sort()).toEqual([...(await overlay.holders())].sort());
    expect(told.size).toBeLessThanOrEqual(3);
    overlay.calls.length = 0;
    const before = overlay.network.calls;
    expect(await overlay.find(await overlay.bystander())).toMatchObject({ site: 'a1' });
    expect(overlay.calls).toHaveLength(3);
    // The lookup itself, beside what maintenance says meanwhile.
    expect(overlay.network.calls - before).toBeLessThan(40);
  });

  it('remembers the epoch after the record itself has expired', async () => {
    await overlay.announce(overlay.record('b1', 2), 'b1');
    await overlay.pass(lifeMs + 1000);
    await expect(overlay.find('node-4')).rejects.toMatchObject({ code: 'SERVICE_NOT_FOUND' });
    const late = overlay.announce(overlay.record('a1', 1), 'a1');
    await expect(late).rejects.toMatchObject({ code: 'EPOCH_STALE' });
    await overlay.announce(overlay.record('b1', 2), 'b1');
    expect(await overlay.find('node-4')).toMatchObject({ site: 'b1' });
  });

  it('remembers the epoch when every node has restarted at once, if it has a disk', async () => {
    const memory = new Map<string, KnownEpoch>();
    const epochs = {
      load: () => [...memory.values()],
      remember: (known: KnownEpoch) => memory.set(known.service, known),
    };
    const restarted = (): Directory => {
      const [name] = [...overlay.nodes.keys()];
      const ring = overlay.nodes.get(name as string) as RingNode;
      const transport = overlay.network.transportOf(ring.status());
      return new Directory({
        ring,
        transport,
        clock: overlay.clock,
        verify,
        onEvent: () => undefined,
        epochs,
      });
    };
    const caller = { role: 'overlay', name: 'node-x', services: [], serial: '05' };
    const store = (directory: Directory, record: LocationRecord) =>
      directory.handle('directory.store', { record }, caller);
    await expect(store(restarted(), overlay.record('b1', 2))).resolves.toEqual({ outcome: 'moved' });
    const again = restarted();
    expect(again.records()).toEqual([]);
    await expect(store(again, overlay.record('a1', 1))).rejects.toMatchObject({ code: 'EPOCH_STALE' });
    await expect(store(again, overlay.record('a1', 2))).rejects.toMatchObject({ code: 'LOCATION_CONFLICT' });
    await expect(store(again, overlay.record('b1', 2))).resolves.toEqual({ outcome: 'affirmed' });
    expect(again.held(service)).toMatchObject({ site: 'b1' });
  });

  it('lets a site affirm its record, and drops expired ones', async () => {
    await overlay.announce(overlay.record('a1', 1), 'a1');
    await overlay.pass(lifeMs - 5000);
    expect(await overlay.announce(overlay.record('a1', 1), 'a1')).toMatchObject({ outcome: 'affirmed' });
    await overlay.pass(10_000);
    expect(await overlay.find('node-4')).toMatchObject({ site: 'a1' });
    const expired = overlay.record('a1', 1, { expiresAt: overlay.clock.now() - 1 });
    await expect(overlay.announce(expired, 'a1')).rejects.toMatchObject({ code: 'RECORD_EXPIRED' });
  });

  it("lets nobody announce another's location, nor without the service's delegation", async () => {
    const foreign = overlay.announce(overlay.record('a1', 1), 'b1');
    await expect(foreign).rejects.toMatchObject({ code: 'ANNOUNCE_DENIED' });
    const asService = overlay.announce(overlay.record('a1', 1), 'a1', 'node-1', 'service');
    await expect(asService).rejects.toMatchObject({ code: 'ANNOUNCE_DENIED' });
    const undelegated = overlay.record('a1', 2, { delegation: overlay.record('a1', 1).delegation });
    await expect(overlay.announce(undelegated, 'a1')).rejects.toMatchObject({ code: 'RECORD_INVALID' });
    const other = { ...overlay.record('a1', 1).delegation, site: 'b1' };
    const borrowed = overlay.announce(overlay.record('a1', 1, { delegation: other }), 'a1');
    await expect(borrowed).rejects.toMatchObject({ code: 'RECORD_INVALID' });
    const refused = overlay.events.map((event) => (event.type === 'location.refused' ? event.code : ''));
    expect(refused).toEqual(['ANNOUNCE_DENIED', 'ANNOUNCE_DENIED', 'RECORD_INVALID', 'RECORD_INVALID']);
    expect(overlay.heldAt()).toEqual([]);
  });

  it('answers and obeys overlay nodes only', async () => {
    const directory = overlay.directory('node-1');
    const client = { role: 'client', name: 'ann', services: ['*'], serial: '03' };
    for (const method of [
      'directory.fetch',
      'directory.store',
      'directory.watch',
      'directory.changed',
      'directory.renew',
    ]) {
      const params = { service, record: overlay.record('a1', 1) };
      await expect(directory.handle(method, params, client)).rejects.toMatchObject({
        code: 'DIRECTORY_DENIED',
      });
    }
    const other = { role: 'overlay', name: 'node-2', identifier: 'f'.repeat(40), services: [], serial: '04' };
    const watcher = overlay.peer('node-3');
    const forged = directory.handle('directory.watch', { service, watcher }, other);
    await expect(forged).rejects.toMatchObject({ code: 'DIRECTORY_DENIED' });
  });

  it('spreads what a replica knows better than the directory node', async () => {
    const [owner, replica] = await overlay.holders();
    const overlayNode = { role: 'overlay', name: 'node-x', services: [], serial: '05' };
    const newer = overlay.record('b1', 5);
    await overlay.directory(replica as string).handle('directory.store', { record: newer }, overlayNode);
    expect(await overlay.find(await overlay.bystander())).toMatchObject({ epoch: 5 });
    const stale = overlay.announce(overlay.record('a1', 4), 'a1', await overlay.bystander());
    await expect(stale).rejects.toMatchObject({ code: 'EPOCH_STALE' });
    await overlay.pass(500);
    expect(overlay.directory(owner as string).held(service)).toMatchObject({ site: 'b1', epoch: 5 });
  });
});

describe('the locator of an access point', () => {
  let overlay: Overlay;
  let locator: RingLocator;
  let at: string;
  beforeEach(async () => {
    overlay = new Overlay();
    overlay.ring(8);
    await overlay.pass(2000);
    at = await overlay.bystander();
    locator = new RingLocator({ directory: overlay.directory(at), clock: overlay.clock });
  });

  it('asks once for many callers, then answers by itself until the record expires', async () => {
    await overlay.announce(overlay.record('a1', 1), 'a1');
    overlay.calls.length = 0;
    const found = await overlay.during(
      Promise.all(Array.from({ length: 20 }, () => locator.locate(service))),
    );
    expect(new Set(found.map(({ site }) => site))).toEqual(new Set(['a1']));
    expect(overlay.calls.filter((call) => call.includes('directory.watch'))).toHaveLength(3);
    overlay.calls.length = 0;
    await expect(locator.locate('SHOP.example')).resolves.toMatchObject({ site: 'a1' });
    expect(overlay.calls).toEqual([]);
    await overlay.pass(lifeMs + 1000);
    await expect(overlay.during(locator.locate(service))).rejects.toMatchObject({
      code: 'SERVICE_NOT_FOUND',
    });
  });

  it('hears of a move within one call after the holders know it', async () => {
    await overlay.announce(overlay.record('a1', 1), 'a1');
    const heard: { site: string; atMs: number }[] = [];
    const unwatch = locator.watch(service, ({ site }) => heard.push({ site, atMs: overlay.clock.now() }));
    await overlay.pass(500);
    expect(heard).toMatchObject([{ site: 'a1' }]);
    const answer = overlay.announce(overlay.record('b1', 2), 'b1', at === 'node-1' ? 'node-2' : 'node-1');
    await answer;
    const known = overlay.clock.now();
    await overlay.pass(100);
    expect(heard.map(({ site }) => site)).toEqual(['a1', 'b1']);
    expect((heard[1]?.atMs ?? Infinity) - known).toBeLessThanOrEqual(5);
    await expect(locator.locate(service)).resolves.toMatchObject({ site: 'b1' });
    unwatch();
    await overlay.announce(overlay.record('c1', 3), 'c1');
    await overlay.pass(100);
    expect(heard).toHaveLength(2);
  });

  it('still hears of moves after every holder has been replaced', async () => {
    await overlay.announce(overlay.record('a1', 1), 'a1');
    const heard: string[] = [];
    locator.watch(service, ({ site }) => heard.push(site));
    for (let round = 0; round < 3; round += 1) {
      const [owner] = (await overlay.holders()).filter((name) => name !== at);
      overlay.kill(owner as string);
      await overlay.pass(11_000);
      await overlay.announce(overlay.record('a1', 1), 'a1', at);
    }
    await overlay.announce(overlay.record('b2', 2), 'b2', at);
    await overlay.pass(100);
    expect(heard).toEqual(['a1', 'b2']);
  });

  it.each(['crash', 'leave'] as const)(
    'has its subscriptions at the new holders when the old ones %s one after the other, without renewing by itself',
    async (how) => {
      await overlay.announce(overlay.record('a1', 1), 'a1');
      const heard: string[] = [];
      const directory = overlay.directory(at);
      const patient = new RingLocator({ directory, clock: overlay.clock, renewMs: 3_600_000 });
      patient.watch(service, ({ site }) => heard.push(site));
      await overlay.pass(200);
      const old = (await overlay.holders()).filter((name) => name !== at);
      for (const name of old) {
        if (how === 'crash') overlay.kill(name);
        else await overlay.depart(name);
        await overlay.pass(4000);
      }
      const holders = await overlay.holders();
      expect(holders.filter((name) => old.includes(name))).toEqual([]);
      overlay.calls.length = 0;
      await overlay.announce(overlay.record('b2', 2), 'b2', at);
      await overlay.pass(100);
      expect(heard).toEqual(['a1', 'b2']);
      const pushed = overlay.calls.filter((call) => call.endsWith(`directory.changed ${at}`));
      expect(new Set(pushed.map((call) => call.split(' ')[0]))).toEqual(
        new Set(holders.filter((name) => name !== at)),
      );
    },
  );

  it('does not ask again for a service that nobody follows', async () => {
    const overlayNode = { role: 'overlay', name: 'node-x', services: [], serial: '05' };
    overlay.calls.length = 0;
    await overlay.directory(at).handle('directory.renew', { service: 'other.example' }, overlayNode);
    await overlay.pass(1000);
    expect(overlay.calls.filter((call) => call.includes('directory.watch'))).toEqual([]);
  });

  it('never goes back to an epoch that has passed', async () => {
    await overlay.announce(overlay.record('b1', 2), 'b1');
    await overlay.during(locator.locate(service));
    const overlayNode = { role: 'overlay', name: 'node-x', services: [], serial: '05' };
    const old = overlay.record('a1', 1, { issuedAt: overlay.clock.now() + 10 });
    await overlay.directory(at).handle('directory.changed', { record: old }, overlayNode);
    await expect(locator.locate(service)).resolves.toMatchObject({ site: 'b1' });
  });

  it('unsubscribes when it closes', async () => {
    await overlay.announce(overlay.record('a1', 1), 'a1');
    await overlay.during(locator.locate(service));
    await overlay.during(locator.close());
    overlay.calls.length = 0;
    await overlay.announce(overlay.record('b1', 2), 'b1');
    await overlay.pass(100);
    expect(overlay.calls.filter((call) => call.includes('directory.changed'))).toEqual([]);
    await expect(locator.locate(service)).rejects.toMatchObject({ code: 'LOCATOR_CLOSED' });
  });
});
