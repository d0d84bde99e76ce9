import { createHash, randomBytes } from 'node:crypto';
import { connect, createServer, type Server, type Socket } from 'node:net';
import { afterEach, beforeAll, expect, it } from 'vitest';
import { MoveError } from '../../../core/runtime/errors.ts';
import { dialLastingWay } from '../../../core/runtime/link/lasting-dial.ts';
import { decodeOpening, encodeOpening } from '../../../core/runtime/link/lasting-opening.ts';
import { type LastingServer, listenLasting } from '../../../core/runtime/link/lasting-server.ts';
import type { LastingWay } from '../../../core/runtime/link/lasting-way.ts';
import type { IncomingStream } from '../../../core/runtime/link/link.ts';
import { connectLink, type LinkIdentity } from '../../../core/runtime/link/link-tls.ts';
import { createTestAuthority } from '../../support/authority.ts';

let client: LinkIdentity;
let host: LinkIdentity;
beforeAll(async () => {
  const authority = await createTestAuthority();
  client = await authority.issue({ role: 'site', name: 'a1' });
  host = await authority.issue({ role: 'site', name: 'b1' });
});

const open: (() => unknown)[] = [];
afterEach(async () => {
  for (const close of open.splice(0).reverse()) await close();
});

/** A relay between both ends whose connections can be cut, or refused. */
async function relayTo(port: number): Promise<{ port: number; cut(): void; refuse: boolean }> {
  const sockets = new Set<Socket>();
  const relay = {
    port: 0,
    refuse: false,
    cut: () => [...sockets].forEach((socket) => void socket.destroy()),
  };
  const server: Server = createServer((near) => {
    if (relay.refuse) {
      near.destroy();
      return;
    }
    const far = connect({ host: '127.0.0.1', port, noDelay: true });
    for (const socket of [near, far]) {
      sockets.add(socket);
      socket.on('error', () => undefined);
      socket.once('close', () => {
        sockets.delete(socket);
        near.destroy();
        far.destroy();
      });
    }
    near.pipe(far).pipe(near);
  });
  await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve));
  relay.port = (server.address() as { port: number }).port;
  open.push(() => {
    relay.cut();
    server.close();
  });
  return relay;
}

async function serve(
  onStream: (incoming: IncomingStream) => void,
  giveUpMs = 5_000,
): Promise<LastingServer & { refused: MoveError[]; ways: LastingWay[] }> {
  const refused: MoveError[] = [];
  const ways: LastingWay[] = [];
  const server = await listenLasting({
    host: '127.0.0.1',
    port: 0,
    identity: () => host,
    verifyPeer: () => undefined,
    handlers: { onStream },
    onLink: (_link, way) => void ways.push(way),
    onRefused: (error) => void refused.push(error),
    giveUpMs,
  });
  open.push(() => server.close());
  return Object.assign(server, { refused, ways });
}

async function dialThrough(relay: { port: number }, giveUpMs = 5_000) {
  const way = await dialLastingWay({
    giveUpMs,
    dial: () =>
      new Promise((resolve, reject) => {
        const socket = connect({ host: '127.0.0.1', port: relay.port, noDelay: true }, () => resolve(socket));
        socket.once('error', reject);
      }),
  });
  const link = await connectLink({
    transport: way,
    identity: client,
    verifyPeer: () => undefined,
    deadlineMs: 5_000,
    limits: { missedPings: 30 },
  });
  open.push(() => link.close());
  return { way, link };
}

const until = async (what: () => boolean) => {
  for (const end = performance.now() + 5_000; !what(); ) {
    if (performance.now() > end) throw new Error('it did not come about in time');
    await new Promise((resolve) => setTimeout(resolve, 5));
  }
};

it('carries every byte both ways, in order, while its connection is cut again and again', async () => {
  const echoed = createHash('sha256');
  const server = await serve(({ accept }) => {
    const stream = accept();
    stream.on('data', (chunk: Buffer) => echoed.update(chunk));
    stream.pipe(stream);
  });
  const relay = await relayTo(server.port);
  const { way, link } = await dialThrough(relay);
  const stream = await link.openStream({}, { deadlineMs: 2_000 });
  const sent = createHash('sha256');
  const back = createHash('sha256');
  let bytes = 0;
  let cuts = 0;
  const total = 8 << 20;
  stream.on('data', (chunk: Buffer) => {
    back.update(chunk);
    bytes += chunk.length;
    if (bytes > (cuts + 1) * (1 << 20) && cuts < 5) {
      cuts += 1;
      relay.cut();
    }
  });
  const ended = new Promise((resolve) => stream.once('end', resolve));
  for (let written = 0; written < total; written += 1 << 20) {
    const block = randomBytes(1 << 20);
    sent.update(block);
    if (!stream.write(block)) await new Promise((resolve) => stream.once('drain', resolve));
  }
  stream.end();
  await ended;
  const wanted = sent.digest('hex');
  expect([echoed.digest('hex'), back.digest('hex'), bytes]).toEqual([wanted, wanted, total]);
  expect(cuts).toBe(5);
  expect(way.resumptions).toBe(5);
  expect(way.longestGapMs).toBeLessThan(5_000);
  expect(link.isOpen).toBe(true);
}, 30_000);

it('goes on after a while without any connection', async () => {
  const server = await serve(({ accept }) => {
    const stream = accept();
    stream.pipe(stream);
  });
  const relay = await relayTo(server.port);
  const { link, way } = await dialThrough(relay);
  const stream = await link.openStream({}, { deadlineMs: 2_000 });
  relay.refuse = true;
  relay.cut();
  await until(() => !way.isCarried);
  let answer = '';
  stream.on('data', (chunk: Buffer) => {
    answer += chunk.toString();
  });
  stream.write('said meanwhile');
  await new Promise((resolve) => setTimeout(resolve, 300));
  expect(answer).toBe('');
  relay.refuse = false;
  await until(() => answer === 'said meanwhile');
  expect(way.longestGapMs).toBeGreaterThan(250);
});

it('ends at both ends when it stays without one', async () => {
  const server = await serve(() => undefined, 600);
  const relay = await relayTo(server.port);
  const { link } = await dialThrough(relay, 600);
  await until(() => server.links.size === 1);
  relay.refuse = true;
  relay.cut();
  expect(await link.closed).toBeInstanceOf(MoveError);
  await until(() => server.links.size === 0);
});

it('ends at the other end at once when a link on it is closed', async () => {
  const server = await serve(() => undefined);
  const relay = await relayTo(server.port);
  const { link } = await dialThrough(relay);
  await until(() => server.links.size === 1);
  link.close();
  await until(() => server.links.size === 0);
});

it('that nobody knows is not resumed, and what is no opening is hung up on', async () => {
  const server = await serve(() => undefined);
  const say = async (bytes: Buffer) => {
    const socket = connect({ host: '127.0.0.1', port: server.port });
    socket.on('error', () => undefined);
    const heard: Buffer[] = [];
    socket.on('data', (chunk: Buffer) => heard.push(chunk));
    socket.write(bytes);
    await new Promise((resolve) => socket.once('close', resolve));
    return Buffer.concat(heard)[0];
  };
  const token = randomBytes(16);
  expect(await say(encodeOpening({ token, received: 9, isFirst: false }))).toBe(0);
  expect(await say(Buffer.alloc(29, 'x'))).toBe(undefined);
  expect(server.links.size).toBe(0);
});

it('has an opening that reads back as it was written', () => {
  const token = randomBytes(16);
  expect(decodeOpening(encodeOpening({ token, received: 2 ** 40, isFirst: true }))).toEqual({
    token,
    received: 2 ** 40,
    isFirst: true,
  });
  expect(decodeOpening(Buffer.alloc(28))).toBe(undefined);
});
