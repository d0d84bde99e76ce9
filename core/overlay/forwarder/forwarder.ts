import { X509Certificate } from 'node:crypto';
import type { AddressInfo, Server } from 'node:net';
import { z } from 'zod';
import type { NodeList } from '../../contract/node-list.ts';
import type { Clock } from '../../runtime/clock.ts';
import { systemClock } from '../../runtime/clock.ts';
import type { DurableFile } from '../../runtime/durable-file.ts';
import { MoveError, toMoveError } from '../../runtime/errors.ts';
import type { Link } from '../../runtime/link/link.ts';
import type { LinkIdentity } from '../../runtime/link/link-tls.ts';
import type { Authorise, ReadIdentity } from '../identity.ts';
import { splitAddress } from '../link-pool.ts';
import { verifyLocationRecord } from '../location-record.ts';
import { AccessPoints } from './access-points.ts';
import type { ForwarderEvents } from './forwarder-event.ts';
import { createHttpProxy } from './http-proxy.ts';
import { KnownNodes } from './known-nodes.ts';
import type { PortForward } from './port-forward.ts';
import { createPortForward } from './port-forward.ts';
import { Renewal } from './renewal.ts';
import { createSocksProxy } from './socks-proxy.ts';
import { type ForwarderStatus, statusLine } from './status.ts';
import type { WantedWay } from './way.ts';
import { Ways } from './ways.ts';

export interface ListenAddress {
  host: string;
  port: number;
}

export interface ForwarderOptions {
  /** The client's certificate, key and authority. */
  identity: LinkIdentity;
  /** Reads and judges the access point's certificate. */
  authorise: Authorise;
  /** Reads a certificate that was judged before, or the client's own. */
  readIdentity: ReadIdentity;
  /** The services that the client's certificate names. */
  services: readonly string[] | 'any';
  /** `host:port` of each access point, in order of preference. */
  accessPoints: readonly string[];
  /**
   * Where proxies listen, if they are wanted; port 0 lets the system choose. On loopback, as everything here:
   * nobody else on the network may use this identity.
   */
  httpProxy?: ListenAddress;
  socksProxy?: ListenAddress;
  forwards?: readonly PortForward[];
  /** Which way services are used; everything through the overlay when left out. */
  way?: WantedWay;
  /** Where the signed list of access points is kept between starts. */
  nodeListFile?: DurableFile<NodeList | null>;
  /** Keeps a renewed certificate and key for the next start. */
  saveIdentity?: (identity: LinkIdentity) => Promise<void>;
  events?: ForwarderEvents;
  clock?: Clock;
}

/** What `ready` says, as one JSON line in `move connect`. */
export interface ForwarderReady {
  /** `http://host:port` */
  httpProxy: string | null;
  /** Where a browser finds the proxy's auto-config file: `http://host:port/proxy.pac` */
  proxyAutoConfig: string | null;
  /** `socks5h://host:port` */
  socksProxy: string | null;
  forwards: { listen: string; service: string; port: number }[];
  accessPoint: { name: string; address: string };
}

export interface Forwarder {
  readonly ready: ForwarderReady;
  /** Where the link goes now; undefined while it is being made anew. */
  accessPoint(): { name: string; address: string } | undefined;
  /** What it is doing now and why. */
  status(): ForwarderStatus;
  close(): Promise<void>;
}

const openDeadlineMs = 10_000;
const listDeadlineMs = 5_000;
const listEveryMs = 10 * 60_000;
/** An access point that has no list yet, or that is about to die. */
const noNews = new Set(['NODE_LIST_MISSING', 'DEADLINE_EXCEEDED', 'LINK_BROKEN', 'LINK_CLOSED', 'LINK_DEAD']);
const movedSchema = z.object({ service: z.string() });
const listAnswerSchema = z.object({ list: z.unknown() });
const loopback = '127.0.0.1';
/** Of programs on this machine, at each door; an access point takes fewer sessions from one certificate. */
const connectionsAtMost = 512;

/**
 * Starts the client's forwarder: a warm link to an access point and one that stands by, a local HTTP proxy, a SOCKS proxy and fixed ports.
 * @throws MoveError `ACCESS_POINT_MISSING`, `ADDRESS_INVALID`, `FORWARD_INVALID`, `NOT_PROTECTED`,
 * `LISTEN_FAILED`, `LINK_UNREACHABLE`, or the access point's reason for refusing the certificate.
 */
export async function startForwarder(options: ForwarderOptions): Promise<Forwarder> {
  const { services, forwards = [] } = options;
  const events = options.events ?? (() => undefined);
  if (options.accessPoints.length === 0) {
    throw new MoveError('ACCESS_POINT_MISSING', 'Name at least one access point as host:port.');
  }
  for (const address of options.accessPoints) splitAddress(address);
  if (options.httpProxy === undefined && options.socksProxy === undefined && forwards.length === 0) {
    throw new MoveError('FORWARD_INVALID', 'Ask for an HTTP or SOCKS proxy or at least one port forward.');
  }
  for (const forward of forwards) {
    if (services === 'any' || services.includes(forward.service)) continue;
    throw new MoveError(
      'NOT_PROTECTED',
      `Your certificate does not allow ${forward.service}; it allows ${services.join(', ') || 'no service'}.`,
    );
  }

  const { identity, readIdentity, authorise, way = 'overlay' } = options;
  const clock = options.clock ?? systemClock;
  const holder = readIdentity(new X509Certificate(identity.certificatePem));
  const nodes = new KnownNodes({
    trustPem: identity.trustPem,
    clock,
    ...(options.nodeListFile ? { file: options.nodeListFile } : {}),
    events,
  });
  const believed: Authorise = (certificate, from) => {
    const given = authorise(certificate, from);
    if (!nodes.isRevoked(certificate.serialNumber)) return given;
    throw new MoveError(
      'CERTIFICATE_REVOKED',
      `The access point ${given.name} was revoked by the administrator: whoever answers there is not to be trusted. Use another one.`,
      { accessPoint: given.name },
    );
  };
  let cancelList: () => void = () => undefined;
  const fetchList = async (link: Link): Promise<void> => {
    cancelList();
    cancelList = clock.after(listEveryMs, () => void fetchList(link));
    if (!link.isOpen) return;
    try {
      const answer = await link.call('nodes.list', {}, { deadlineMs: listDeadlineMs });
      if (!(await nodes.take(listAnswerSchema.parse(answer).list))) return;
      events({ type: 'nodes', version: nodes.version ?? 0, count: nodes.nodes.length });
      accessPoints.recheck();
      accessPoints.wantStandby();
    } catch (thrown) {
      const { code, message } = toMoveError(thrown);
      if (!noNews.has(code)) events({ type: 'list-refused', code, message });
    }
  };
  let usedLink: Link | undefined;
  const accessPoints = new AccessPoints({
    identity,
    named: options.accessPoints,
    listed: () => nodes.nodes,
    boundTo: holder.boundAccessPoint,
    authorise: believed,
    events,
    clock,
    handlers: {
      onNotify(method, params) {
        const told = movedSchema.safeParse(params);
        if (method === 'location.moved' && told.success) ways.moved(told.data.service);
        if (method === 'nodes.listed' && usedLink) void fetchList(usedLink);
      },
    },
    onActive: (link) => {
      usedLink = link;
      void fetchList(link);
    },
  });
  const ways = new Ways({
    accessPoints,
    wanted: way,
    verify: (record) =>
      verifyLocationRecord(record, { trustPem: identity.trustPem, readIdentity, now: clock.now() }),
    events,
    clock,
  });
  let renewal: Renewal | undefined;
  const status = (): ForwarderStatus => {
    const now: Omit<ForwarderStatus, 'line'> = {
      wanted: way,
      accessPoint: accessPoints.accessPoint ?? null,
      standby: accessPoints.standby ?? null,
      services: [...ways.homes].map(([service, { status: home }]) => ({
        service,
        way: home.way,
        why: home.why,
        since: home.since,
        address: home.address,
        nextCheckMs: home.nextCheckMs,
      })),
      connections: { ...ways.connections },
      nodeList: nodes.version === null ? null : { version: nodes.version, nodes: nodes.nodes.length },
      certificate: renewal?.status ?? { name: holder.name, notAfter: 0, renewal: '' },
    };
    return { line: statusLine(now), ...now };
  };
  const servers: Server[] = [];
  const close = async () => {
    cancelList();
    renewal?.stop();
    ways.close();
    accessPoints.close();
    await Promise.all([...servers.map(closeServer), nodes.kept()]);
  };
  try {
    await nodes.restore();
    await accessPoints.start();
    renewal = new Renewal({
      identity,
      holder,
      ask: (requestPem, limitMs) => accessPoints.call('certificate.renew', { requestPem }, limitMs),
      use: (next) => accessPoints.useIdentity(next),
      save: options.saveIdentity,
      clock,
      events,
    });
    let httpProxy: string | null = null;
    if (options.httpProxy !== undefined) {
      const proxy = createHttpProxy({ ways, services, status, openDeadlineMs });
      httpProxy = `http://${await listen(proxy, options.httpProxy)}`;
      servers.push(proxy);
    }
    let socksProxy: string | null = null;
    if (options.socksProxy !== undefined) {
      const proxy = createSocksProxy({ ways, services, events, openDeadlineMs });
      socksProxy = `socks5h://${await listen(proxy, options.socksProxy)}`;
      servers.push(proxy);
    }
    const listening: ForwarderReady['forwards'] = [];
    for (const forward of forwards) {
      const server = createPortForward(forward, { ways, events, openDeadlineMs });
      const address = await listen(server, { host: loopback, port: forward.localPort });
      servers.push(server);
      listening.push({ listen: address, service: forward.service, port: forward.port });
    }
    const { accessPoint } = accessPoints;
    if (!accessPoint)
      throw new MoveError('ACCESS_POINT_LOST', 'The access point went away at once; try again.');
    return {
      ready: {
        httpProxy,
        proxyAutoConfig: httpProxy === null ? null : `${httpProxy}/proxy.pac`,
        socksProxy,
        forwards: listening,
        accessPoint,
      },
      accessPoint: () => accessPoints.accessPoint,
      status,
      close,
    };
  } catch (thrown) {
    await close();
    throw thrown;
  }
}

function listen(server: Server, { host, port }: ListenAddress): Promise<string> {
  server.maxConnections = connectionsAtMost;
  return new Promise((resolve, reject) => {
    server.once('error', (cause: NodeJS.ErrnoException) => {
      const why = cause.code === 'EADDRINUSE' ? 'another program uses it' : cause.message;
      reject(
        new MoveError('LISTEN_FAILED', `Cannot listen on ${host}:${port}: ${why}.`, { host, port }, cause),
      );
    });
    server.listen({ host, port }, () => {
      const address = server.address() as AddressInfo;
      resolve(
        address.family === 'IPv6'
          ? `[${address.address}]:${address.port}`
          : `${address.address}:${address.port}`,
      );
    });
  });
}

/** Stops listening and drops the connections that are open. */
function closeServer(server: Server): Promise<void> {
  return new Promise((resolve) => {
    server.close(() => resolve());
    if ('closeAllConnections' in server && typeof server.closeAllConnections === 'function') {
      server.closeAllConnections();
    }
  });
}
