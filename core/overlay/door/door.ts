import { type IncomingMessage, ServerResponse } from 'node:http';
import type { Socket } from 'node:net';
import type { Duplex } from 'node:stream';
import type { TLSSocket } from 'node:tls';
import { DoorLimits, type DoorPass } from '../../runtime/door-limits.ts';
import { MoveError, toMoveError } from '../../runtime/errors.ts';
import { plainAddress } from '../../runtime/link/link-tls.ts';
import { breakOff, type HttpRequest, type HttpResponse, hostOf, isGone } from '../http/http-exchange.ts';
import type { Authorise, OverlayIdentity } from '../identity.ts';
import { mayReach } from '../identity.ts';
import type { OverlayEvents } from '../overlay-event.ts';
import { noteStranger } from '../overlay-event.ts';
import { type BrowserLimits, browserLimits } from './browser-limits.ts';
import { BrowserServer } from './browser-server.ts';
import { carryRequest, carryUpgrade } from './carry-request.ts';
import { type DoorService, type Origin, originOf } from './choose-service.ts';
import { DoorConnection } from './door-connection.ts';
import { DoorDesk, type DoorDeskOptions, redirect, sendPage } from './door-desk.ts';
import { guardUpgrade, originUrl } from './door-guard.ts';
import { doorPath, doorPaths } from './door-paths.ts';
import type { DoorTlsIdentity } from './door-tls.ts';
import { errorPage } from './pages/error-page.ts';
import { identify, type Person } from './person.ts';

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
  readonly #server: BrowserServer<DoorConnection>;
  readonly #desk: DoorDesk;
  readonly #sockets = new Set<Socket>();
  readonly #connections = new Set<DoorConnection>();
  readonly #passes = new Map<string, DoorPass>();
  readonly #limiter: DoorLimits;

  constructor(options: DoorOptions) {
    this.#options = options;
    this.#limits = { ...browserLimits, ...options.limits };
    this.#desk = new DoorDesk(options);
    this.#limiter = new DoorLimits({ ...this.#limits.door, clock: options.clock });
    this.#server = new BrowserServer({
      tls: options.tls,
      limits: this.#limits,
      onSocket: (socket) => this.#onSocket(socket),
      onConnection: (socket) => this.#onSecure(socket),
      onRequest: (connection, request, response) => {
        this.#answer(connection, request, response).catch((thrown: unknown) =>
          this.#fail(connection, request, response, toMoveError(thrown)),
        );
      },
      onUpgrade: (connection, request, socket, head) => this.#upgrade(connection, request, socket, head),
      onError: (error) => this.#tell(error, undefined, undefined),
    });
  }

  get host(): string {
    return this.#server.host;
  }

  get port(): number {
    return this.#server.port;
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
    return this.#server.listen(this.#options.listen);
  }

  recheck(): number {
    const { desk, authorise } = this.#options;
    const visitors = desk?.recheck((certificate, remoteAddress) => authorise(certificate, { remoteAddress }));
    const cut = [...this.#connections].filter((connection) => connection.recheck());
    return (visitors ?? 0) + cut.length;
  }

  close(): Promise<void> {
    const done = this.#server.close();
    for (const socket of this.#sockets) socket.destroy();
    return done;
  }

  /** Counts a connection before its handshake, which is what costs. */
  #onSocket(socket: Socket): void {
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

  #onSecure(socket: TLSSocket): DoorConnection | undefined {
    const pass = this.#passes.get(endOf(socket));
    if (!pass) {
      socket.destroy();
      return undefined;
    }
    const address = plainAddress(socket.remoteAddress);
    const connection = new DoorConnection(socket, pass, this.#limits.onward, (identity, service, port) =>
      this.#options.open({ identity, remoteAddress: address, service, port }),
    );
    this.#connections.add(connection);
    socket.once('close', () => this.#connections.delete(connection));
    return connection;
  }

  async #answer(connection: DoorConnection, request: HttpRequest, response: HttpResponse): Promise<void> {
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
    carryRequest({
      request,
      response,
      service,
      origin: originUrl(request),
      ...connection.serve(person, this.#options.clock, response),
      fail: (error) => this.#fail(connection, request, response, error),
    });
  }

  #upgrade(connection: DoorConnection, request: IncomingMessage, socket: Duplex, head: Buffer): void {
    socket.on('error', () => undefined);
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

  #originOf(connection: DoorConnection, request: HttpRequest): Origin {
    return originOf(
      {
        host: hostOf(request),
        cookie: request.headers.cookie,
        localAddress: connection.localAddress,
      },
      this.#options.services(),
    );
  }

  #identify(connection: DoorConnection, request: HttpRequest): Person {
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

  #fail(connection: DoorConnection, request: HttpRequest, response: HttpResponse, error: MoveError): void {
    const service = typeof error.details.service === 'string' ? error.details.service : undefined;
    this.#tell(error, connection, service);
    if (response.headersSent || isGone(response)) {
      breakOff(response);
      return;
    }
    // What is still to come of the request is not waited for.
    if (response instanceof ServerResponse && !request.complete) response.setHeader('connection', 'close');
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
