import http from 'node:http';
import { type Clock, systemClock } from '../runtime/clock.ts';
import { MoveError } from '../runtime/errors.ts';
import { guardTarget } from './target-guard.ts';

export interface SurgeSummary {
  requests: number;
  failures: number;
  downloadedBytes: number;
  uploadedBytes: number;
  /** Milliseconds since the epoch: the first request, and the end of the last answer. */
  firstPacketAt: number;
  lastPacketAt: number;
  /** Megabits a second of bodies that were carried, both directions together. */
  offeredMbit: number;
  ended: 'complete' | 'stopped';
}

export interface SurgeShape {
  /** What everybody asks for at once. */
  path: string;
  /** The Host header. */
  hostname: string;
  /** Bytes that every second connection uploads in each request; 0 for downloads only. */
  uploadBytes: number;
}

/** The least that a person looks at an answer, or at a failure, before asking again: machines do not. */
const GLANCE_MS = 500;

/**
 * Many people at once, all of them honest: `connections` keep-alive connections, each of somebody who asks, glances at
 * what came and asks again, over TCP, which shares a link and gives way. Bounded like a flood, and guarded like one.
 * @throws MoveError `FLOOD_REFUSED` from the guard.
 */
export async function sendSurge(
  request: unknown,
  shape: SurgeShape,
  signal: AbortSignal,
  onFirstRequest: (at: number) => void,
  clock: Clock = systemClock,
): Promise<SurgeSummary> {
  const surge = guardTarget(request);
  if (surge.purpose !== 'honest-surge')
    throw new MoveError('FLOOD_REFUSED', 'This program sends honest surges only.');
  const agent = new http.Agent({ keepAlive: true, maxSockets: surge.connections });
  const over = AbortSignal.any([signal, AbortSignal.timeout(Math.ceil(surge.seconds * 1000))]);
  const body = shape.uploadBytes > 0 ? Buffer.alloc(shape.uploadBytes, 'x') : undefined;
  const summary = { requests: 0, failures: 0, downloadedBytes: 0, uploadedBytes: 0 };
  const firstPacketAt = clock.now();
  onFirstRequest(firstPacketAt);
  const ask = (uploading: boolean) =>
    new Promise<boolean>((resolve) => {
      const sent = uploading ? body : undefined;
      const asked = http.request({
        host: surge.address,
        port: surge.port,
        method: sent === undefined ? 'GET' : 'POST',
        path: shape.path,
        headers: { Host: shape.hostname, ...(sent === undefined ? {} : { 'Content-Length': sent.length }) },
        agent,
        signal: over,
      });
      asked.on('response', (answer) => {
        answer.on('data', (chunk: Buffer) => {
          summary.downloadedBytes += chunk.length;
        });
        answer.on('end', () => {
          summary.uploadedBytes += sent?.length ?? 0;
          resolve(true);
        });
        answer.on('error', () => resolve(false));
        answer.on('close', () => resolve(false));
      });
      asked.on('error', () => resolve(false));
      asked.end(sent);
    });
  const person = async (index: number) => {
    while (!over.aborted) {
      const right = await ask(body !== undefined && index % 2 === 1);
      if (over.aborted) return; // cut short by the end of the surge: neither an answer nor a failure
      summary.requests += 1;
      if (!right) summary.failures += 1;
      await pause(GLANCE_MS, over);
    }
  };
  try {
    await Promise.all(Array.from({ length: surge.connections }, (_, index) => person(index)));
  } finally {
    agent.destroy();
  }
  const lastPacketAt = clock.now();
  const bits = (summary.downloadedBytes + summary.uploadedBytes) * 8;
  return {
    ...summary,
    firstPacketAt,
    lastPacketAt,
    offeredMbit: bits / 1000 / Math.max(1, lastPacketAt - firstPacketAt),
    ended: signal.aborted ? 'stopped' : 'complete',
  };
}

function pause(ms: number, over: AbortSignal): Promise<void> {
  return new Promise((resolve) => {
    const finish = () => {
      clearTimeout(timer);
      over.removeEventListener('abort', finish);
      resolve();
    };
    const timer = setTimeout(finish, ms);
    over.addEventListener('abort', finish, { once: true });
  });
}
