import type { ClientRequest, IncomingMessage, Server, ServerResponse } from 'node:http';
import { type Agent, createServer, request as httpRequest } from 'node:http';
import type { Duplex } from 'node:stream';
import { pipeline } from 'node:stream';
import { MoveError, toMoveError } from '../../runtime/errors.ts';
import { endToEndHeaders } from '../http/end-to-end-headers.ts';
import { brokeOff, passAnswer } from '../http/pass-answer.ts';
import { joinStreams } from '../join-streams.ts';
import { isLostWithAccessPoint } from './access-points.ts';
import { errorPage, rawErrorPage } from './error-page.ts';
import { protectedService } from './protected-service.ts';
import { isProxyAutoConfig, proxyAutoConfig } from './proxy-auto-config.ts';
import { proxyUpgrade } from './proxy-upgrade.ts';
import type { ForwarderStatus } from './status.ts';
import { answerStatus, isStatus } from './status-page.ts';
import { StreamAgent } from './stream-agent.ts';
import type { Ways } from './ways.ts';

export interface HttpProxyOptions {
  ways: Ways;
  status: () => ForwarderStatus;
  /** Hostnames that go through the overlay; with `any` the access point decides. */
  services: readonly string[] | 'any';
  openDeadlineMs: number;
}

const replayable = new Set(['GET', 'HEAD', 'OPTIONS']);
const maxReplays = 3;

/** Headers come at once, at most 16 KiB of them (Node's own limit); a body may take as long as it takes. */
const timeLimits = { headersTimeout: 15_000, requestTimeout: 0, maxHeaderSize: 16_384 };

/**
 * A local HTTP proxy for protected services only: CONNECT and absolute-form requests (RFC 9112 §3.2), and its own
 * proxy auto-config file at `/proxy.pac`. Everything else is refused with a page that says why.
 */
export function createHttpProxy(options: HttpProxyOptions): Server {
  const { ways, services, openDeadlineMs } = options;
  const open = (service: string, port: number) => ways.open(service, port, openDeadlineMs);
  const agents = { kept: new StreamAgent(open, true), fresh: new StreamAgent(open, false) };
  const waiting = new Set<ClientRequest>();
  ways.onStale((stale) => {
    for (const agent of [agents.kept, agents.fresh]) agent.drop(stale);
    for (const upstream of waiting) {
      const opened = agents.kept.openedBy(upstream.socket) ?? agents.fresh.openedBy(upstream.socket);
      if (opened && stale(opened) === 'in vain')
        upstream.destroy(new MoveError('ACCESS_POINT_LOST', 'The access point does not answer.'));
    }
  });

  const server = createServer(timeLimits, (request, response) => {
    let target: URL;
    let service: string;
    try {
      if (isProxyAutoConfig(request.url ?? '')) {
        answerProxyAutoConfig(request, response, services);
        return;
      }
      if (isStatus(request.url ?? '')) {
        answerStatus(request, response, options.status());
        return;
      }
      target = absoluteTarget(request.url ?? '');
      service = protectedService(services, target.hostname);
    } catch (thrown) {
      answerError(response, toMoveError(thrown));
      return;
    }
    forward(
      {
        agents,
        waiting,
        service,
        port: Number(target.port || 80),
        path: `${target.pathname}${target.search}`,
        request,
        response,
      },
      0,
    );
  });

  server.on('connect', (request: IncomingMessage, socket: Duplex, head: Buffer) => {
    socket.on('error', () => undefined);
    connectTo(request, socket, head).catch((thrown: unknown) =>
      socket.end(rawErrorPage(toMoveError(thrown))),
    );
  });
  const connectTo = async (request: IncomingMessage, socket: Duplex, head: Buffer): Promise<void> => {
    const match = /^([^:]+):(\d{1,5})$/.exec(request.url ?? '');
    if (!match) throw new MoveError('REQUEST_INVALID', 'CONNECT needs a target of the form host:port.');
    const service = protectedService(services, match[1]!);
    const { stream } = await ways.openAccepted(service, Number(match[2]), openDeadlineMs);
    if (socket.destroyed) {
      stream.destroy();
      return;
    }
    socket.once('close', () => {
      if (!stream.writableEnded) stream.destroy();
    });
    socket.write('HTTP/1.1 200 Connection established\r\n\r\n');
    if (head.length > 0) stream.write(head);
    joinStreams(socket, stream);
  };

  server.on('upgrade', (request, socket, head) => {
    socket.on('error', () => undefined);
    const fail = (error: MoveError) => socket.end(rawErrorPage(error));
    try {
      const target = absoluteTarget(request.url ?? '');
      proxyUpgrade({
        agent: agents.fresh,
        service: protectedService(services, target.hostname),
        port: Number(target.port || 80),
        path: `${target.pathname}${target.search}`,
        request,
        socket,
        head,
        fail,
      });
    } catch (thrown) {
      fail(toMoveError(thrown));
    }
  });
  server.on('close', () => {
    agents.kept.destroy();
    agents.fresh.destroy();
  });
  return server;
}

function answerProxyAutoConfig(
  request: IncomingMessage,
  response: ServerResponse,
  services: readonly string[] | 'any',
): void {
  const { localAddress = '', localPort = 0 } = request.socket;
  const file = proxyAutoConfig(
    { url: request.url ?? '', host: request.headers.host },
    { host: localAddress, port: localPort },
    services,
  );
  response.writeHead(200, {
    'content-type': 'application/x-ns-proxy-autoconfig',
    'content-length': Buffer.byteLength(file),
    'cache-control': 'no-store',
  });
  response.end(request.method === 'HEAD' ? undefined : file);
}

function absoluteTarget(url: string): URL {
  const target = /^http:\/\//i.test(url) ? URL.parse(url) : null;
  if (!target) {
    throw new MoveError(
      'REQUEST_INVALID',
      'This is the HTTP proxy of a forwarder; set it as the proxy of your program and ask for http://SERVICE/.',
    );
  }
  return target;
}

function answerError(response: ServerResponse, error: MoveError): void {
  if (response.headersSent || response.destroyed) {
    response.destroy();
    return;
  }
  const page = errorPage(error);
  response.writeHead(page.status, page.reason, page.headers);
  response.end(page.body);
}

interface Forwarded {
  agents: { kept: Agent; fresh: Agent };
  /** Requests whose answer has not begun. */
  waiting: Set<ClientRequest>;
  service: string;
  port: number;
  path: string;
  request: IncomingMessage;
  response: ServerResponse;
}

function forward(parts: Forwarded, replays: number): void {
  const { agents, waiting, service, port, path, request, response } = parts;
  const headers = endToEndHeaders(request.rawHeaders);
  const chunked = request.headers['transfer-encoding'] !== undefined;
  if (chunked) headers.push('Transfer-Encoding', 'chunked');
  const hasBody = chunked || Number(request.headers['content-length'] ?? 0) > 0;
  const upstream = httpRequest({
    // A replay gets a connection of its own: another kept one may have been closed as well.
    agent: replays === 0 ? agents.kept : agents.fresh,
    host: service,
    port,
    path,
    method: request.method ?? 'GET',
    headers,
    setHost: false,
  });
  waiting.add(upstream);
  upstream.once('close', () => waiting.delete(upstream));
  upstream.on('response', (answer) => {
    waiting.delete(upstream);
    passAnswer(answer, response, endToEndHeaders(answer.rawHeaders));
  });
  let failed = false;
  upstream.on('error', (thrown) => {
    if (failed) return;
    failed = true;
    // An overloaded or moving service closes connections before it answers, an access point or a way dies; what is
    // idempotent and has no body may be asked again without harm (RFC 9110 §9.2.2).
    const isLost = isLostWithAccessPoint(thrown) || (thrown as MoveError).code === 'HOME_LEFT';
    const again =
      (isLost || !(thrown instanceof MoveError)) &&
      !response.headersSent &&
      !hasBody &&
      replayable.has(request.method ?? '');
    if (again && replays < maxReplays && !response.destroyed) {
      response.off('close', abandon);
      forward(parts, replays + 1);
      return;
    }
    const error = isLost
      ? new MoveError(
          'ACCESS_POINT_LOST',
          'What carried this request died before there was an answer. It may have reached the service: look before you ask again.',
          { service },
          thrown,
        )
      : thrown instanceof MoveError
        ? thrown
        : brokeOff(service, thrown);
    answerError(response, error);
  });
  const abandon = () => {
    if (!response.writableFinished) upstream.destroy();
  };
  response.once('close', abandon);
  if (hasBody) {
    pipeline(request, upstream, () => undefined);
  } else {
    request.resume();
    upstream.end();
  }
}
