import type { X509Certificate } from 'node:crypto';
import type { Server } from 'node:http';
import { createServer } from 'node:http';
import type { AddressInfo } from 'node:net';
import { connect } from 'node:net';
import { duplexPair } from 'node:stream';
import type { ServicePath } from '../../core/contract/domain.ts';
import type { NodeList } from '../../core/contract/node-list.ts';
import { signDelegation } from '../../core/credentials/delegation.ts';
import type { RenewCertificate } from '../../core/overlay/client-calls.ts';
import type { Forwarder, ForwarderOptions } from '../../core/overlay/forwarder/forwarder.ts';
import { startForwarder } from '../../core/overlay/forwarder/forwarder.ts';
import type { ForwarderEvent } from '../../core/overlay/forwarder/forwarder-event.ts';
import { parsePortForward } from '../../core/overlay/forwarder/port-forward.ts';
import type { Authorise, OverlayIdentity, ReadIdentity } from '../../core/overlay/identity.ts';
import type { LocationRecord } from '../../core/overlay/location-record.ts';
import { signLocationRecord } from '../../core/overlay/location-record.ts';
import type { Locator } from '../../core/overlay/locator.ts';
import type { OverlayEvent } from '../../core/overlay/overlay-event.ts';
import type { OverlayNode } from '../../core/overlay/overlay-node.ts';
import { createOverlayNode } from '../../core/overlay/overlay-node.ts';
import type { OverlayPeer } from '../../core/overlay/overlay-peer.ts';
import type { RouteStep } from '../../core/overlay/ring-route.ts';
import { listenRouted } from '../../core/overlay/routed-listener.ts';
import type { SiteDoor } from '../../core/overlay/site-door.ts';
import { registerSiteDoor } from '../../core/overlay/site-door.ts';
import { StreamRouter } from '../../core/overlay/stream-router.ts';
import { MoveError } from '../../core/runtime/errors.ts';
import type { LinkServer } from '../../core/runtime/link/link-server.ts';
import type { LinkIdentity } from '../../core/runtime/link/link-tls.ts';
import type { IssueOptions, TestAuthority } from './authority.ts';
import { createTestAuthority, readTestIdentity } from './authority.ts';
import { SessionServer } from './session-server.ts';

type Issued = LinkIdentity & { certificate: X509Certificate };

interface TestSite {
  name: string;
  server: LinkServer;
  door: SiteDoor;
  issued: Issued;
  /** Epoch at which it hosts the service; 0 for not at all. */
  epoch: number;
}

/** A directory of one record for each service, as the ring would give it. */
class TestDirectory implements Locator {
  readonly records = new Map<string, LocationRecord>();
  readonly #listeners = new Map<string, Set<(record: LocationRecord) => void>>();
  lookups = 0;

  async locate(service: string): Promise<LocationRecord> {
    this.lookups += 1;
    const record = this.records.get(service);
    if (!record) throw new MoveError('SERVICE_NOT_FOUND', `Nobody announces ${service}.`);
    return record;
  }

  watch(service: string, listener: (record: LocationRecord) => void): () => void {
    const listeners = this.#listeners.get(service) ?? new Set();
    this.#listeners.set(service, listeners);
    listeners.add(listener);
    return () => listeners.delete(listener);
  }

  publish(record: LocationRecord): void {
    this.records.set(record.service, record);
    for (const listener of this.#listeners.get(record.service) ?? []) listener(record);
  }
}

/** Overlay nodes, hosting sites, a web service behind a gateway and clients, on loopback with real TLS. */
export interface OverlayWorld {
  authority: TestAuthority;
  revoked: Set<string>;
  directory: TestDirectory;
  nodes: OverlayNode[];
  sites: TestSite[];
  gateway: SessionServer;
  web: Server;
  webPort: number;
  events: OverlayEvent[];
  forwarderEvents: ForwarderEvent[];
  /** What nodes give to clients as the signed list. */
  nodeList: NodeList | undefined;
  /** The home site of the service, which nodes tell clients. */
  home: string | undefined;
  renew: RenewCertificate | undefined;
  /** What the pretended move does: freeze, then wake at another site under the next epoch. */
  pause(): void;
  wake(site: number): void;
  forwarder(
    options: Partial<IssueOptions> & {
      /** Nodes by their index, or addresses. */
      accessPoints?: (number | string)[];
      forwards?: string[];
      identity?: LinkIdentity;
      settings?: Partial<ForwarderOptions>;
    },
  ): Promise<Forwarder>;
  until(what: string, condition: () => boolean): Promise<void>;
  close(): Promise<void>;
}

export const serviceName = 'shop.example';

export async function createOverlayWorld(
  onRequest: Parameters<typeof createServer>[1],
  size: {
    nodes?: number;
    sites?: number;
    parkDeadlineMs?: number;
    /** How sessions travel, asked for each path. */
    path?: () => ServicePath;
    /** The step of the ring's route at node `index`; the peers are all nodes in their order. */
    route?: (index: number, peers: readonly OverlayPeer[]) => RouteStep;
    alsoPort?: () => number;
    /** Another authority than the test's own, and how it is believed at a node, a site or a client. */
    trust?: { authority: TestAuthority; authoriseAt(host: string): Authorise; readIdentity: ReadIdentity };
  } = {},
): Promise<OverlayWorld> {
  const authority = size.trust?.authority ?? (await createTestAuthority());
  const readIdentity = size.trust?.readIdentity ?? readTestIdentity;
  const revoked = new Set<string>();
  const events: OverlayEvent[] = [];
  const forwarderEvents: ForwarderEvent[] = [];
  const authoriseTest = (certificate: X509Certificate): OverlayIdentity => {
    const identity = readIdentity(certificate);
    if (revoked.has(identity.serial))
      throw new MoveError('CERTIFICATE_REVOKED', 'This certificate was revoked.');
    return identity;
  };
  const authoriseAt = (host: string): Authorise => size.trust?.authoriseAt(host) ?? authoriseTest;
  const web = createServer(onRequest);
  await new Promise<void>((resolve) => web.listen(0, '127.0.0.1', resolve));
  const webPort = (web.address() as AddressInfo).port;
  const gateway = new SessionServer((port) =>
    port === 80 || port === size.alsoPort?.()
      ? connect({ port: webPort, host: '127.0.0.1', allowHalfOpen: true })
      : undefined,
  );
  const directory = new TestDirectory();
  const serviceIdentity = await authority.issue({
    role: 'service',
    name: serviceName,
    services: [serviceName],
  });

  const sites: TestSite[] = [];
  for (let index = 0; index < (size.sites ?? 2); index += 1) {
    const name = `site-${index}`;
    const issued = await authority.issue({ role: 'site', name, services: ['*'] });
    const router = new StreamRouter({
      readIdentity,
      events: (event) => events.push(event),
    });
    const door = registerSiteDoor(router, {
      async attach(service, epoch) {
        const site = sites[index]!;
        if (service !== serviceName || site.epoch === 0) {
          throw new MoveError('SERVICE_NOT_HERE', `${service} is not on this site.`);
        }
        if (epoch < site.epoch) throw new MoveError('EPOCH_STALE', 'That location is out of date.');
        const [near, far] = duplexPair();
        gateway.serve(far);
        return near;
      },
    });
    const server = await listenRouted({
      host: '127.0.0.1',
      port: 0,
      identity: () => issued,
      authorise: authoriseAt(name),
      router,
      events: (event) => events.push(event),
    });
    sites.push({ name, server, door, issued, epoch: 0 });
  }

  const nodes: OverlayNode[] = [];
  const names = Array.from({ length: size.nodes ?? 3 }, (_, index) => `node-${index}`);
  const peers = () =>
    nodes.map((node, index) => ({ name: names[index]!, address: `127.0.0.1:${node.port}` }));
  for (const [index, name] of names.entries()) {
    const issued = await authority.issue({ role: 'overlay', name });
    nodes.push(
      await createOverlayNode({
        name,
        identity: () => issued,
        listen: { host: '127.0.0.1', port: 0 },
        locator: directory,
        peers,
        authorise: authoriseAt(name),
        readIdentity,
        events: (event) => events.push(event),
        nodeList: () => world.nodeList,
        homeOf: () => world.home,
        renew: (renewal) => {
          if (!world.renew) throw new MoveError('RENEWAL_UNAVAILABLE', 'Nobody renews here.');
          return world.renew(renewal);
        },
        ...(size.parkDeadlineMs === undefined ? {} : { parkDeadlineMs: size.parkDeadlineMs }),
        ...(size.path ? { path: size.path } : {}),
        route: () => size.route?.(index, peers()) ?? { owner: true },
      }),
    );
  }
  for (const node of nodes) node.refreshPeers();

  let epoch = 0;
  const forwarders: Forwarder[] = [];
  const world: OverlayWorld = {
    authority,
    revoked,
    directory,
    nodes,
    sites,
    gateway,
    web,
    webPort,
    events,
    forwarderEvents,
    nodeList: undefined,
    home: undefined,
    renew: undefined,
    pause() {
      for (const site of sites) site.epoch = 0;
      gateway.pause();
    },
    wake(index) {
      epoch += 1;
      const site = sites[index]!;
      site.epoch = epoch;
      gateway.paused = false;
      const delegation = signDelegation(
        { service: serviceName, site: site.name, epoch },
        serviceIdentity.keyPem,
        serviceIdentity.certificatePem,
      );
      directory.publish(
        signLocationRecord(
          {
            service: serviceName,
            site: site.name,
            address: `127.0.0.1:${site.server.port}`,
            epoch,
            issuedAt: Math.floor(Date.now()),
            expiresAt: Math.floor(Date.now()) + 60_000,
            delegation,
          },
          { key: site.issued.keyPem, certificatePem: site.issued.certificatePem },
        ),
      );
    },
    async forwarder({ accessPoints = [0], forwards = [], identity, settings = {}, ...issue }) {
      const issued =
        identity ??
        (await authority.issue({ role: 'client', name: 'ada', services: [serviceName], ...issue }));
      const forwarder = await startForwarder({
        identity: issued,
        authorise: authoriseAt('a client'),
        readIdentity,
        services: issue.services ?? [serviceName],
        ...settings,
        accessPoints: accessPoints.map((place) =>
          typeof place === 'string' ? place : `127.0.0.1:${nodes[place]!.port}`,
        ),
        httpProxy: { host: '127.0.0.1', port: 0 },
        socksProxy: { host: '127.0.0.1', port: 0 },
        forwards: forwards.map(parsePortForward),
        events: (event) => forwarderEvents.push(event),
      });
      forwarders.push(forwarder);
      return forwarder;
    },
    async until(what, condition) {
      const deadline = Date.now() + 8000;
      while (!condition()) {
        if (Date.now() > deadline) throw new Error(`waited too long until ${what}`);
        await new Promise((resolve) => setTimeout(resolve, 5));
      }
    },
    async close() {
      await Promise.all(forwarders.map((forwarder) => forwarder.close()));
      await Promise.all(nodes.map((node) => node.close()));
      await Promise.all(sites.map((site) => site.server.close()));
      web.closeAllConnections();
      await new Promise((resolve) => web.close(resolve));
    },
  };
  await world.until('every node is linked to every other', () =>
    nodes.every((node) => node.pool.links.length === nodes.length - 1),
  );
  world.wake(0);
  return world;
}
