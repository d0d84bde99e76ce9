import type { AddressInfo, Socket } from 'node:net';
import { systemClock } from '../clock.ts';
import { MoveError, toMoveError } from '../errors.ts';
import type { Link } from './link.ts';
import type { LinkIdentity, LinkOptions, RefusedPeer } from './link-tls.ts';
import { establishLink, linkTlsServer, plainAddress, renewedSettings } from './link-tls.ts';

export interface ListenOptions extends LinkOptions {
  host: string;
  /** 0 lets the system choose. */
  port: number;
  /** Asked for every connection, so that a renewed certificate is used without a restart. */
  identity: () => LinkIdentity;
  onLink: (link: Link) => void;
  /** A connection that did not become a link, for the journal. */
  onRefused?: (error: MoveError, peer: RefusedPeer) => void;
  handshakeDeadlineMs?: number;
  maxLinks?: number;
}

export interface LinkServer {
  readonly host: string;
  readonly port: number;
  /** The links that are open now. */
  readonly links: ReadonlySet<Link>;
  /** Judges every open link again and closes those that are no longer welcome, which it returns. */
  recheck(): { link: Link; error: MoveError }[];
  /** Stops listening and closes every link. */
  close(): Promise<void>;
}

/** Listens for links on TCP. @throws MoveError `LISTEN_FAILED`. */
export async function listenLinks(options: ListenOptions): Promise<LinkServer> {
  const handshakeDeadlineMs = options.handshakeDeadlineMs ?? 5000;
  const maxLinks = options.maxLinks ?? 4096;
  let identity = options.identity();
  const server = linkTlsServer(identity, handshakeDeadlineMs);
  const links = new Set<Link>();
  // Room for handshakes under way beside the links.
  server.maxConnections = maxLinks + 256;
  const connections = new Set<Socket>();
  server.prependListener('connection', (connection: Socket) => {
    connections.add(connection);
    connection.once('close', () => connections.delete(connection));
    const current = options.identity();
    if (current === identity) return;
    identity = current;
    server.setSecureContext(renewedSettings(current));
  });
  server.on('tlsClientError', (cause, socket) => {
    const remoteAddress = plainAddress(socket.remoteAddress);
    // Node leaves a socket open whose handshake ran out of time.
    socket.destroy();
    options.onRefused?.(
      new MoveError('LINK_HANDSHAKE', `A TLS handshake failed: ${cause.message}.`, {}, cause),
      { remoteAddress, certificate: undefined },
    );
  });
  server.on('secureConnection', (socket) => {
    const peer: RefusedPeer = {
      remoteAddress: plainAddress(socket.remoteAddress),
      certificate: socket.getPeerX509Certificate(),
    };
    if (links.size >= maxLinks) {
      socket.destroy();
      options.onRefused?.(
        new MoveError('TOO_MANY_LINKS', 'This host carries as many links as it may.'),
        peer,
      );
      return;
    }
    establishLink(socket, 'server', options, { ms: handshakeDeadlineMs }).then(
      (link) => {
        links.add(link);
        void link.closed.then(() => links.delete(link));
        options.onLink(link);
      },
      (thrown) => options.onRefused?.(toMoveError(thrown), peer),
    );
  });
  await new Promise<void>((resolve, reject) => {
    const failed = (cause: Error) =>
      reject(
        new MoveError(
          'LISTEN_FAILED',
          `Cannot listen on ${options.host}:${options.port}: ${cause.message}.`,
          {},
          cause,
        ),
      );
    server.once('error', failed);
    server.listen({ host: options.host, port: options.port }, () => {
      server.off('error', failed);
      resolve();
    });
  });
  server.on('error', (cause) =>
    options.onRefused?.(new MoveError('LISTEN_FAILED', `Listening failed: ${cause.message}.`, {}, cause), {
      remoteAddress: undefined,
      certificate: undefined,
    }),
  );
  const address = server.address() as AddressInfo;
  return {
    host: address.address,
    port: address.port,
    links,
    recheck() {
      const cut: { link: Link; error: MoveError }[] = [];
      for (const link of [...links]) {
        const error = link.recheck();
        if (error) cut.push({ link, error });
      }
      return cut;
    },
    close() {
      const done = new Promise<void>((resolve) => server.close(() => resolve()));
      for (const link of [...links]) link.close();
      // Links have a second to say goodbye; handshakes under way go with whatever is left then.
      (options.clock ?? systemClock).after(1100, () => {
        for (const connection of connections) connection.destroy();
      });
      return done;
    },
  };
}
