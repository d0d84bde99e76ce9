import { beforeAll, beforeEach, describe, expect, it } from 'vitest';
import { type Delegation, signDelegation } from '../../../core/credentials/delegation.ts';
import { Directory } from '../../../core/overlay/directory/directory.ts';
import type { DirectoryEvent } from '../../../core/overlay/directory/directory-types.ts';
import type { LocationRecord } from '../../../core/overlay/location-record.ts';
import { signLocationRecord, verifyLocationRecord } from '../../../core/overlay/location-record.ts';
import type { Peer, RingCaller } from '../../../core/ring/messages.ts';
import type { RingNode } from '../../../core/ring/ring-node.ts';
import type { LinkIdentity } from '../../../core/runtime/link/link-tls.ts';
import type { TestAuthority } from '../../support/authority.ts';
import { createTestAuthority, readTestIdentity } from '../../support/authority.ts';
import { World } from '../ring/world.ts';

/** Two organisations under one authority: each holds the key of its service, and sites certified for it alone. */
const organisations = { 'shop.example': ['a1', 'a2'], 'blog.example': ['b1', 'b2'] } as const;
type Service = keyof typeof organisations;

let authority: TestAuthority;
const services = new Map<string, LinkIdentity>();
const sites = new Map<string, LinkIdentity>();
beforeAll(async () => {
  authority = await createTestAuthority();
  for (const [service, names] of Object.entries(organisations)) {
    services.set(service, await authority.issue({ role: 'service', name: service, services: [service] }));
    for (const name of names)
      sites.set(name, await authority.issue({ role: 'site', name, services: [service] }));
  }
});

/** A ring of eight overlay nodes with real records, on a simulated clock that shows the time of day. */
class SharedOverlay extends World {
  readonly directories = new Map<string, Directory>();
  readonly events: DirectoryEvent[] = [];

  override add(peer: Peer, length = 3): RingNode {
    const node = super.add(peer, length);
    this.directories.set(
      peer.name,
      new Directory({
        ring: node,
        transport: this.network.transportOf(peer),
        clock: { now: () => Date.now(), monotonic: () => this.clock.monotonic(), after: this.after },
        verify: (candidate) =>
          verifyLocationRecord(candidate, {
            trustPem: [authority.certificatePem],
            readIdentity: readTestIdentity,
            now: Date.now(),
          }),
        onEvent: (event) => this.events.push(event),
      }),
    );
    return node;
  }

  readonly after = (delayMs: number, run: () => void) => this.clock.after(delayMs, run);

  protected override handle(
    node: RingNode,
    method: string,
    params: unknown,
    from: RingCaller,
  ): Promise<unknown> {
    if (!method.startsWith('directory.')) return node.handle(method, params, from);
    const directory = this.directories.get(node.status().name) as Directory;
    return directory.handle(method, params, { ...from, services: [], serial: '01' });
  }

  announce(record: LocationRecord, site: string): Promise<unknown> {
    const directory = this.directories.get('node-1') as Directory;
    const from = { role: 'site', name: site, services: [], serial: '02' };
    return this.during(directory.handle('directory.announce', { record }, from));
  }

  find(service: Service, at = 'node-5'): Promise<LocationRecord> {
    return this.during((this.directories.get(at) as Directory).find(service, false));
  }
}

/** What the holder of `signer`'s key says: that `site` may announce `service`. */
function delegate(service: Service, site: string, epoch: number, signer: string = service): Delegation {
  const { keyPem, certificatePem } = services.get(signer) as LinkIdentity;
  return signDelegation({ service, site, epoch }, keyPem, certificatePem);
}

function record(delegation: Delegation, site = delegation.site): LocationRecord {
  const issuedAt = Date.now();
  const { keyPem, certificatePem } = sites.get(site) as LinkIdentity;
  const { service, epoch } = delegation;
  return signLocationRecord(
    {
      service,
      site,
      address: `${site}.example:7400`,
      epoch,
      issuedAt,
      expiresAt: issuedAt + 30_000,
      delegation: delegation as LocationRecord['delegation'],
    },
    { key: keyPem, certificatePem },
  );
}

describe('two organisations on one ring', () => {
  let overlay: SharedOverlay;
  beforeEach(async () => {
    overlay = new SharedOverlay();
    overlay.ring(8);
    await overlay.pass(2000);
    await overlay.announce(record(delegate('shop.example', 'a1', 1)), 'a1');
    await overlay.announce(record(delegate('blog.example', 'b1', 1)), 'b1');
  });

  /** That nothing has changed for anybody, and that the journal hears of the attempt once. */
  async function expectRefused(attempt: Promise<unknown>, code: string): Promise<void> {
    await expect(attempt).rejects.toMatchObject({ code });
    expect(await overlay.find('shop.example')).toMatchObject({ site: 'a1', epoch: 1 });
    expect(await overlay.find('blog.example')).toMatchObject({ site: 'b1', epoch: 1 });
    const refused = overlay.events.filter(({ type }) => type === 'location.refused');
    expect(refused).toMatchObject([{ code }]);
  }

  it('each find their service from everywhere, and move it between their own sites', async () => {
    await overlay.announce(record(delegate('shop.example', 'a2', 2)), 'a2');
    await overlay.announce(record(delegate('blog.example', 'b2', 2)), 'b2');
    for (const node of overlay.directories.keys()) {
      expect(await overlay.find('shop.example', node)).toMatchObject({ site: 'a2', epoch: 2 });
      expect(await overlay.find('blog.example', node)).toMatchObject({ site: 'b2', epoch: 2 });
    }
    expect(overlay.events.map(({ type }) => type)).not.toContain('location.refused');
  });

  it("cannot take the other's service to their site with a delegation of their own", async () => {
    const own = delegate('shop.example', 'b1', 2, 'blog.example');
    // The directory sees first that the site is none of shop.example's.
    await expectRefused(overlay.announce(record(own), 'b1'), 'ORGANISATION_DENIED');
  });

  it('cannot use a delegation that the other gave to its own site', async () => {
    const stolen = delegate('shop.example', 'a2', 2);
    await expectRefused(overlay.announce(record(stolen, 'b1'), 'b1'), 'RECORD_INVALID');
  });

  it("cannot put their service on the other's site, not even when that site plays along", async () => {
    const planted = delegate('shop.example', 'b1', 2);
    await expectRefused(overlay.announce(record(planted), 'b1'), 'ORGANISATION_DENIED');
  });

  it("cannot move the other's service even between the other's sites", async () => {
    const forged = delegate('shop.example', 'a2', 2, 'blog.example');
    await expectRefused(overlay.announce(record(forged), 'a2'), 'RECORD_INVALID');
  });

  it("cannot send the other's records, true ones neither", async () => {
    const true_ = record(delegate('shop.example', 'a2', 2));
    await expectRefused(overlay.announce(true_, 'b1'), 'ANNOUNCE_DENIED');
  });
});
