import { spawn } from 'node:child_process';
import { createHash, randomBytes } from 'node:crypto';
import { once } from 'node:events';
import { existsSync, readdirSync, readFileSync, writeFileSync } from 'node:fs';
import { createServer, type Server, type Socket } from 'node:net';
import { join } from 'node:path';
import { afterAll, afterEach, beforeAll, beforeEach, describe, expect, it } from 'vitest';
import { controlGateway, probeThroughGateway, sessionHeader } from '../../../core/pods/gateway-client.ts';
import { seededRandom } from '../../../core/runtime/random.ts';
import {
  buildNative,
  buildSanitizedGateway,
  gatewayObstacle,
  makeDirectory,
  type RunningGateway,
  removeDirectory,
  runGateway,
  serviceAddress,
  sourceAddress,
} from './gateway-fixture.ts';
import { dial, frame, SessionClient, SessionRefused, u64 } from './session-client.ts';

const obstacle = gatewayObstacle();
/** What compilers may take, on a machine that is busy besides. */
const buildLimitMs = 120_000;

describe.skipIf(obstacle)(`gateway: the session protocol${obstacle ? ` (skipped: ${obstacle})` : ''}`, () => {
  let directory: string;
  let gatewayPath: string;
  let gateway: RunningGateway;
  let server: Server;
  let port: number;
  let serve: (socket: Socket) => void;
  const connections = new Set<Socket>();

  beforeAll(() => {
    directory = makeDirectory();
    gatewayPath = buildNative(directory).gatewayPath;
  }, buildLimitMs);
  afterAll(() => removeDirectory(directory));
  beforeEach(async () => {
    serve = (socket) => socket.pipe(socket);
    server = createServer({ allowHalfOpen: true }, (socket) => {
      connections.add(socket);
      socket.on('error', () => undefined);
      socket.on('close', () => connections.delete(socket));
      serve(socket);
    });
    server.listen(0, serviceAddress);
    await once(server, 'listening');
    port = (server.address() as { port: number }).port;
    gateway = await runGateway(gatewayPath, directory, ['sleep', '300']);
  });
  afterEach(() => {
    gateway.stop();
    for (const socket of connections) socket.destroy();
    server.close();
  });

  const client = (to = port) => new SessionClient(() => dial(gateway.path), to);
  const stats = async () => controlGateway(await dial(gateway.path), 'stats', 2000);
  const control = async (command: 'pause' | 'resume') =>
    controlGateway(await dial(gateway.path), command, 2000);
  const untilStats = async (right: (now: Awaited<ReturnType<typeof stats>>) => boolean) => {
    const deadline = performance.now() + 5000;
    for (;;) {
      const now = await stats();
      if (right(now)) return now;
      if (performance.now() > deadline)
        throw new Error(`never: ${right.toString()}, last ${JSON.stringify(now)}`);
      await new Promise((resolve) => setTimeout(resolve, 10));
    }
  };

  it('carries bytes both ways, from the source address, and ends when both sides have ended', async () => {
    let from: string | undefined;
    serve = (socket) => {
      from = socket.remoteAddress;
      socket.pipe(socket);
    };
    const session = client();
    const heard: Buffer[] = [];
    session.onData = (chunk) => heard.push(chunk);
    await session.open();
    session.write('hello');
    session.end();
    await session.until(() => session.remoteEnded && session.finAcknowledged);
    expect(Buffer.concat(heard).toString()).toBe('hello');
    expect(from).toBe(sourceAddress);
    const now = await untilStats((seen) => seen.sessions === 0);
    expect(now).toMatchObject({
      ok: true,
      paused: false,
      opened: 1,
      upBytes: 5,
      downBytes: 5,
      bufferedBytes: 0,
    });
  });

  it('loses and doubles nothing over many broken streams, in both directions at once', async () => {
    const bytes = randomBytes(6 << 20);
    const session = client();
    const hash = createHash('sha256');
    session.onData = (chunk) => hash.update(chunk);
    await session.open();
    session.write(bytes);
    session.end();
    for (let cut = 1; cut <= 12; cut++) {
      await session.until(() => session.received >= cut * 400_000);
      session.detach();
      await session.resume();
    }
    await session.until(() => session.remoteEnded && session.finAcknowledged, 15_000);
    expect(session.received).toBe(bytes.length);
    expect(hash.digest('hex')).toBe(createHash('sha256').update(bytes).digest('hex'));
    await untilStats((now) => now.sessions === 0);
  });

  it('never has more than the window unacknowledged towards a silent client, and goes on afterwards', async () => {
    const size = 1 << 20;
    serve = (socket) => {
      socket.end(Buffer.alloc(size, 7));
    };
    const session = client();
    session.silent = true;
    await session.open();
    await session.until(() => session.received === 262144);
    await new Promise((resolve) => setTimeout(resolve, 100));
    expect(session.received).toBe(262144);
    expect((await stats()).bufferedBytes).toBe(262144);
    session.silent = false;
    session.acknowledge();
    await session.until(() => session.remoteEnded);
    expect(session.received).toBe(size);
  });

  it('holds a client back when the service does not read', async () => {
    let held: Socket | undefined;
    serve = (socket) => {
      held = socket.pause();
    };
    const session = client();
    await session.open();
    session.write(Buffer.alloc(24 << 20));
    await session.until(() => session.unacknowledgedBytes === 262144);
    await untilStats((now) => now.bufferedBytes > 0);
    let got = 0;
    held!.on('data', (chunk: Buffer) => {
      got += chunk.length;
    });
    held!.resume();
    await session.until(() => session.acknowledgedByPeer === 24 << 20, 15_000);
    // Acknowledged bytes are in the kernel's buffer of the service, which may not have read the last of them yet.
    await expect.poll(() => got, { timeout: 5000 }).toBe(24 << 20);
  });

  it('gives its rings back when they are empty', async () => {
    const session = client();
    await session.open();
    session.write(Buffer.alloc(500_000));
    await session.until(() => session.received === 500_000);
    expect((await untilStats((now) => now.bufferedBytes === 0)).sessions).toBe(1);
  });

  it('refuses what it must: an unknown session, a closed port, more downstream bytes than it ever sent', async () => {
    await expect(client().resume()).rejects.toMatchObject({ status: 1 });
    const silent = createServer();
    silent.listen(0, serviceAddress);
    await once(silent, 'listening');
    const closed = (silent.address() as { port: number }).port;
    await new Promise((resolve) => silent.close(resolve));
    await expect(client(closed).open()).rejects.toMatchObject({ status: 2 });
    const liar = client();
    await liar.open();
    liar.received = 999;
    await expect(liar.resume()).rejects.toBeInstanceOf(SessionRefused);
  });

  it('passes a reset of the service on, after what the service had said', async () => {
    serve = (socket) => {
      socket.write('last words', () => setTimeout(() => socket.resetAndDestroy(), 20));
    };
    const session = client();
    await session.open();
    await session.until(() => session.reset !== undefined);
    expect(session.reset).toBe(1);
    expect(session.received).toBe(10);
    await untilStats((now) => now.sessions === 0);
  });

  it('takes a client’s RESET to the service', async () => {
    let failed: NodeJS.ErrnoException | undefined;
    serve = (socket) => {
      socket.on('error', (error) => {
        failed = error;
      });
      socket.resume();
    };
    const session = client();
    await session.open();
    await untilStats((now) => now.sessions === 1);
    session.socket!.write(frame(4, Buffer.from([5])));
    await session.until(() => session.streamClosed);
    await untilStats((now) => now.sessions === 0);
    await expect.poll(() => failed?.code, { timeout: 5000 }).toBe('ECONNRESET');
  });

  it('replaces an attached stream by a newer one', async () => {
    const session = client();
    await session.open();
    session.write('one');
    await session.until(() => session.received === 3);
    const old = session.socket!;
    const ended = once(old, 'close');
    session.socket = undefined;
    await session.resume();
    await ended;
    session.write('two');
    await session.until(() => session.received === 6);
    expect(await stats()).toMatchObject({ sessions: 1, attached: 1 });
  });

  it('pauses: closes every stream, answers 3, keeps the sessions, and resumes them', async () => {
    const session = client();
    await session.open();
    session.write('before');
    await session.until(() => session.received === 6);
    expect(await control('pause')).toMatchObject({
      ok: true,
      paused: true,
      sessions: 1,
      attached: 0,
      waiting: 0,
    });
    await session.until(() => session.streamClosed);
    await expect(session.resume()).rejects.toMatchObject({ status: 3 });
    await expect(client().open()).rejects.toMatchObject({ status: 3 });
    await control('resume');
    await session.resume();
    session.write('after');
    await session.until(() => session.received === 11);
  });

  it('connects a session anew on which nothing was said before a pause, and only such a one', async () => {
    const silent = client();
    const talking = client();
    await Promise.all([silent.open(), talking.open()]);
    talking.write('one');
    await talking.until(() => talking.received === 3);
    await expect.poll(() => connections.size, { timeout: 5000 }).toBe(2);
    const before = [...connections].map((socket) => socket.remotePort);
    // As a restore leaves it: the service's end of what it had not accepted is nowhere.
    await control('pause');
    await control('resume');
    await Promise.all([silent.resume(), talking.resume()]);
    silent.write('two');
    talking.write('three');
    await silent.until(() => silent.received === 3);
    await talking.until(() => talking.received === 8);
    const kept = () =>
      [...connections].filter((socket) => before.includes(socket.remotePort) && !socket.readableEnded);
    await expect.poll(() => kept().length, { timeout: 5000 }).toBe(1);
    expect([...connections].some((socket) => !before.includes(socket.remotePort))).toBe(true);
  });

  it('waits at a pause for connections that the service has not accepted yet, but not for ever', async () => {
    const script = `require('net').createServer((s) => s.pipe(s)).listen(0, '${serviceAddress}', function () {
      console.log(this.address().port); })`;
    const service = spawn(process.execPath, ['-e', script], { stdio: ['ignore', 'pipe', 'ignore'] });
    try {
      const [line] = await once(service.stdout, 'data');
      service.kill('SIGSTOP');
      const session = client(Number(String(line)));
      await session.open();
      expect(await control('pause')).toMatchObject({ waiting: 1, sessions: 1 });
      service.kill('SIGCONT');
      await expect.poll(() => control('pause'), { timeout: 5000 }).toMatchObject({ waiting: 0, sessions: 1 });
    } finally {
      service.kill('SIGKILL');
    }
  });

  it('says the last word again to a client that missed it', async () => {
    const session = client();
    await session.open();
    session.write('x');
    session.end();
    await session.until(() => session.remoteEnded && session.finAcknowledged);
    await untilStats((now) => now.sessions === 0);
    session.finAcknowledged = false;
    await session.resume();
    await session.until(() => session.finAcknowledged);
  });

  it('bounds its sessions at 1024 and stays alive', async () => {
    const many: SessionClient[] = [];
    for (let i = 0; i < 1024; i++) many.push(client());
    for (let i = 0; i < many.length; i += 64)
      await Promise.all(many.slice(i, i + 64).map((one) => one.open()));
    await expect(client().open()).rejects.toMatchObject({ status: 4 });
    many[7]!.write('still here');
    await many[7]!.until(() => many[7]!.received === 10);
    for (const one of many) one.detach();
  });

  it('answers a broken protocol with RESET 4 and touches no other session', async () => {
    const bystander = client();
    await bystander.open();
    for (const bad of [
      frame(9),
      Buffer.from([1, 0xff, 0xff, 0xff, 0xff]),
      frame(2, u64(5)),
      frame(3, u64(77)),
      frame(5),
      frame(2, Buffer.alloc(3)),
    ]) {
      const session = client();
      await session.open();
      session.socket!.write(bad);
      await session.until(() => session.streamClosed);
      expect(session.reset).toBe(4);
    }
    bystander.write('fine');
    await bystander.until(() => bystander.received === 4);
  });

  it('survives garbage of every kind, with every access to memory checked (seed 20261122)', {
    timeout: buildLimitMs,
  }, async () => {
    gateway.stop();
    gateway = await runGateway(buildSanitizedGateway(directory), directory, ['sleep', '300']);
    const random = seededRandom(20261122);
    const known: Buffer[] = [random.bytes(16)];
    /** A frame of some type, as long as it says or not, with a small or an impossible offset. */
    const someFrame = () => {
      const payload = random.below(2) === 0 ? u64(random.below(400)) : random.bytes(random.below(60));
      const whole = frame(random.below(7), payload);
      if (random.below(8) === 0) whole.writeUInt32BE(random.below(300_000), 1);
      return whole;
    };
    for (let round = 0; round < 1_500; round++) {
      const socket = await dial(gateway.path);
      socket.on('error', () => undefined);
      const id = random.below(3) === 0 ? random.bytes(16) : known[random.below(known.length)]!;
      if (known.length < 20) known.push(id);
      const kind = [1, 2, 2, 9][random.below(4)] as 1 | 2 | 9;
      const header = sessionHeader(kind, id, port, BigInt(kind === 1 ? 0 : random.below(200)));
      const noise = random.bytes(random.below(3000));
      const frames = Array.from({ length: random.below(6) }, someFrame);
      const said = Buffer.concat(random.below(8) === 0 ? [noise] : [header, ...frames]);
      // In two pieces, so that a frame is cut somewhere.
      const cut = random.below(said.length + 1);
      socket.write(said.subarray(0, cut));
      socket.write(said.subarray(cut));
      if (random.below(2) === 0) socket.destroy();
      else setTimeout(() => socket.destroy(), random.below(10));
    }
    expect((await stats()).ok).toBe(true);
    expect(gateway.child.exitCode).toBeNull();
    const session = client();
    await session.open();
    session.write('alive');
    await session.until(() => session.received === 5);
  });

  it('probes a service by its status, where one is asked for', async () => {
    serve = (socket) => {
      socket.once('data', () => socket.end('HTTP/1.1 404 Not Found\r\n\r\n'));
    };
    const probe = async (status: number) =>
      probeThroughGateway(await dial(gateway.path), {
        host: 'shop.example',
        probe: { kind: 'http', port, path: '/', status },
        deadlineMs: 2000,
      });
    await expect(probe(404)).resolves.toMatchObject({ status: 404 });
    await expect(probe(200)).rejects.toMatchObject({ details: { reason: 'status 404, not 200' } });
  });

  it('probes a service by what it says first, and lets go of it', async () => {
    const probe = async (firstBytes?: string, at = port) =>
      probeThroughGateway(await dial(gateway.path), {
        host: 'desktop.example',
        probe: { kind: 'tcp', port: at, firstBytes },
        deadlineMs: 1000,
      });
    serve = (socket) => socket.write('RFB 003.008\n');
    await expect(probe('RFB 003.')).resolves.toMatchObject({ status: 0 });
    await expect(probe('SSH-2.0-')).rejects.toMatchObject({ code: 'POD_PROBE_FAILED' });
    await expect(probe()).resolves.toMatchObject({ status: 0 });
    await expect(probe('RFB', 1)).rejects.toMatchObject({ details: { reason: 'connection refused' } });
    serve = (socket) => socket.end('RF');
    await expect(probe('RFB')).rejects.toMatchObject({ details: { reason: 'the service hung up' } });
    await expect.poll(async () => (await stats()).sessions, { timeout: 3000 }).toBe(0);
  });

  it('probes a service by one request', async () => {
    serve = (socket) => {
      socket.once('data', () => socket.end('HTTP/1.1 204 No Content\r\n\r\n'));
    };
    const probe = async () =>
      probeThroughGateway(await dial(gateway.path), {
        host: 'shop.example',
        probe: { kind: 'http', port, path: '/' },
        deadlineMs: 2000,
      });
    await expect(probe()).resolves.toMatchObject({ status: 204 });
    serve = (socket) => {
      socket.once('data', () => socket.end('HTTP/1.1 503 Busy\r\n\r\n'));
    };
    await expect(probe()).rejects.toMatchObject({ code: 'POD_PROBE_FAILED' });
    serve = (socket) => {
      socket.resume();
    };
    const late = probeThroughGateway(await dial(gateway.path), {
      host: 'x',
      probe: { kind: 'http', port, path: '/' },
      deadlineMs: 150,
    });
    await expect(late).rejects.toMatchObject({ code: 'POD_PROBE_FAILED' });
  });

  it('ends with the service, with its status, and passes SIGTERM on', async () => {
    const told = join(directory, 'told-to-end');
    const script7 = `while [ ! -e ${told} ]; do sleep 0.02; done; exit 7`;
    const failing = await runGateway(gatewayPath, directory, ['sh', '-c', script7]);
    const failed = once(failing.child, 'exit');
    writeFileSync(told, '');
    expect((await failed)[0]).toBe(7);
    const ready = join(directory, 'trap-is-set');
    const script = `trap "exit 3" TERM; : > ${ready}; while :; do sleep 0.05; done`;
    const polite = await runGateway(gatewayPath, directory, ['sh', '-c', script]);
    const deadline = performance.now() + 5000;
    while (!existsSync(ready) && performance.now() < deadline)
      await new Promise((wake) => setTimeout(wake, 5));
    const ended = once(polite.child, 'exit');
    polite.child.kill('SIGTERM');
    expect((await ended)[0]).toBe(3);
  });

  it('gives the service no descriptor of its own', async () => {
    const other = await runGateway(gatewayPath, directory, ['sleep', '30']);
    const service = () =>
      readFileSync(`/proc/${other.child.pid}/task/${other.child.pid}/children`, 'latin1').trim();
    const deadline = performance.now() + 5000;
    while (service() === '' || readFileSync(`/proc/${service()}/comm`, 'latin1') !== 'sleep\n') {
      if (performance.now() > deadline) throw new Error('the service did not start');
      await new Promise((resolve) => setTimeout(resolve, 5));
    }
    const pid = service();
    expect(readdirSync(`/proc/${pid}/fd`).sort()).toEqual(['0', '1', '2']);
    other.stop();
  });
});
