import { createSocket, type Socket } from 'node:dgram';
import { once } from 'node:events';
import { type Clock, systemClock } from '../runtime/clock.ts';
import { MoveError } from '../runtime/errors.ts';
import {
  guardTarget,
  isPermitted,
  type LoadRequest,
  PACKET_BYTES,
  PAYLOAD_BYTES,
  packetCount,
} from './target-guard.ts';

export interface FloodSummary {
  packets: number;
  /** Packets that the kernel did not take, most often because the target answered "port unreachable". */
  failedSends: number;
  /** Milliseconds since the epoch. */
  firstPacketAt: number;
  lastPacketAt: number;
  /** Megabits a second that were really offered, counted in whole IP packets. */
  offeredMbit: number;
  /** Whether it ran to its end or was told to stop. */
  ended: 'complete' | 'stopped';
}

const BATCH_MS = 3;
/** After a pause of this process at most this much is caught up with at once. */
const CATCH_UP_MS = 30;
/** Bytes that may wait in this process for the kernel. */
const MAXIMUM_QUEUED = 262_144;

/**
 * Sends a bounded UDP flood to an address of a host of the lab: packets of 1500 bytes, paced in batches every
 * 3 ms. It asks the guard itself, before it opens a socket and once more before the first packet; nobody can hand
 * it a permission. It ends after the request's seconds or packet count, or within one batch when `signal` fires.
 * @throws MoveError `FLOOD_REFUSED` from the guard, `FLOOD_FAILED` when no socket can be had.
 */
export async function sendFlood(
  request: unknown,
  signal: AbortSignal,
  onFirstPacket: (at: number) => void,
  clock: Clock = systemClock,
): Promise<FloodSummary> {
  const wanted = guardTarget(request);
  if (!isUdp(wanted)) throw new MoveError('FLOOD_REFUSED', 'This program sends UDP floods only.');
  const socket = createSocket('udp4');
  try {
    socket.connect(wanted.port, wanted.address);
    await once(socket, 'connect', { signal: AbortSignal.timeout(5000) });
    const flood = guardTarget(wanted);
    return await pace(socket, flood, signal, onFirstPacket, clock);
  } catch (thrown) {
    if (thrown instanceof MoveError) throw thrown;
    throw new MoveError('FLOOD_FAILED', `The flood could not be sent: ${String(thrown)}.`, {}, thrown);
  } finally {
    socket.close();
  }
}

type UdpFlood = Extract<LoadRequest, { purpose: 'udp-flood' | 'node-flood' }>;

function isUdp(request: LoadRequest): request is UdpFlood {
  return request.purpose === 'udp-flood' || request.purpose === 'node-flood';
}

function pace(
  socket: Socket,
  flood: LoadRequest,
  signal: AbortSignal,
  onFirstPacket: (at: number) => void,
  clock: Clock,
): Promise<FloodSummary> {
  if (!isUdp(flood) || !isPermitted(flood)) {
    throw new MoveError('FLOOD_REFUSED', 'This flood did not pass the guard.');
  }
  const remote = socket.remoteAddress();
  if (remote.address !== flood.address || remote.port !== flood.port) {
    throw new MoveError('FLOOD_REFUSED', 'The socket does not lead to the target that the guard allowed.');
  }
  const payload = Buffer.alloc(PAYLOAD_BYTES, 'MOVE drill ');
  const limit = packetCount(flood);
  const perMs = (flood.mbit * 1e6) / 8 / PACKET_BYTES / 1000;
  return new Promise((resolve) => {
    let attempted = 0;
    let failedSends = 0;
    let firstPacketAt = 0;
    let lastPacketAt = 0;
    let credited = 0;
    let timer: NodeJS.Timeout | undefined;
    const begun = clock.monotonic();
    let before = begun;
    const failed = (error: Error | null) => {
      if (error !== null) failedSends += 1;
    };
    // On a connected socket "port unreachable" may also arrive here; it says nothing about the next packet.
    socket.on('error', () => undefined);
    const finish = (ended: FloodSummary['ended']) => {
      clearTimeout(timer);
      signal.removeEventListener('abort', stop);
      const packets = Math.max(0, attempted - failedSends);
      const took = Math.max(1, lastPacketAt - firstPacketAt);
      const offeredMbit = (packets * PACKET_BYTES * 8) / 1000 / took;
      resolve({ packets, failedSends, firstPacketAt, lastPacketAt, offeredMbit, ended });
    };
    const stop = () => finish('stopped');
    const batch = () => {
      const now = clock.monotonic();
      if (now - begun >= flood.seconds * 1000 || attempted >= limit) {
        finish('complete');
        return;
      }
      credited += Math.min(now - before, CATCH_UP_MS) * perMs;
      before = now;
      while (credited >= 1 && attempted < limit) {
        credited -= 1;
        if (socket.getSendQueueSize() > MAXIMUM_QUEUED) continue;
        if (attempted === 0) {
          firstPacketAt = clock.now();
          onFirstPacket(firstPacketAt);
        }
        attempted += 1;
        socket.send(payload, failed);
      }
      if (attempted > 0) lastPacketAt = clock.now();
      timer = setTimeout(batch, BATCH_MS);
    };
    signal.addEventListener('abort', stop, { once: true });
    if (signal.aborted) stop();
    else batch();
  });
}
