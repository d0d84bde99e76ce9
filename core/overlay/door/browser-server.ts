import type { IncomingMessage } from 'node:http';
import {
  createServer as createHttp2Server,
  type Http2Server,
  type Http2ServerRequest,
  type Http2Session,
  type ServerHttp2Session,
} from 'node:http2';
import { createServer } from 'node:https';
import type { AddressInfo, Socket } from 'node:net';
import type { Duplex } from 'node:stream';
import type { TLSSocket } from 'node:tls';
import { MoveError, toMoveError } from '../../runtime/errors.ts';
import type { HttpRequest, HttpResponse } from '../http/http-exchange.ts';
import type { BrowserLimits } from './browser-limits.ts';
import { type DoorTlsIdentity, doorTls } from './door-tls.ts';

interface BrowserServerOptions<Connection> {
  tls: () => DoorTlsIdentity;
  limits: BrowserLimits;
  /** A TCP connection, before its handshake: whoever is not let in destroys it. */
  onSocket(socket: Socket): void;
  /** A connection whose handshake is done; undefined when it was destroyed instead. */
  onConnection(socket: TLSSocket): Connection | undefined;
  onRequest(connection: Connection, request: HttpRequest, response: HttpResponse): void;
  /** A request of HTTP/1.1 for another protocol, such as a WebSocket. */
  onUpgrade(connection: Connection, request: IncomingMessage, socket: Duplex, head: Buffer): void;
  onError(error: MoveError): void;
}

/**
 * HTTPS as browsers speak it: HTTP/2 where they offer it (RFC 9113), else HTTP/1.1, with the same limits. WebSockets
 * come by HTTP/1.1: extended CONNECT (RFC 8441) is not offered, so that browsers open a connection of its own for each.
 */
export class BrowserServer<Connection extends object> {
  readonly #options: BrowserServerOptions<Connection>;
  readonly #listener: ReturnType<typeof createServer>;
  readonly #http2: Http2Server;
  readonly #connections = new WeakMap<Socket | Http2Session, Connection>();
  #identity: DoorTlsIdentity;

  constructor(options: BrowserServerOptions<Connection>) {
    this.#options = options;
    this.#identity = options.tls();
    const { limits } = options;
    this.#listener = createServer({
      ...doorTls(this.#identity),
      handshakeTimeout: limits.handshakeMs,
      maxHeaderSize: limits.headerBytes,
      headersTimeout: limits.headersMs,
      requestTimeout: limits.requestMs,
      keepAliveTimeout: limits.keepAliveMs,
      connectionsCheckingInterval: 2_000,
      noDelay: true,
    });
    this.#listener.maxHeadersCount = limits.headerFields;
    this.#http2 = createHttp2Server({
      settings: {
        enablePush: false,
        enableConnectProtocol: false,
        maxConcurrentStreams: limits.streams,
        maxHeaderListSize: limits.headerBytes,
      },
      // The four fields that say method, scheme, authority and path come on top.
      maxHeaderListPairs: limits.headerFields + 4,
      maxSessionMemory: limits.sessionMebibytes,
      maxSessionInvalidFrames: 20,
      streamResetBurst: limits.resets.burst,
      streamResetRate: limits.resets.perSecond,
    });
    this.#listener.prependListener('connection', (socket: Socket) => {
      this.#takeNewIdentity();
      options.onSocket(socket);
    });
    // Node leaves a socket open whose handshake ran out of time.
    this.#listener.on('tlsClientError', (_cause, socket) => socket.destroy());
    const speakHttp1 = this.#listener.listeners('secureConnection');
    this.#listener.removeAllListeners('secureConnection');
    this.#listener.on('secureConnection', (socket: TLSSocket) => {
      const connection = options.onConnection(socket);
      if (!connection) return;
      if (socket.alpnProtocol === 'h2') this.#speakHttp2(socket, connection);
      else {
        this.#connections.set(socket, connection);
        for (const speak of speakHttp1) Reflect.apply(speak, this.#listener, [socket]);
      }
    });
    this.#listener.on('request', (request, response) => {
      const connection = this.#connections.get(request.socket);
      if (connection) options.onRequest(connection, request, response);
      else response.destroy();
    });
    this.#listener.on('upgrade', (request, socket, head) => {
      const connection = this.#connections.get(request.socket);
      if (connection) options.onUpgrade(connection, request, socket, head);
      else socket.destroy();
    });
    this.#http2.on('request', (request, response) => {
      const { session } = request.stream;
      const connection = session && this.#connections.get(session);
      if (!connection) {
        request.stream.destroy();
        return;
      }
      // The limit that was announced binds only once the client has confirmed it; Node's HTTP/1.1 answers alike.
      if (bytesOf(request.rawHeaders) > limits.headerBytes) {
        response.writeHead(431, { 'content-length': 0 });
        response.end();
        return;
      }
      this.#limitTime(request);
      options.onRequest(connection, request, response);
    });
    // What a client does wrong ends its session; the same error follows on its streams.
    this.#http2.on('sessionError', () => undefined);
  }

  get host(): string {
    return (this.#listener.address() as AddressInfo).address;
  }

  get port(): number {
    return (this.#listener.address() as AddressInfo).port;
  }

  /** @throws MoveError `LISTEN_FAILED`. */
  listen({ host, port }: { host: string; port: number }): Promise<void> {
    return new Promise((resolve, reject) => {
      const failed = (cause: Error) =>
        reject(
          new MoveError('LISTEN_FAILED', `Cannot listen on ${host}:${port}: ${cause.message}.`, {}, cause),
        );
      this.#listener.once('error', failed);
      this.#listener.listen({ host, port }, () => {
        this.#listener.off('error', failed);
        this.#listener.on('error', (cause) => this.#options.onError(toMoveError(cause)));
        resolve();
      });
    });
  }

  /** Takes no more connections; done when those that there are have been destroyed. */
  close(): Promise<void> {
    return new Promise((resolve) => this.#listener.close(() => resolve()));
  }

  #takeNewIdentity(): void {
    const current = this.#options.tls();
    if (current === this.#identity) return;
    this.#identity = current;
    this.#listener.setSecureContext(doorTls(current));
  }

  #speakHttp2(socket: TLSSocket, connection: Connection): void {
    // Node tells of the session while it takes the connection.
    this.#http2.once('session', (session: ServerHttp2Session) => {
      this.#connections.set(session, connection);
      this.#endWhenIdle(session, socket);
    });
    this.#http2.emit('connection', socket);
  }

  /** A session on which nothing is under way is kept as long as a connection of HTTP/1.1 is. */
  #endWhenIdle(session: ServerHttp2Session, socket: TLSSocket): void {
    const { headersMs, keepAliveMs } = this.#options.limits;
    let open = 0;
    let idle: NodeJS.Timeout | undefined;
    const wait = (milliseconds: number) => {
      // Who does not read the farewell is not waited for.
      idle = setTimeout(() => {
        session.close();
        idle = setTimeout(() => socket.destroy(), 1_000);
      }, milliseconds);
    };
    wait(headersMs);
    session.on('stream', (stream) => {
      open += 1;
      clearTimeout(idle);
      stream.once('close', () => {
        open -= 1;
        if (open === 0 && !socket.destroyed) wait(keepAliveMs);
      });
    });
    socket.once('close', () => clearTimeout(idle));
  }

  /** Gives a request as long as one of HTTP/1.1 gets for all of its content. */
  #limitTime({ stream }: Http2ServerRequest): void {
    if (stream.endAfterHeaders) return;
    const late = setTimeout(() => stream.destroy(), this.#options.limits.requestMs);
    const inTime = () => clearTimeout(late);
    stream.once('end', inTime);
    stream.once('close', inTime);
  }
}

/** Length of a head's names and values, each field counted with 32 bytes more (RFC 9113 §6.5.2). */
const bytesOf = (fields: readonly string[]) =>
  fields.reduce((sum, part) => sum + part.length, 0) + 32 * (fields.length / 2);
