import { defaultServicePath, type PathPolicy, type ServicePath } from '../contract/domain.ts';
import type { NodeList } from '../contract/node-list.ts';
import type { Clock } from '../runtime/clock.ts';
import { systemClock } from '../runtime/clock.ts';
import type { DoorLimitOptions } from '../runtime/door-limits.ts';
import { DoorLimits, defaultDoorLimits } from '../runtime/door-limits.ts';
import { MoveError } from '../runtime/errors.ts';
import type { Link, LinkLimits } from '../runtime/link/link.ts';
import type { LinkIdentity } from '../runtime/link/link-tls.ts';
import type { Random } from '../runtime/random.ts';
import { secureRandom } from '../runtime/random.ts';
import type { SessionStatus } from './access-point.ts';
import { AccessPoint } from './access-point.ts';
import type { BufferBudgetOptions } from './buffer-budget.ts';
import { type RenewCertificate, registerClientCalls } from './client-calls.ts';
import { type Door, type DoorOptions, listenDoor } from './door/door.ts';
import type { Authorise, ReadIdentity } from './identity.ts';
import { LinkPool } from './link-pool.ts';
import type { Locator } from './locator.ts';
import type { OverlayEvents } from './overlay-event.ts';
import type { OverlayPeer } from './overlay-peer.ts';
import { PathOpener } from './path-opener.ts';
import { registerRingCarrier } from './ring-carrier.ts';
import type { NextNode, RouteStep } from './ring-route.ts';
import { listenRouted } from './routed-listener.ts';
import { ServiceWatch } from './service-watch.ts';
import { registerServlet } from './servlet.ts';
import { ServletChoice } from './servlet-choice.ts';
import { SiteDistances } from './site-distances.ts';
import { StreamRouter } from './stream-router.ts';

export interface OverlayNodeOptions {
  name: string;
  /** Asked for every connection, so that a renewed certificate is used without a restart. */
  identity: () => LinkIdentity;
  listen: { host: string; port: number };
  /** Built with the node's own pool and router, over which it asks the directory. */
  locator: Locator | ((node: { pool: LinkPool; router: StreamRouter }) => Locator);
  /** The other overlay nodes known now. */
  peers: () => readonly OverlayPeer[];
  /** The signed list of overlay nodes to give to clients, once there is one. */
  nodeList?: () => NodeList | undefined;
  /** The home site of a service, where the administrator has said it. */
  homeOf?: (service: string) => string | undefined;
  /** Passes requests for a renewed certificate on, where that can be done. */
  renew?: RenewCertificate;
  /** Reads a certificate and objects to unwelcome holders (revoked ones). */
  authorise: Authorise;
  /** Judges who comes in, where that is more than `authorise`: a flooded node takes nobody. */
  admit?: Authorise;
  /** Reads a certificate that was judged before. */
  readIdentity: ReadIdentity;
  events: OverlayEvents;
  clock?: Clock;
  random?: Random;
  /** How the sessions of a service travel; two hops unless given. */
  path?: (service: string) => ServicePath;
  /** One step of the ring's route to a service's directory node; asked for full-ring paths only. */
  route?: (service: string) => RouteStep;
  parkDeadlineMs?: number;
  limits?: Partial<LinkLimits>;
  /** What each address, and all together, may ask of this node's doors. */
  doorLimits?: Partial<DoorLimitOptions>;
  /** What may wait in memory for clients that do not read. */
  buffers?: Partial<BufferBudgetOptions>;
}

export interface OverlayNodeStatus {
  name: string;
  clients: { name: string; serial: string; remoteAddress: string | undefined; rttMs: number | undefined }[];
  /** Open and parked sessions by service. */
  services: Record<string, { open: number; parked: number }>;
  sessions: SessionStatus[];
  /** The newest path of each service, as access point. */
  paths: Record<string, { policy: PathPolicy; next: NextNode | null }>;
  /** Where full-ring streams of each service were last passed on to. */
  onward: Record<string, NextNode>;
  /** Streams carried for other access points. */
  servletStreams: number;
  links: {
    name: string;
    role: string;
    direction: 'in' | 'out';
    rttMs: number | undefined;
    streams: number;
  }[];
}

/** What a door takes that the node does not know by itself. */
type NodeDoorOptions = Omit<
  DoorOptions,
  'accessPoint' | 'authorise' | 'open' | 'events' | 'clock' | 'random'
>;

export interface OverlayNode {
  readonly host: string;
  readonly port: number;
  /** For further stream kinds, calls and notices on the same links: ring and directory. */
  readonly router: StreamRouter;
  /** The links this node dials: `pool.call(target, method, params, …)` for ring and directory. */
  readonly pool: LinkPool;
  /** Who may come in, by address: for every door of this node, so that an address has one share of all. */
  readonly doorLimits: DoorLimits;
  /** Keeps links to all of `peers()` warm; call it again when the peers changed. */
  refreshPeers(): void;
  /** Dials sites ahead of need, as before a move, so that the first session pays no handshake. */
  prepare(sites: readonly { name: string; address: string }[]): void;
  /** Opens a door for browsers to this access point; it closes with the node. @throws MoveError `LISTEN_FAILED`. */
  openDoor(options: NodeDoorOptions): Promise<Door>;
  /** Tells clients that `nodeList` has changed. */
  tellOfList(): void;
  status(): OverlayNodeStatus;
  /** Cuts live links whose certificate has one of these serials; returns how many. */
  applyRevocations(serials: ReadonlySet<string>): number;
  /** Judges every live link again with `authorise`; returns how many were cut. */
  recheck(): number;
  close(): Promise<void>;
}

/**
 * One overlay node with all the roles of the data path: access point, servlet, and the links and listener
 * that ring and directory share. @throws MoveError `LISTEN_FAILED`.
 */
export async function createOverlayNode(options: OverlayNodeOptions): Promise<OverlayNode> {
  const clock = options.clock ?? systemClock;
  const random = options.random ?? secureRandom;
  const { events, authorise } = options;
  const router = new StreamRouter({ readIdentity: options.readIdentity, events });
  const pool = new LinkPool({
    identity: options.identity,
    authorise,
    events,
    clock,
    handlers: router.handlers,
    ...(options.limits ? { limits: options.limits } : {}),
  });
  const locator = typeof options.locator === 'function' ? options.locator({ pool, router }) : options.locator;
  const watch = new ServiceWatch(locator, clock);
  const distances = new SiteDistances({ pool, router, clock });
  const servlets = new ServletChoice({
    name: options.name,
    peers: options.peers,
    pool,
    distances,
    random,
    clock,
  });
  const route = options.route ?? ((): RouteStep => ({ owner: true }));
  const paths = new PathOpener({
    pool,
    servlets,
    path: options.path ?? (() => defaultServicePath),
    route,
  });
  const accessPoint = new AccessPoint({
    name: options.name,
    router,
    watch,
    paths,
    events,
    clock,
    random,
    ...(options.parkDeadlineMs === undefined ? {} : { parkDeadlineMs: options.parkDeadlineMs }),
    ...(options.buffers ? { buffers: options.buffers } : {}),
  });
  const clientCalls = registerClientCalls({
    router,
    watch,
    name: options.name,
    nodeList: options.nodeList ?? (() => undefined),
    homeOf: options.homeOf ?? (() => undefined),
    renew: options.renew,
  });
  const servlet = registerServlet(router, { pool });
  const ringCarrier = registerRingCarrier(router, { paths, locator, route, clock });
  const doorLimits = new DoorLimits({
    ...defaultDoorLimits,
    clock,
    isKnown: (address) =>
      options
        .peers()
        .some((peer) => peer.address.startsWith(`${address}:`) || peer.address.startsWith(`[${address}]:`)),
    ...options.doorLimits,
  });
  const server = await listenRouted({
    ...options.listen,
    identity: options.identity,
    authorise: options.admit ?? authorise,
    router,
    events,
    clock,
    ...(options.limits ? { limits: options.limits } : {}),
    door: doorLimits,
  });

  const refreshPeers = () =>
    pool.keepWarm(
      options
        .peers()
        .filter((peer) => peer.name !== options.name)
        .map((peer) => ({ address: peer.address, role: 'overlay', name: peer.name })),
    );
  refreshPeers();

  const doors: Door[] = [];

  return {
    host: server.host,
    port: server.port,
    router,
    pool,
    doorLimits,
    refreshPeers,
    prepare(sites) {
      for (const site of sites) {
        // Only a head start: whoever needs the link later learns what is wrong with it.
        pool.link({ address: site.address, role: 'site', name: site.name }).catch(() => undefined);
      }
    },
    async openDoor(doorOptions) {
      const door = await listenDoor({
        ...doorOptions,
        accessPoint: options.name,
        authorise: options.admit ?? authorise,
        open: (client) => accessPoint.open(client),
        events,
        clock,
        random,
      });
      doors.push(door);
      return door;
    },
    tellOfList: () => clientCalls.tellOfList(),
    status() {
      const sessions = accessPoint.sessions();
      const services: OverlayNodeStatus['services'] = {};
      for (const session of sessions) {
        services[session.service] ??= { open: 0, parked: 0 };
        const count = services[session.service]!;
        if (session.state === 'open') count.open += 1;
        else count.parked += 1;
      }
      const describe = (link: Link, direction: 'in' | 'out') => {
        const { name, role } = router.identityOf(link);
        return { name, role, direction, rttMs: link.rttMs, streams: link.streamCount };
      };
      const clients = [...server.links].flatMap((link) => {
        const identity = router.identityOf(link);
        if (identity.role !== 'client') return [];
        return [
          {
            name: identity.name,
            serial: identity.serial,
            remoteAddress: link.remoteAddress,
            rttMs: link.rttMs,
          },
        ];
      });
      return {
        name: options.name,
        clients,
        services,
        sessions,
        paths: accessPoint.paths(),
        onward: ringCarrier.onward(),
        servletStreams: servlet.carried,
        links: [
          ...[...server.links].map((link) => describe(link, 'in')),
          ...pool.links.map((link) => describe(link, 'out')),
        ],
      };
    },
    applyRevocations(serials) {
      const revoked = new Set([...serials].map((serial) => serial.toLowerCase()));
      const unwelcome = (link: Link) =>
        revoked.has(link.peerCertificate.serialNumber.toLowerCase())
          ? new MoveError('CERTIFICATE_REVOKED', 'This certificate was revoked; ask your administrator.')
          : undefined;
      let count = pool.cut(unwelcome);
      for (const link of [...server.links]) {
        const error = unwelcome(link);
        if (!error) continue;
        link.close(error);
        count += 1;
      }
      // A door asks `authorise`, which knows of the revocation as well.
      return doors.reduce((cut, door) => cut + door.recheck(), count);
    },
    recheck() {
      const cut = server.recheck().length + pool.cut((link) => link.recheck());
      return doors.reduce((sum, door) => sum + door.recheck(), cut);
    },
    async close() {
      await Promise.all(doors.map((door) => door.close()));
      accessPoint.close();
      watch.close();
      pool.close();
      await server.close();
    },
  };
}
