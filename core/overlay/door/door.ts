import type { IncomingMessage, ServerResponse } from 'node:http';
import { createServer } from 'node:https';
import type { AddressInfo, Socket } from 'node:net';
import type { Duplex } from 'node:stream';
import type { TLSSocket } from 'node:tls';
import {
  type DoorLimitOptions,
  DoorLimits,
  type DoorPass,
  defaultDoorLimits,
} from '../../runtime/door-limits.ts';
import { MoveError, toMoveError } from '../../runtime/errors.ts';
import { plainAddress } from '../../runtime/link/link-tls.ts';
import type { Authorise, OverlayIdentity } from '../identity.ts';
import { mayReach } from '../identity.ts';
import type { OverlayEvents } from '../overlay-event.ts';
import { noteStranger } from '../overlay-event.ts';
import { carryRequest, carryUpgrade } from './carry-request.ts';
import { type DoorService, type Origin, originOf } from './choose-service.ts';
import { DoorConnection } from './door-connection.ts';
import { DoorDesk, type DoorDeskOptions, redirect, sendPage } from './door-desk.ts';
import { guardUpgrade, originUrl } from './door-guard.ts';
import { doorPath, doorPaths } from './door-paths.ts';
import { type DoorTlsIdentity, doorTls } from './door-tls.ts';
import { errorPage } from './pages/error-page.ts';
import { identify, type Person } from './person.ts';

export interface BrowserLimits {
  /** Connections by address, judged before their handshake, which is what costs. */
  door: DoorLimitOptions;
  /** Bytes of a request's head. */
  headerBytes: number;
  handshakeMs: number;
  /** Milliseconds for a request's head. */
  headersMs: number;
  /** Milliseconds for a whole request, its body included. */
  requestMs: number;
  /** Milliseconds that a connection is kept between requests. */
  keepAliveMs: number;
}

export const browserLimits: BrowserLimits = {
  door: {
    ...defaultDoorLimits,
    // A browser opens some six connections; people behind one address share.
    each: { perSecond: 32, burst: 64, pending: 32, established: 64 },
    whole: { perSecond: 240, burst: 240, pending: 512, established: 2048 },
  },
  headerBytes: 16_384,
  handshakeMs: 5_000,
  headersMs: 10_000,
  requestMs: 300_000,
  keepAliveMs: 30_000,
};

export interface DoorOptions extends DoorDeskOptions {
  listen: { host: string; port: number };
  tls: () => DoorTlsIdentity;
  /** Reads and judges a browser's certificate, as those of links are. */
  authorise: Authorise;
  /** A connection to a service for somebody who is admitted; see `AccessPoint.open`. */
  open(client: {
    identity: OverlayIdentity;
    remoteAddress: string | undefined;
    service: string;
    port: number;
  }): Duplex;
  events: OverlayEvents;
  limits?: Partial<BrowserLimits>;
}

export interface Door {
  readonly host: string;
  readonly port: number;
  /** Browser connections that are open now. */
  readonly connections: number;
  /** How full it is, from 0 to 1: what the human test takes for stress. */
  readonly load: number;
  /** Judges every connection and visitor again after a revocation; returns how many were cut. */
  recheck(): number;
  close(): Promise<void>;
}

/** Whoever is told these can do something about it by passing the test. */
const testHelps =
  /^(ADMISSION_(REQUIRED|OVER)|CERTIFICATE_.*|ADDRESS_DENIED|ACCESS_POINT_DENIED|CHALLENGE_.*)$/;
/** What is worth an entry in the journal: somebody tried what they may not. */
const isDenial = /_DENIED$|^CERTIFICATE_/;

/**
 * The door for browsers at an access point: HTTPS to a protected web service, with nothing to install. A browser
 * that holds a certificate shows it in the handshake; any other is admitted first. What it asks is carried to the
 * service by sessions of the access point, which survive a move.
 * @throws MoveError `LISTEN_FAILED`.
 */
export async function listenDoor(options: DoorOptions): Promise<Door> {
  const door = new DoorServer(options);
  await door.listen();
  return door;
}

class DoorServer implements Door {
  readonly #options: DoorOptions;
  readonly #limits: BrowserLimits;
  readonly #server: ReturnType<typeof createServer>;
  readonly #desk: DoorDesk;
  readonly #sockets = new Set<Socket>();
  readonly #connections = new Map<Socket, DoorConnection>();
  readonly #passes = new Map<string, DoorPass>();
  readonly #limiter: DoorLimits;
  #identity: DoorTlsIdentity;

  constructor(options: DoorOptions) {
    this.#options = options;
    this.#limits = { ...browserLimits, ...options.limits };
    this.#desk = new DoorDesk(options);
    this.#identity = options.tls();
    const limits = this.#limits;
    this.#limiter = new DoorLimits({ ...limits.door, clock: options.clock });
    this.#server = createServer({
      ...doorTls(this.#identity),
      handshakeTimeout: limits.handshakeMs,
      maxHeaderSize: limits.headerBytes,
      headersTimeout: limits.headersMs,
      requestTimeout: limits.requestMs,
      keepAliveTimeout: limits.keepAliveMs,
      connectionsCheckingInterval: 2_000,
      noDelay: true,
    });
    this.#server.maxHeadersCount = 100;
    this.#server.prependListener('connection', (socket: Socket) => this.#onSocket(socket));
    // Node leaves a socket open whose handshake ran out of time.
    this.#server.on('tlsClientError', (_cause, socket) => socket.destroy());
    this.#server.on('secureConnection', (socket: TLSSocket) => this.#onSecure(socket));
    this.#server.on('request', (request, response) => this.#onRequest(request, response));
    this.#server.on('upgrade', (request, socket, head) => this.#onUpgrade(request, socket, head));
  }

  get host(): string {
    return (this.#server.address() as AddressInfo).address;
  }

  get port(): number {
    return (this.#server.address() as AddressInfo).port;
  }

  get connections(): number {
    return this.#connections.size;
  }

  get load(): number {
    const { pending, established } = this.#limiter.counts;
    const { whole } = this.#limits.door;
    return Math.max(pending / whole.pending, established / whole.established);
  }

  listen(): Promise<void> {
    const { host, port } = this.#options.listen;
    return new Promise((resolve, reject) => {
      const failed = (cause: Error) =>
        reject(
          new MoveError('LISTEN_FAILED', `Cannot listen on ${host}:${port}: ${cause.message}.`, {}, cause),
        );
      this.#server.once('error', failed);
      this.#server.listen({ host, port }, () => {
        this.#server.off('error', failed);
        this.#server.on('error', (cause) => this.#tell(toMoveError(cause), undefined, undefined));
        resolve();
      });
    });
  }

  recheck(): number {
    const { desk, authorise } = this.#options;
    const visitors = desk?.recheck((certificate, remoteAddress) => authorise(certificate, { remoteAddress }));
    const cut = [...this.#connections.values()].filter((connection) => connection.recheck());
    return (visitors ?? 0) + cut.length;
  }

  close(): Promise<void> {
    const done = new Promise<void>((resolve) => this.#server.close(() => resolve()));
    for (const socket of this.#sockets) socket.destroy();
    return done;
  }

  /** Counts a connection before its handshake, which is what costs. */
  #onSocket(socket: Socket): void {
    const current = this.#options.tls();
    if (current !== this.#identity) {
      this.#identity = current;
      this.#server.setSecureContext(doorTls(current));
    }
    const pass = this.#limiter.admit(plainAddress(socket.remoteAddress));
    if (typeof pass === 'string') {
      socket.destroy();
      return;
    }
    const key = endOf(socket);
    this.#passes.set(key, pass);
    this.#sockets.add(socket);
    socket.once('close', () => {
      this.#sockets.delete(socket);
      this.#passes.delete(key);
      pass.release();
    });
  }

  #onSecure(socket: TLSSocket): void {
    const pass = this.#passes.get(endOf(socket));
    if (!pass) {
      socket.destroy();
      return;
    }
    const address = plainAddress(socket.remoteAddress);
    const connection = new DoorConnection(socket, pass, (identity, service, port) =>
      this.#options.open({ identity, remoteAddress: address, service, port }),
    );
    this.#connections.set(socket, connection);
    socket.once('close', () => this.#connections.delete(socket));
  }

  #onRequest(request: IncomingMessage, response: ServerResponse): void {
    const connection = this.#connections.get(request.socket);
    if (!connection) {
      response.destroy();
      return;
    }
    this.#answer(connection, request, response).catch((thrown: unknown) =>
      this.#fail(connection, request, response, toMoveError(thrown)),
    );
  }

  async #answer(
    connection: DoorConnection,
    request: IncomingMessage,
    response: ServerResponse,
  ): Promise<void> {
    const url = request.url ?? '';
    if (!url.startsWith('/'))
      throw new MoveError('REQUEST_INVALID', 'This is no proxy: ask for a path of the service.');
    const origin = this.#originOf(connection, request);
    const [path = '/', search = ''] = url.split('?', 2);
    if (path.startsWith(doorPath)) {
      await this.#desk.answer({
        request,
        response,
        path,
        query: new URLSearchParams(search),
        origin,
        address: connection.address,
        person: () => this.#identify(connection, request),
      });
      return;
    }
    const person = this.#identify(connection, request);
    if (!origin.service) {
      request.resume();
      redirect(response, doorPaths.portal, {});
      return;
    }
    const service = this.#admitted(person, origin.service);
    if (!origin.own && request.headers['service-worker'] !== undefined)
      throw new MoveError(
        'SERVICE_WORKER_DENIED',
        'Under the access point’s address a service may leave no program in the browser, because others come after it.',
      );
    connection.serve(person, this.#options.clock);
    carryRequest({
      request,
      response,
      service,
      origin: originUrl(request),
      ...connection.agentsOf(person.identity),
      fail: (error) => this.#fail(connection, request, response, error),
    });
  }

  #onUpgrade(request: IncomingMessage, socket: Duplex, head: Buffer): void {
    const connection = this.#connections.get(request.socket);
    socket.on('error', () => undefined);
    if (!connection) {
      socket.destroy();
      return;
    }
    try {
      guardUpgrade(request);
      const { service } = this.#originOf(connection, request);
      const person = this.#identify(connection, request);
      if (!service) throw new MoveError('HOST_UNKNOWN', 'Choose a service at /.move/ first.');
      const { hostname, port } = this.#admitted(person, service);
      connection.serve(person, this.#options.clock);
      const session = this.#options.open({
        identity: person.identity,
        remoteAddress: connection.address,
        service: hostname,
        port,
      });
      // A quiet WebSocket is no slow client.
      connection.socket.setTimeout(0);
      carryUpgrade({ request, head, socket, service, origin: originUrl(request), session });
    } catch (thrown) {
      const error = toMoveError(thrown);
      this.#tell(error, connection, undefined);
      const page = errorPage(error);
      const headers = Object.entries({ ...page.headers, connection: 'close' });
      const lines = headers.map(([name, value]) => `${name}: ${value}\r\n`).join('');
      socket.end(`HTTP/1.1 ${page.status} Refused\r\n${lines}\r\n${page.text}`);
    }
  }

  #originOf(connection: DoorConnection, request: IncomingMessage): Origin {
    return originOf(
      {
        host: request.headers.host,
        cookie: request.headers.cookie,
        localAddress: connection.localAddress,
      },
      this.#options.services(),
    );
  }

  #identify(connection: DoorConnection, request: IncomingMessage): Person {
    const { certificate, address } = connection;
    const person = identify({ certificate, address, cookie: request.headers.cookie }, this.#options);
    if (connection.pass.establish()) return person;
    throw new MoveError(
      'TOO_MANY_CONNECTIONS',
      'Too many connections from your address are open at this access point. Close some, or try another one.',
    );
  }

  #admitted({ identity }: Person, service: DoorService): DoorService {
    if (mayReach(identity, service.hostname)) return service;
    throw new MoveError(
      'SCOPE_DENIED',
      `${identity.name} may not reach ${service.hostname}. Ask the administrator for a certificate that names it.`,
      { service: service.hostname },
    );
  }

  #fail(
    connection: DoorConnection,
    request: IncomingMessage,
    response: ServerResponse,
    error: MoveError,
  ): void {
    const service = typeof error.details.service === 'string' ? error.details.service : undefined;
    this.#tell(error, connection, service);
    if (response.headersSent || response.destroyed) {
      response.destroy();
      return;
    }
    // What is still to come of the request is not waited for.
    if (!request.complete) response.setHeader('connection', 'close');
    const { desk } = this.#options;
    sendPage(
      response,
      errorPage(error, {
        canTakeTest: testHelps.test(error.code) && (desk?.open.includes('human-test') ?? false),
        hasOtherServices: error.code === 'SCOPE_DENIED',
      }),
    );
  }

  #tell(error: MoveError, connection: DoorConnection | undefined, service: string | undefined): void {
    if (error.code !== 'INTERNAL' && (!isDenial.test(error.code) || connection?.told)) return;
    if (connection) connection.told = true;
    this.#options.events({
      type: 'refused',
      where: 'door',
      code: error.code,
      message: error.message,
      peer: noteStranger(connection?.certificate, connection?.address),
      ...(service === undefined ? {} : { service }),
    });
  }
}

/** A connection by its far end, which the handshake's socket and the one below it have in common. */
const endOf = (socket: Socket) => `${socket.remoteAddress} ${socket.remotePort}`;
