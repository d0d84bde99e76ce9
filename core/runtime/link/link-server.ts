import type { AddressInfo, Socket } from 'node:net';
import { createServer } from 'node:net';
import { systemClock } from '../clock.ts';
import type { DoorPass, DoorRefusal } from '../door-limits.ts';
import { DoorLimits } from '../door-limits.ts';
import { MoveError, toMoveError } from '../errors.ts';
import type { Link } from './link.ts';
import type { LinkIdentity, LinkOptions, RefusedPeer } from './link-tls.ts';
import { establishLink, linkTlsServer, plainAddress, renewedSettings } from './link-tls.ts';
import { RefusalNotes } from './refusal-notes.ts';

export interface ListenOptions extends LinkOptions {
  host: string;
  /** 0 lets the system choose. */
  port: number;
  /** Asked for every connection, so that a renewed certificate is used without a restart. */
  identity: () => LinkIdentity;
  onLink: (link: Link) => void;
  /** A connection that did not become a link, for the journal; of a flood of them only now and then one. */
  onRefused?: (error: MoveError, peer: RefusedPeer) => void;
  /** Milliseconds from the connection until it is a link, both handshakes included. */
  handshakeDeadlineMs?: number;
  /** Who may come in, by address; shared with other doors of the same host where it has any. */
  door?: DoorLimits;
  /** Links that one certificate may have open at once. */
  maxLinksEach?: number;
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

const refusals: Record<DoorRefusal, { code: string; message: string }> = {
  rate: {
    code: 'TOO_MANY_HANDSHAKES',
    message: 'A connection was refused unheard: too many come from this address, or from all together.',
  },
  pending: {
    code: 'TOO_MANY_UNFINISHED',
    message: 'A connection was refused unheard: too many others have not shown who they are.',
  },
  established: { code: 'TOO_MANY_LINKS', message: 'This host carries as many links as it may.' },
};

/**
 * Listens for links on TCP. A connection that `door` does not let in is reset before any work is done for it; of the
 * others none is believed, or kept longer than the deadline, until both handshakes are done.
 * @throws MoveError `LISTEN_FAILED`.
 */
export async function listenLinks(options: ListenOptions): Promise<LinkServer> {
  const clock = options.clock ?? systemClock;
  const handshakeDeadlineMs = options.handshakeDeadlineMs ?? 5000;
  const maxLinksEach = options.maxLinksEach ?? 32;
  const door = options.door ?? new DoorLimits();
  const notes = new RefusalNotes((error, peer) => options.onRefused?.(error, peer), clock);
  let identity = options.identity();
  const links = new Set<Link>();
  const linksOf = new Map<string, number>();
  const connections = new Map<string, { socket: Socket; pass: DoorPass; deadline: number }>();
  const keyOf = (socket: { remoteAddress?: string | undefined; remotePort?: number | undefined }) =>
    `${socket.remoteAddress} ${socket.remotePort}`;

  // It never listens: connections that were let in are handed to it.
  const tls = linkTlsServer(identity, handshakeDeadlineMs);
  const server = createServer({ noDelay: true }, (socket) => {
    const { remoteAddress } = socket;
    const pass = door.admit(remoteAddress);
    if (typeof pass === 'string') {
      // A reset leaves nothing behind here, not even a connection that waits for its end.
      socket.resetAndDestroy();
      const { code, message } = refusals[pass];
      const peer = { remoteAddress: plainAddress(remoteAddress), certificate: undefined };
      notes.note(code, peer, () => new MoveError(code, message));
      return;
    }
    const key = keyOf(socket);
    connections.set(key, { socket, pass, deadline: clock.monotonic() + handshakeDeadlineMs });
    socket.once('close', () => {
      connections.delete(key);
      pass.release();
    });
    const current = options.identity();
    if (current !== identity) {
      identity = current;
      tls.setSecureContext(renewedSettings(current));
    }
    tls.emit('connection', socket);
  });
  tls.on('tlsClientError', (cause, socket) => {
    const remoteAddress = plainAddress(socket.remoteAddress);
    // Node leaves a socket open whose handshake ran out of time.
    socket.destroy();
    notes.note(
      'LINK_HANDSHAKE',
      { remoteAddress, certificate: undefined },
      () => new MoveError('LINK_HANDSHAKE', `A TLS handshake failed: ${cause.message}.`, {}, cause),
    );
  });
  tls.on('secureConnection', (socket) => {
    const connection = connections.get(keyOf(socket));
    if (!connection) {
      socket.destroy();
      return;
    }
    const peer: RefusedPeer = {
      remoteAddress: plainAddress(socket.remoteAddress),
      certificate: socket.getPeerX509Certificate(),
    };
    const refused = (error: MoveError) => notes.note(error.code, peer, () => error);
    const ms = Math.max(1, connection.deadline - clock.monotonic());
    establishLink(socket, 'server', options, { ms }).then(
      (link) => {
        const serial = link.peerCertificate.serialNumber;
        const own = linksOf.get(serial) ?? 0;
        const error =
          own >= maxLinksEach
            ? new MoveError(
                'TOO_MANY_LINKS',
                `This certificate has ${own} links open here; close some and try again.`,
                { limit: maxLinksEach },
              )
            : connection.pass.establish()
              ? undefined
              : new MoveError('TOO_MANY_LINKS', refusals.established.message);
        if (error) {
          link.close(error);
          refused(error);
          return;
        }
        linksOf.set(serial, own + 1);
        links.add(link);
        void link.closed.then(() => {
          links.delete(link);
          const left = (linksOf.get(serial) ?? 1) - 1;
          if (left > 0) linksOf.set(serial, left);
          else linksOf.delete(serial);
        });
        options.onLink(link);
      },
      (thrown) => refused(toMoveError(thrown)),
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
      clock.after(1100, () => {
        for (const { socket } of connections.values()) socket.destroy();
      });
      return done;
    },
  };
}
