import fs from 'node:fs';
import http, { type IncomingMessage, type ServerResponse } from 'node:http';
import type { AddressInfo } from 'node:net';
import type { Duplex } from 'node:stream';
import { pipeline } from 'node:stream/promises';
import { WebSocketServer } from 'ws';
import type { ClientMessage, MessagePort, ServerMessage } from '../../contract/channel.ts';
import { type Clock, systemClock } from '../../runtime/clock.ts';
import { MoveError } from '../../runtime/errors.ts';
import { webSocketPort } from '../../runtime/message-ports/web-socket-port.ts';
import { type Random, secureRandom } from '../../runtime/random.ts';
import { channelProtocol } from '../channel-protocol.ts';
import { securityHeaders } from './content-security.ts';
import { cookieName, guardChannel, guardHost, guardSession, type Refusal } from './request-guard.ts';
import { SessionBook } from './session-book.ts';
import { findStaticFile } from './static-files.ts';

const maximumConnections = 64;
const maximumChannels = 8;
/** Bytes of the longest message from a window. */
const maximumWindowMessageBytes = 1 << 20;

export interface BrowserHostOptions {
  /** The built renderer: index.html and what it needs. */
  directory: string;
  /** The loopback port; 0 (the default) takes a free one. */
  port?: number;
  /** Takes the channel of a window that was let in. */
  accept: (port: MessagePort<ServerMessage, ClientMessage>) => void;
  log: (line: string) => void;
  clock?: Clock;
  random?: Random;
}

export interface BrowserHost {
  readonly origin: string;
  /** An address that lets one window in, once, within a minute. */
  issueAddress(): string;
  close(): Promise<void>;
}

/**
 * Serves the console's window to a browser on this machine: on 127.0.0.1 only, to who holds a session,
 * under one host name, GET and HEAD alone, with one WebSocket that carries the contract.
 * A session begins with a one-time address, since an address shows in a process list.
 * @throws MoveError `RENDERER_MISSING` when the window was not built, `PORT_TAKEN` when the port is.
 */
export async function startBrowserHost(options: BrowserHostOptions): Promise<BrowserHost> {
  if ((await findStaticFile(options.directory, '/')) === null)
    throw new MoveError(
      'RENDERER_MISSING',
      `There is no built window in ${options.directory}. "npm start" builds it.`,
      { directory: options.directory },
    );
  const book = new SessionBook(options.clock ?? systemClock, options.random ?? secureRandom);
  const channels = new Set<MessagePort<ServerMessage, ClientMessage>>();
  const server = http.createServer({ maxHeaderSize: 16_384, headersTimeout: 5000, requestTimeout: 10_000 });
  server.maxConnections = maximumConnections;
  server.keepAliveTimeout = 5000;
  await listen(server, options.port ?? 0);
  const port = (server.address() as AddressInfo).port;
  const webSockets = new WebSocketServer({
    noServer: true,
    clientTracking: false,
    maxPayload: maximumWindowMessageBytes,
    perMessageDeflate: false,
    handleProtocols: () => channelProtocol,
  });

  server.on('request', (request, response) => {
    answer(request, response, port, book, options.directory).catch((thrown: unknown) => {
      options.log(`browser host: ${thrown instanceof Error ? (thrown.stack ?? thrown.message) : thrown}`);
      if (!response.headersSent) refuse(response, { status: 500, message: 'The console failed to answer.' });
      else response.destroy();
    });
  });
  server.on('upgrade', (request, socket, head) => {
    socket.on('error', (error) => options.log(`browser host: ${error.message}`));
    const refusal =
      guardChannel(request, port, book) ??
      (channels.size >= maximumChannels
        ? { status: 503, message: `${maximumChannels} windows are open already. Close one first.` }
        : null);
    if (refusal) {
      options.log(`browser host: refused a channel: ${refusal.message}`);
      refuseUpgrade(socket, refusal);
      return;
    }
    webSockets.handleUpgrade(request, socket, head, (webSocket) => {
      const channel = webSocketPort<ServerMessage, ClientMessage>(webSocket);
      channels.add(channel);
      channel.onClose((error) => {
        channels.delete(channel);
        if (error) options.log(`browser host: a window's channel ended: ${error.code}: ${error.message}`);
      });
      options.accept(channel);
    });
  });
  server.on('error', (error) => options.log(`browser host: ${error.message}`));

  const origin = `http://127.0.0.1:${port}`;
  return {
    origin,
    issueAddress: () => `${origin}/enter?ticket=${book.issueTicket()}`,
    close() {
      return new Promise((resolve) => {
        server.close(() => resolve());
        for (const channel of channels) channel.close();
        server.closeAllConnections();
      });
    },
  };
}

async function answer(
  request: IncomingMessage,
  response: ServerResponse,
  port: number,
  book: SessionBook,
  directory: string,
): Promise<void> {
  const wrongHost = guardHost(request, port);
  if (wrongHost) return refuse(response, wrongHost);
  if (request.method !== 'GET' && request.method !== 'HEAD')
    return refuse(response, { status: 405, message: 'The console takes GET and HEAD.' });
  // Split by hand: a URL parser would fold dot segments away before they are refused.
  const [path = '/', search = ''] = (request.url ?? '/').split('?', 2);
  if (path === '/enter') return enter(request, response, port, book, search);

  const noSession = guardSession(request, port, book);
  if (noSession) return refuse(response, noSession);
  const file = await findStaticFile(directory, path);
  if (!file) return refuse(response, { status: 404, message: 'The console has no such page.' });
  response.writeHead(200, {
    ...securityHeaders,
    'Content-Type': file.mediaType,
    'Content-Length': file.bytes,
    'Cache-Control': file.cacheControl,
  });
  if (request.method === 'HEAD') {
    response.end();
    return;
  }
  await pipeline(fs.createReadStream(file.path), response).catch((thrown: NodeJS.ErrnoException) => {
    if (thrown.code !== 'ERR_STREAM_PREMATURE_CLOSE') throw thrown;
  });
}

function enter(
  request: IncomingMessage,
  response: ServerResponse,
  port: number,
  book: SessionBook,
  search: string,
): void {
  // A HEAD request looks and changes nothing, so it must not use a ticket up.
  const ticket = new URLSearchParams(search).get('ticket');
  const secret = request.method === 'GET' && ticket ? book.redeem(ticket) : null;
  if (secret === null) {
    refuse(response, {
      status: 403,
      message:
        'This one-time address was used already or has expired. Start the console again to get a new one; if you did not use this one, somebody else on this machine did.',
    });
    return;
  }
  response.writeHead(303, {
    ...securityHeaders,
    Location: '/',
    'Cache-Control': 'no-store',
    'Set-Cookie': `${cookieName(port)}=${secret}; HttpOnly; SameSite=Strict; Path=/`,
    'Content-Length': 0,
  });
  response.end();
}

function refuse(response: ServerResponse, refusal: Refusal): void {
  const body = Buffer.from(`${refusal.message}\n`);
  response.writeHead(refusal.status, {
    ...securityHeaders,
    'Content-Type': 'text/plain; charset=utf-8',
    'Content-Length': body.length,
    'Cache-Control': 'no-store',
    ...(refusal.status === 405 ? { Allow: 'GET, HEAD' } : {}),
  });
  response.end(body);
}

function refuseUpgrade(socket: Duplex, refusal: Refusal): void {
  const body = `${refusal.message}\n`;
  socket.end(
    [
      `HTTP/1.1 ${refusal.status} ${http.STATUS_CODES[refusal.status]}`,
      'Connection: close',
      'Content-Type: text/plain; charset=utf-8',
      'Cache-Control: no-store',
      `Content-Length: ${Buffer.byteLength(body)}`,
      '',
      body,
    ].join('\r\n'),
  );
}

function listen(server: http.Server, port: number): Promise<void> {
  return new Promise((resolve, reject) => {
    server.once('error', (cause: NodeJS.ErrnoException) => {
      reject(
        new MoveError(
          'PORT_TAKEN',
          `The console cannot listen on 127.0.0.1:${port}: ${cause.message}. Choose another port, or none to take a free one.`,
          { port },
          cause,
        ),
      );
    });
    server.listen(port, '127.0.0.1', () => {
      server.removeAllListeners('error');
      resolve();
    });
  });
}
