import { createServer, type Server, type Socket } from 'node:net';
import { BoundedReader } from '../../runtime/bounded-reader.ts';
import { MoveError, toMoveError } from '../../runtime/errors.ts';
import { joinStreams } from '../join-streams.ts';
import type { ForwarderEvents } from './forwarder-event.ts';
import { protectedService } from './protected-service.ts';
import type { Ways } from './ways.ts';

export interface SocksProxyOptions {
  ways: Ways;
  services: readonly string[] | 'any';
  events: ForwarderEvents;
  openDeadlineMs: number;
}

const version = 5;
const noAuthentication = 0;
const noneAcceptable = 0xff;
const commandConnect = 1;
const typeDomain = 3;
const addressBytes: Record<number, number> = { 1: 4, 4: 16 };
const granted = 0;
const handshakeLimitMs = 10_000;
const lingerMs = 2_000;
/** A greeting with all methods, and a request with the longest name. */
const handshakeBytesAtMost = 257 + 262;

/** RFC 1928, section 6: what a client is told instead of an error's sentence. */
const replyOf: Record<string, number> = {
  NOT_PROTECTED: 2,
  SCOPE_DENIED: 2,
  ADDRESS_DENIED: 2,
  ACCESS_POINT_DENIED: 2,
  SERVICE_NOT_FOUND: 4,
  SERVICE_REFUSED: 5,
  PARKED_TOO_LONG: 6,
  DEADLINE_EXCEEDED: 6,
  SOCKS_COMMAND: 7,
  SOCKS_ADDRESS: 8,
};
const generalFailure = 1;

const replied = (reply: number): Buffer => Buffer.from([version, reply, 0, 1, 0, 0, 0, 0, 0, 0]);

/**
 * A local SOCKS 5 proxy (RFC 1928) for protected services only: CONNECT to names, without authentication, since
 * it stands on loopback. A program that looks names up itself and asks for an address is refused: services of the
 * overlay have names only.
 */
export function createSocksProxy(options: SocksProxyOptions): Server & { closeAllConnections(): void } {
  const sockets = new Set<Socket>();
  const server = createServer({ allowHalfOpen: true, noDelay: true }, (socket) => {
    sockets.add(socket);
    socket.once('close', () => sockets.delete(socket));
    socket.on('error', () => undefined);
    serve(socket, options).catch((thrown: unknown) => {
      const { code, message, details } = toMoveError(thrown);
      options.events({ type: 'refused', service: String(details.service ?? 'SOCKS'), code, message });
      // Who speaks another protocol gets no answer in this one.
      if (code !== 'SOCKS_PROTOCOL') socket.write(replied(replyOf[code] ?? generalFailure));
      socket.end();
      // It reads no more of what the client says than the client needs to read the answer.
      socket.resume();
      socket.setTimeout(lingerMs, () => socket.destroy());
    });
  });
  return Object.assign(server, {
    closeAllConnections() {
      for (const socket of sockets) socket.destroy();
    },
  });
}

async function serve(socket: Socket, options: SocksProxyOptions): Promise<void> {
  const reader = new BoundedReader(socket, { deadlineMs: handshakeLimitMs, bytes: handshakeBytesAtMost });
  const take = async (size: number): Promise<Buffer> => {
    const part = await reader.take(size).catch(() => undefined);
    if (part === undefined) throw protocolError('its handshake was not complete within ten seconds');
    return part;
  };
  let service: string;
  let port: number;
  let rest: Buffer;
  try {
    const [greeted, methods] = await take(2);
    if (greeted !== version) throw protocolError('it does not speak SOCKS 5');
    if (!(await take(methods!)).includes(noAuthentication)) {
      socket.write(Buffer.from([version, noneAcceptable]));
      throw protocolError('it insists on authentication, which a proxy on loopback has none of');
    }
    socket.write(Buffer.from([version, noAuthentication]));
    const [asked, command, , type] = await take(4);
    if (asked !== version) throw protocolError('its request is not one of SOCKS 5');
    if (type !== typeDomain) {
      const length = addressBytes[type!];
      if (length === undefined) throw protocolError('its address is of no known type');
      await take(length + 2);
      throw new MoveError(
        'SOCKS_ADDRESS',
        'Services have names and no addresses here: let the proxy look them up (socks5h).',
      );
    }
    const [length] = await take(1);
    const name = (await take(length!)).toString('latin1');
    port = (await take(2)).readUInt16BE(0);
    if (command !== commandConnect)
      throw new MoveError('SOCKS_COMMAND', 'This proxy connects to services and does nothing else.');
    service = protectedService(options.services, name);
  } finally {
    rest = reader.release();
  }
  const { stream } = await options.ways.openAccepted(service, port, options.openDeadlineMs);
  if (socket.destroyed) {
    stream.destroy();
    return;
  }
  socket.once('close', () => {
    if (!stream.writableEnded) stream.destroy();
  });
  socket.write(replied(granted));
  if (rest.length > 0) stream.write(rest);
  joinStreams(socket, stream);
}

const protocolError = (why: string): MoveError =>
  new MoveError('SOCKS_PROTOCOL', `A program at the SOCKS proxy was turned away: ${why}.`);
