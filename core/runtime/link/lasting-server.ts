import { createServer, type Socket } from 'node:net';
import { type Clock, systemClock } from '../clock.ts';
import { DoorLimits, type DoorPass } from '../door-limits.ts';
import { MoveError, toMoveError } from '../errors.ts';
import { decodeOpening, encodeReply, openingBytes } from './lasting-opening.ts';
import { LastingWay } from './lasting-way.ts';
import type { Link, LinkHandlers, LinkLimits, VerifyPeer } from './link.ts';
import { acceptLink, type LinkIdentity, plainAddress, type RefusedPeer } from './link-tls.ts';

export interface LastingServerOptions {
  host: string;
  port: number;
  identity: () => LinkIdentity;
  verifyPeer: VerifyPeer;
  handlers: LinkHandlers;
  limits?: Partial<LinkLimits>;
  onLink: (link: Link, way: LastingWay) => void;
  onRefused: (error: MoveError, peer: RefusedPeer) => void;
  /** How long a way is remembered without a connection. */
  giveUpMs: number;
  door?: DoorLimits;
  clock?: Clock;
}

export interface LastingServer {
  readonly port: number;
  readonly links: ReadonlySet<Link>;
  /** Judges every peer again, after a revocation; returns how many links were cut. */
  recheck(): number;
  close(): Promise<void>;
}

const openingDeadlineMs = 3_000;
const handshakeDeadlineMs = 5_000;
const mostWays = 256;

/** Takes links that lasting ways carry. Who comes in is limited as at any other door. @throws MoveError `LISTEN_FAILED`. */
export async function listenLasting(options: LastingServerOptions): Promise<LastingServer> {
  const clock = options.clock ?? systemClock;
  const door = options.door ?? new DoorLimits();
  const ways = new Map<string, LastingWay>();
  const links = new Set<Link>();
  const sockets = new Set<Socket>();

  const begin = (key: string, socket: Socket, pass: DoorPass): void => {
    const way = new LastingWay({ giveUpMs: options.giveUpMs, clock });
    const peer: RefusedPeer = { remoteAddress: plainAddress(socket.remoteAddress), certificate: undefined };
    way.on('error', () => undefined);
    ways.set(key, way);
    way.once('close', () => ways.delete(key));
    way.use(socket, 0);
    acceptLink(way, {
      identity: options.identity(),
      verifyPeer: options.verifyPeer,
      handlers: options.handlers,
      deadlineMs: handshakeDeadlineMs,
      clock,
      ...(options.limits ? { limits: options.limits } : {}),
    }).then(
      (link) => {
        pass.establish();
        links.add(link);
        void link.closed.then(() => {
          links.delete(link);
          way.destroy();
        });
        options.onLink(link, way);
      },
      (thrown) => {
        way.destroy();
        options.onRefused(toMoveError(thrown), peer);
      },
    );
  };
  const open = (socket: Socket, bytes: Buffer, pass: DoorPass): void => {
    const opening = decodeOpening(bytes);
    const key = opening?.token.toString('base64') ?? '';
    const known = ways.get(key);
    if (!opening || (opening.isFirst && (known !== undefined || ways.size >= mostWays))) {
      socket.destroy();
      return;
    }
    const rest = bytes.subarray(openingBytes);
    if (rest.length > 0) socket.unshift(rest);
    if (opening.isFirst) {
      begin(key, socket, pass);
      return;
    }
    if (!known) {
      socket.end(encodeReply(false, 0));
      return;
    }
    pass.establish();
    socket.write(encodeReply(true, known.received));
    known.use(socket, opening.received);
  };

  const server = createServer({ noDelay: true, keepAlive: true }, (socket) => {
    socket.on('error', () => undefined);
    const pass = door.admit(socket.remoteAddress);
    if (typeof pass === 'string') {
      socket.resetAndDestroy();
      return;
    }
    sockets.add(socket);
    const cancel = clock.after(openingDeadlineMs, () => socket.destroy());
    socket.once('close', () => {
      cancel();
      sockets.delete(socket);
      pass.release();
    });
    let gathered = Buffer.alloc(0);
    const onData = (chunk: Buffer) => {
      gathered = Buffer.concat([gathered, chunk]);
      if (gathered.length < openingBytes) return;
      cancel();
      socket.off('data', onData);
      socket.pause();
      open(socket, gathered, pass);
    };
    socket.on('data', onData);
  });
  await new Promise<void>((resolve, reject) => {
    server.once('error', (cause) =>
      reject(
        new MoveError(
          'LISTEN_FAILED',
          `Cannot listen on ${options.host}:${options.port}: ${cause.message}.`,
          {},
          cause,
        ),
      ),
    );
    server.listen({ host: options.host, port: options.port }, resolve);
  });
  const address = server.address();
  return {
    port: typeof address === 'object' && address ? address.port : options.port,
    links,
    recheck: () => [...links].filter((link) => link.recheck() !== undefined).length,
    close() {
      const done = new Promise<void>((resolve) => server.close(() => resolve()));
      for (const link of [...links]) link.close();
      for (const way of [...ways.values()]) way.destroy();
      clock.after(1_100, () => {
        for (const socket of sockets) socket.destroy();
      });
      return done;
    },
  };
}
