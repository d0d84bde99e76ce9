import type { Agent, IncomingMessage } from 'node:http';
import { request as httpRequest } from 'node:http';
import type { Duplex } from 'node:stream';
import { pipeline } from 'node:stream';
import { MoveError } from '../../runtime/errors.ts';
import { endToEndHeaders, fieldsOf } from '../http/end-to-end-headers.ts';
import {
  type HttpRequest,
  type HttpResponse,
  hasContent,
  isGone,
  requestFields,
} from '../http/http-exchange.ts';
import { brokeOff, passAnswer } from '../http/pass-answer.ts';
import { joinStreams } from '../join-streams.ts';
import type { DoorService } from './choose-service.ts';
import { withoutDoorCookies, withoutForgedCookies } from './cookies.ts';

/**
 * Fields by which a client could pose as an access point. None says who somebody is: a service cannot tell what
 * an access point wrote from what the holder of a forwarder wrote.
 */
const notPassedOn = new Set([
  'host',
  'cookie',
  'expect',
  'forwarded',
  'via',
  'x-forwarded-for',
  'x-forwarded-host',
  'x-forwarded-port',
  'x-forwarded-proto',
  'x-forwarded-server',
  'x-real-ip',
]);
/** Of the service's own connection, not of this one (RFC 7838). */
const notPassedBack = new Set(['alt-svc']);
const replayable = new Set(['GET', 'HEAD', 'OPTIONS']);
const maxReplays = 3;

interface Carried {
  request: HttpRequest;
  response: HttpResponse;
  service: DoorService;
  /** `https://host:port` as the browser knows this origin. */
  origin: string;
  /** Keeps connections of this one browser connection. */
  kept: Agent;
  /** Makes a connection for each request. */
  fresh: Agent;
  fail(error: MoveError): void;
}

/**
 * Carries one request to a service and its answer back. What a browser's connection asks travels by sessions of
 * its own, so that nobody's requests share a connection with anybody else's. A request without a body that may be
 * asked twice is asked again where the service hung up on it (RFC 9110 §9.2.2).
 */
export function carryRequest(carried: Carried, replays = 0): void {
  const { request, response, service, origin, fail } = carried;
  const hasBody = hasContent(request);
  const chunked = hasBody && request.headers['content-length'] === undefined;
  const upstream = httpRequest({
    agent: replays === 0 ? carried.kept : carried.fresh,
    host: service.hostname,
    port: service.port,
    path: request.url ?? '/',
    method: request.method ?? 'GET',
    headers: [
      ...requestHeaders(request, service, origin),
      ...(chunked ? ['Transfer-Encoding', 'chunked'] : []),
    ],
    setHost: false,
  });
  const abandon = () => {
    if (!response.writableFinished) upstream.destroy();
  };
  response.once('close', abandon);
  upstream.on('response', (answer) => {
    passAnswer(answer, response, answerHeaders(answer, carried));
  });
  let failed = false;
  upstream.on('error', (thrown) => {
    if (failed) return;
    failed = true;
    response.off('close', abandon);
    if (isGone(response)) return;
    const hungUp = !(thrown instanceof MoveError);
    if (hungUp && !response.headersSent && !hasBody && replayable.has(request.method ?? '')) {
      if (replays < maxReplays) {
        carryRequest(carried, replays + 1);
        return;
      }
    }
    fail(hungUp ? brokeOff(service.hostname, thrown) : thrown);
  });
  if (hasBody) pipeline(request, upstream, () => undefined);
  else {
    request.resume();
    upstream.end();
  }
}

/** Carries an upgraded connection, such as a WebSocket, over a session of its own (RFC 9110 §7.8). */
export function carryUpgrade(carried: {
  request: IncomingMessage;
  head: Buffer;
  socket: Duplex;
  service: DoorService;
  origin: string;
  session: Duplex;
}): void {
  const { request, head, socket, service, origin, session } = carried;
  const fields = [
    ...requestHeaders(request, service, origin),
    'Connection',
    'Upgrade',
    'Upgrade',
    request.headers.upgrade ?? '',
  ];
  const lines = [...fieldsOf(fields)].map(([name, value]) => `${name}: ${value}\r\n`);
  // Node has checked that neither the target nor the fields hold a line's end.
  session.write(
    Buffer.from(
      `${request.method ?? 'GET'} ${request.url ?? '/'} HTTP/1.1\r\n${lines.join('')}\r\n`,
      'latin1',
    ),
  );
  if (head.length > 0) session.write(head);
  joinStreams(socket, session);
}

function requestHeaders(request: HttpRequest, service: DoorService, origin: string): string[] {
  const cookie =
    request.headers.cookie === undefined ? undefined : withoutDoorCookies(request.headers.cookie);
  return [
    'Host',
    hostOf(service),
    ...asAtHome(endToEndHeaders(requestFields(request), notPassedOn), service, origin),
    ...(cookie === undefined ? [] : ['Cookie', cookie]),
  ];
}

/** A service is told of itself as people know it at home, so that its own checks of Origin and Referer hold. */
function asAtHome(rawHeaders: readonly string[], service: DoorService, origin: string): string[] {
  const home = `http://${hostOf(service)}`;
  return [...fieldsOf(rawHeaders)].flatMap(([name, value]) => {
    const known = name.toLowerCase();
    if (known === 'origin' && value === origin) return [name, home];
    if (known === 'referer' && value.startsWith(`${origin}/`))
      return [name, home + value.slice(origin.length)];
    return [name, value];
  });
}

const hostOf = ({ hostname, port }: DoorService) => (port === 80 ? hostname : `${hostname}:${port}`);

function answerHeaders(answer: IncomingMessage, { service, origin }: Carried): string[] {
  const kept = withoutForgedCookies(endToEndHeaders(answer.rawHeaders, notPassedBack));
  return [...fieldsOf(kept)].flatMap(([name, value]) =>
    name.toLowerCase() === 'location' ? [name, homeward(value, service, origin)] : [name, value],
  );
}

/** A service that sends people to its own plain address means this origin, which is the same service. */
function homeward(location: string, service: DoorService, origin: string): string {
  const target = URL.parse(location);
  const port = Number(target?.port || 80);
  if (target?.protocol !== 'http:' || target.hostname !== service.hostname || port !== service.port)
    return location;
  return `${origin}${target.pathname}${target.search}${target.hash}`;
}
