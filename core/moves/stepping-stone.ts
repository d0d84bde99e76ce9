import type { X509Certificate } from 'node:crypto';
import { createConnection, type Socket } from 'node:net';
import { networkInterfaces } from 'node:os';
import { pipeline } from 'node:stream/promises';
import { z } from 'zod';
import type { Endpoint } from '../contract/agent-contract.ts';
import { readIdentity } from '../credentials/identity.ts';
import { MoveError, toMoveError } from '../runtime/errors.ts';
import type { IncomingStream, Link } from '../runtime/link/link.ts';
import { type LinkServer, listenLinks } from '../runtime/link/link-server.ts';
import type { LinkIdentity } from '../runtime/link/link-tls.ts';

/** The header of a stream by which a site asks its stepping stone to dial out. */
export const relayHeaderSchema = z.object({
  kind: z.literal('relay'),
  host: z.ipv4(),
  port: z.number().int().min(1).max(65535),
});

export interface SteppingStoneOptions {
  /** The address inside the ISP; the stone listens nowhere else. */
  listen: Endpoint;
  identity: () => LinkIdentity;
  verifyPeer: (certificate: X509Certificate) => void;
  allowed: () => readonly Endpoint[];
  onRefused: (error: MoveError, who: string) => void;
}

export interface SteppingStone {
  readonly relays: number;
  readonly server: LinkServer;
  close(): Promise<void>;
}

const dialDeadlineMs = 5_000;
/** The kernel says nothing to a connection whose own address goes; its ends would only notice that it is silent. */
const lookAtAddressesMs = 100;

/**
 * The stepping stone of MOVE section 2.2.1: reachable only from inside the ISP, it dials out to other
 * sites and overlay nodes for the sites that show a certificate, and passes bytes. What it passes is
 * encrypted from end to end; it sees nothing.
 */
export async function openSteppingStone(options: SteppingStoneOptions): Promise<SteppingStone> {
  const sockets = new Set<Socket>();
  const watch = setInterval(() => {
    if (sockets.size === 0) return;
    const own = new Set(
      Object.values(networkInterfaces()).flatMap((all) => all?.map(({ address }) => address)),
    );
    for (const socket of sockets) if (!own.has(socket.localAddress)) socket.destroy();
  }, lookAtAddressesMs);
  watch.unref();
  const server = await listenLinks({
    host: options.listen.address,
    port: options.listen.port,
    identity: options.identity,
    verifyPeer: options.verifyPeer,
    onLink: (link) => {
      link.handlers = { onStream: (incoming) => void serve(incoming, link) };
    },
    onRefused: (error, peer) => options.onRefused(error, peer.remoteAddress ?? 'unknown'),
  });

  async function serve(incoming: IncomingStream, link: Link): Promise<void> {
    const peer = readIdentity(link.peerCertificate);
    try {
      const header = relayHeaderSchema.safeParse(incoming.header);
      if (!header.success)
        throw new MoveError('STREAM_UNKNOWN', 'A stepping stone relays and does nothing else.');
      if (peer.role !== 'site')
        throw new MoveError('ROLE_DENIED', 'Only hosting sites may use a stepping stone.', {
          role: peer.role,
        });
      const { host, port } = header.data;
      if (!options.allowed().some((known) => known.address === host && known.port === port))
        throw new MoveError('RELAY_DENIED', `This stepping stone does not dial ${host}:${port}.`, {
          host,
          port,
        });
      const socket = await dial(host, port);
      sockets.add(socket);
      const stream = incoming.accept();
      try {
        await Promise.all([pipeline(stream, socket), pipeline(socket, stream)]);
      } finally {
        sockets.delete(socket);
        socket.destroy();
        stream.destroy();
      }
    } catch (thrown) {
      const error = toMoveError(thrown);
      incoming.refuse(error);
      if (error.code.endsWith('_DENIED')) options.onRefused(error, peer.name);
    }
  }

  return {
    get relays() {
      return sockets.size;
    },
    server,
    async close() {
      clearInterval(watch);
      for (const socket of sockets) socket.destroy();
      await server.close();
    },
  };
}

function dial(host: string, port: number): Promise<Socket> {
  return new Promise((resolve, reject) => {
    const socket = createConnection({
      host,
      port,
      noDelay: true,
      keepAlive: true,
      keepAliveInitialDelay: 2000,
    });
    const fail = (reason: string) => {
      socket.destroy();
      reject(
        new MoveError(
          'RELAY_UNREACHABLE',
          `${host}:${port} cannot be reached from the stepping stone: ${reason}.`,
        ),
      );
    };
    const timer = setTimeout(() => fail(`no answer within ${dialDeadlineMs} ms`), dialDeadlineMs);
    socket.once('error', (error) => {
      clearTimeout(timer);
      fail(error.message);
    });
    socket.once('connect', () => {
      clearTimeout(timer);
      socket.removeAllListeners('error');
      socket.on('error', () => undefined);
      resolve(socket);
    });
  });
}
