import type { AddressInfo, Server } from 'node:net';
import type { Clock } from '../../runtime/clock.ts';
import { systemClock } from '../../runtime/clock.ts';
import { MoveError } from '../../runtime/errors.ts';
import type { LinkIdentity } from '../../runtime/link/link-tls.ts';
import type { Authorise } from '../identity.ts';
import { splitAddress } from '../link-pool.ts';
import { AccessPointLink } from './access-point-link.ts';
import type { ForwarderEvents } from './forwarder-event.ts';
import { createHttpProxy } from './http-proxy.ts';
import type { PortForward } from './port-forward.ts';
import { createPortForward } from './port-forward.ts';
import { createSocksProxy } from './socks-proxy.ts';

export interface ListenAddress {
  host: string;
  port: number;
}

export interface ForwarderOptions {
  /** The client's certificate, key and authority. */
  identity: LinkIdentity;
  /** Reads and judges the access point's certificate. */
  authorise: Authorise;
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
  close(): Promise<void>;
}

const openDeadlineMs = 10_000;
const loopback = '127.0.0.1';
/** Of programs on this machine, at each door; an access point takes fewer sessions from one certificate. */
const connectionsAtMost = 512;

/**
 * Starts the client's forwarder: a warm link to an access point, a local HTTP proxy, a SOCKS proxy and fixed ports.
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

  const link = new AccessPointLink({
    identity: options.identity,
    accessPoints: options.accessPoints,
    authorise: options.authorise,
    events,
    clock: options.clock ?? systemClock,
  });
  const servers: Server[] = [];
  const close = async () => {
    link.close();
    await Promise.all(servers.map(closeServer));
  };
  try {
    await link.start();
    let httpProxy: string | null = null;
    if (options.httpProxy !== undefined) {
      const proxy = createHttpProxy({ link, services, openDeadlineMs });
      httpProxy = `http://${await listen(proxy, options.httpProxy)}`;
      servers.push(proxy);
    }
    let socksProxy: string | null = null;
    if (options.socksProxy !== undefined) {
      const proxy = createSocksProxy({ link, services, events, openDeadlineMs });
      socksProxy = `socks5h://${await listen(proxy, options.socksProxy)}`;
      servers.push(proxy);
    }
    const listening: ForwarderReady['forwards'] = [];
    for (const forward of forwards) {
      const server = createPortForward(forward, { link, events, openDeadlineMs });
      const address = await listen(server, { host: loopback, port: forward.localPort });
      servers.push(server);
      listening.push({ listen: address, service: forward.service, port: forward.port });
    }
    const accessPoint = link.accessPoint;
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
      accessPoint: () => link.accessPoint,
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
