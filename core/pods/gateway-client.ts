import { randomBytes } from 'node:crypto';
import { lstatSync } from 'node:fs';
import { connect, type Socket } from 'node:net';
import { BoundedReader } from '../runtime/bounded-reader.ts';
import { MoveError } from '../runtime/errors.ts';
import { gatewaySocketPath } from './pod-spec.ts';
import type { GatewayStats, PodProbe, ProbeResult } from './port.ts';

const magic = Buffer.from('MVS1');
const answerLimitBytes = 1 << 20;

/** The session protocol's opening header. `received` counts downstream bytes already held. */
export function sessionHeader(kind: 1 | 2 | 9, id: Buffer, port: number, received: bigint): Buffer {
  const header = Buffer.alloc(31);
  magic.copy(header, 0);
  header.writeUInt8(kind, 4);
  id.copy(header, 5, 0, 16);
  header.writeUInt16BE(port, 21);
  header.writeBigUInt64BE(received, 23);
  return header;
}

/**
 * Connects to the gateway of the pod whose first process is `pid`, through that process's own root:
 * the path is short, and valid in whatever mount namespace the runtime lives. What the pod put at the
 * path must be a socket in a real directory, else a pod could point its site at another one.
 * @throws MoveError `POD_GATEWAY_UNREACHABLE`.
 */
export function connectGateway(pid: number, deadlineMs: number): Promise<Socket> {
  const path = `/proc/${pid}/root${gatewaySocketPath}`;
  return new Promise((resolve, reject) => {
    const fail = (reason: string) =>
      reject(
        new MoveError(
          'POD_GATEWAY_UNREACHABLE',
          'The gateway inside the pod does not answer. See the pod log; restart the pod if it stays so.',
          { path, reason },
        ),
      );
    try {
      if (!lstatSync(`/proc/${pid}/root/run`).isDirectory() || !lstatSync(path).isSocket()) {
        fail('not a socket');
        return;
      }
    } catch (error) {
      fail((error as Error).message);
      return;
    }
    const socket = connect({ path });
    const timer = setTimeout(() => socket.destroy(new Error('timed out')), deadlineMs);
    socket.once('connect', () => {
      clearTimeout(timer);
      socket.off('error', onError);
      resolve(socket);
    });
    const onError = (error: Error) => {
      clearTimeout(timer);
      fail(error.message);
    };
    socket.once('error', onError);
  });
}

/**
 * One control exchange with a gateway (session protocol, CONTROL). Closes the socket. After `pause` no
 * connection to the gateway is open any more, this one included.
 * @throws MoveError `POD_GATEWAY_UNREACHABLE` without an answer in time.
 */
export async function controlGateway(
  socket: Socket,
  command: 'pause' | 'resume' | 'stats',
  deadlineMs: number,
): Promise<GatewayStats> {
  const reader = new BoundedReader(socket, { deadlineMs, bytes: answerLimitBytes });
  try {
    socket.write(Buffer.concat([sessionHeader(9, Buffer.alloc(16), 0, 0n), Buffer.from(`${command}\n`)]));
    let line = '';
    for (;;) {
      const byte = await reader.take(1);
      if (byte === undefined) throw new Error('it hung up');
      if (byte[0] === 10) break;
      line += byte.toString('latin1');
    }
    const answer = JSON.parse(line) as GatewayStats;
    if (!answer.ok) throw new Error(line);
    // The gateway hangs up after a pause. Until it has, its end is still open, and a pod frozen in that
    // instant could not be checkpointed.
    if (command === 'pause' && (await reader.take(1)) !== undefined) throw new Error('it went on talking');
    return answer;
  } catch (error) {
    throw new MoveError('POD_GATEWAY_UNREACHABLE', `The gateway inside the pod did not obey "${command}".`, {
      command,
      reason: (error as Error).message,
    });
  } finally {
    reader.close();
  }
}

/**
 * Asks the service for a sign of health through a gateway: the whole answer to one HTTP GET, or what it says first
 * on a connection (see PodProbe). Closes the socket.
 * @throws MoveError `POD_PROBE_FAILED` naming what came instead.
 */
export async function probeThroughGateway(
  socket: Socket,
  request: { host: string; probe: PodProbe; deadlineMs: number },
): Promise<ProbeResult> {
  const { host, probe, deadlineMs } = request;
  const reader = new BoundedReader(socket, { deadlineMs, bytes: answerLimitBytes });
  const start = performance.now();
  try {
    socket.write(sessionHeader(1, randomBytes(16), probe.port, 0n));
    const reply = await reader.take(13);
    if (!reply?.subarray(0, 4).equals(magic)) throw new Error('the gateway hung up');
    if (reply[4] !== 0)
      throw new Error(['', 'unknown session', 'connection refused', 'paused', 'too many'][reply[4]!]);
    const result = await (probe.kind === 'http'
      ? askHttp(socket, reader, start, host, probe)
      : listenFirst(socket, reader, start, probe));
    return { ...result, totalMs: performance.now() - start };
  } catch (error) {
    const reason = (error as Error).message;
    throw new MoveError('POD_PROBE_FAILED', `The service in the pod gave no good answer: ${reason}.`, {
      port: probe.port,
      ...(probe.kind === 'http' ? { path: probe.path } : {}),
      reason,
    });
  } finally {
    reader.close();
  }
}

type Answer = Omit<ProbeResult, 'totalMs'>;

async function askHttp(
  socket: Socket,
  reader: BoundedReader,
  start: number,
  host: string,
  probe: Extract<PodProbe, { kind: 'http' }>,
): Promise<Answer> {
  const get = Buffer.from(
    `GET ${probe.path} HTTP/1.1\r\nHost: ${host}\r\nUser-Agent: move-probe\r\nConnection: close\r\n\r\n`,
  );
  socket.write(Buffer.concat([frame(1, get), frame(3, u64(BigInt(get.length)))]));
  let answer = Buffer.alloc(0);
  let firstByteMs = 0;
  for (;;) {
    const { type, payload } = await nextFrame(reader);
    if (type === 1) {
      firstByteMs ||= performance.now() - start;
      answer = Buffer.concat([answer, payload]);
      socket.write(frame(2, u64(BigInt(answer.length))));
    } else if (type === 4) throw new Error('the service reset the connection');
    else if (type === 3) break;
  }
  socket.write(frame(5, Buffer.alloc(0)));
  const status = Number(/^HTTP\/1\.[01] (\d{3}) /.exec(answer.toString('latin1', 0, 64))?.[1] ?? 0);
  if (status === 0) throw new Error('not an HTTP answer');
  if (probe.status === undefined ? status >= 500 : status !== probe.status)
    throw new Error(
      probe.status === undefined ? `status ${status}` : `status ${status}, not ${probe.status}`,
    );
  while (await reader.take(5)); // until the gateway has closed: the session is over on both sides
  return { status, firstByteMs, bytes: answer.length };
}

/** Accepted is enough where no first bytes are named; what the service says is let go by a reset of the session. */
async function listenFirst(
  socket: Socket,
  reader: BoundedReader,
  start: number,
  probe: Extract<PodProbe, { kind: 'tcp' }>,
): Promise<Answer> {
  const wanted = Buffer.from(probe.firstBytes ?? '');
  let said = Buffer.alloc(0);
  try {
    while (said.length < wanted.length) {
      const { type, payload } = await nextFrame(reader);
      if (type === 1) said = Buffer.concat([said, payload]);
      else if (type === 3 || type === 4) throw new Error('the service hung up');
    }
    const firstByteMs = performance.now() - start;
    if (!said.subarray(0, wanted.length).equals(wanted))
      throw new Error(`it began with ${JSON.stringify(said.toString('latin1', 0, wanted.length))}`);
    return { status: 0, firstByteMs, bytes: said.length };
  } finally {
    socket.write(frame(4, Buffer.of(1)));
  }
}

async function nextFrame(reader: BoundedReader): Promise<{ type: number; payload: Buffer }> {
  const head = await reader.take(5);
  if (!head) throw new Error('the connection ended in the middle of the answer');
  return { type: head[0]!, payload: (await reader.take(head.readUInt32BE(1))) ?? Buffer.alloc(0) };
}

function u64(value: bigint): Buffer {
  const bytes = Buffer.alloc(8);
  bytes.writeBigUInt64BE(value);
  return bytes;
}

function frame(type: number, payload: Buffer): Buffer {
  const head = Buffer.alloc(5);
  head.writeUInt8(type, 0);
  head.writeUInt32BE(payload.length, 1);
  return Buffer.concat([head, payload]);
}
