import { createServer, type IncomingMessage, type Server, type ServerResponse } from 'node:http';
import type { Picture } from './picture.ts';

/** All that a decoy takes of its site, whoever asks. */
export const decoyBounds = {
  connections: 64,
  /** Bytes of answers a second, over all connections; what comes sooner waits. */
  bytesPerSecond: 64 << 10,
  /** Answers that wait at most; more are turned away. */
  waiting: 64,
  requestMs: 5_000,
  headBytes: 8 << 10,
} as const;

export interface DecoyFigures {
  requests: number;
  turnedAway: number;
  bytes: number;
  connections: number;
}

/**
 * Answers strangers with what a service that has left answered them before: a static copy of its public pages, slowly,
 * as a server behind a full link. It holds no key, keeps nothing that is sent to it, and does not know where the service is.
 */
export class DecoyServer {
  readonly server: Server;
  readonly #picture: Picture;
  readonly #figures: DecoyFigures = { requests: 0, turnedAway: 0, bytes: 0, connections: 0 };
  readonly #timers = new Set<NodeJS.Timeout>();
  /** When everything that was promised so far will have been sent, in milliseconds of `performance.now`. */
  #busyUntil = 0;

  constructor(picture: Picture) {
    this.#picture = picture;
    this.server = createServer(
      {
        maxHeaderSize: decoyBounds.headBytes,
        headersTimeout: decoyBounds.requestMs,
        requestTimeout: decoyBounds.requestMs,
        keepAliveTimeout: decoyBounds.requestMs,
        connectionsCheckingInterval: 1_000,
      },
      (request, response) => this.#answer(request, response),
    );
    this.server.maxConnections = decoyBounds.connections;
    this.server.maxRequestsPerSocket = 100;
    this.server.on('connection', (socket) => {
      this.#figures.connections += 1;
      socket.setTimeout(3 * decoyBounds.requestMs, () => socket.destroy());
      socket.on('error', () => undefined);
      socket.on('close', () => {
        this.#figures.connections -= 1;
      });
    });
    this.server.on('clientError', (_error, socket) => socket.destroy());
  }

  get figures(): DecoyFigures {
    return { ...this.#figures };
  }

  close(): void {
    for (const timer of this.#timers) clearTimeout(timer);
    this.#timers.clear();
    this.server.close();
    this.server.closeAllConnections();
  }

  #answer(request: IncomingMessage, response: ServerResponse): void {
    this.#figures.requests += 1;
    // What is sent along is not wanted and not read: the connection ends with the answer.
    const hasBody = request.headers['content-length'] !== undefined || request.headers['transfer-encoding'];
    if (hasBody) response.shouldKeepAlive = false;
    if (this.#timers.size >= decoyBounds.waiting) {
      this.#figures.turnedAway += 1;
      response.writeHead(503, { Connection: 'close' }).end();
      return;
    }
    const path = request.url ?? '/';
    const isRead = request.method === 'GET' || request.method === 'HEAD';
    const page = (isRead ? this.#picture.pages[path] : undefined) ?? this.#picture.notFound;
    const body = request.method === 'HEAD' ? Buffer.alloc(0) : Buffer.from(page.bodyBase64, 'base64');
    const now = performance.now();
    this.#busyUntil =
      Math.max(this.#busyUntil, now) + ((body.length + 300) / decoyBounds.bytesPerSecond) * 1_000;
    const timer = setTimeout(() => {
      this.#timers.delete(timer);
      if (response.destroyed) return;
      this.#figures.bytes += body.length;
      response.writeHead(page.status, [
        ...page.headers.flat(),
        'Content-Length',
        String(Buffer.byteLength(page.bodyBase64, 'base64')),
      ]);
      response.end(body);
    }, this.#busyUntil - now);
    this.#timers.add(timer);
    response.on('close', () => {
      clearTimeout(timer);
      this.#timers.delete(timer);
    });
  }
}
