import type { Socket } from 'node:net';
import { connect } from 'node:net';
import type { TLSSocket } from 'node:tls';
import { connect as tlsConnect } from 'node:tls';
import { afterEach, beforeAll, expect, it } from 'vitest';
import type { DoorLimitOptions } from '../../../core/runtime/door-limits.ts';
import { DoorLimits, defaultDoorLimits } from '../../../core/runtime/door-limits.ts';
import type { MoveError } from '../../../core/runtime/errors.ts';
import type { LinkServer } from '../../../core/runtime/link/link-server.ts';
import { listenLinks } from '../../../core/runtime/link/link-server.ts';
import type { LinkIdentity } from '../../../core/runtime/link/link-tls.ts';
import { connectLink } from '../../../core/runtime/link/link-tls.ts';
import type { TestAuthority } from '../../support/authority.ts';
import { createTestAuthority } from '../../support/authority.ts';

let authority: TestAuthority;
let client: LinkIdentity;
let host: LinkIdentity;
beforeAll(async () => {
  authority = await createTestAuthority();
  client = await authority.issue({ role: 'client', name: 'ada' });
  host = await authority.issue({ role: 'overlay', name: 'node-1' });
});

const open: (() => unknown)[] = [];
afterEach(async () => {
  for (const close of open.splice(0).reverse()) await close();
});

async function serve(
  options: { door?: Partial<DoorLimitOptions>; handshakeDeadlineMs?: number; maxLinksEach?: number } = {},
) {
  const refused: MoveError[] = [];
  const door = new DoorLimits({ ...defaultDoorLimits, ...options.door });
  const server = await listenLinks({
    host: '127.0.0.1',
    port: 0,
    identity: () => host,
    verifyPeer: () => undefined,
    onLink: () => undefined,
    onRefused: (error) => refused.push(error),
    door,
    handshakeDeadlineMs: options.handshakeDeadlineMs ?? 2000,
    ...(options.maxLinksEach === undefined ? {} : { maxLinksEach: options.maxLinksEach }),
  });
  open.push(() => server.close());
  return { server, door, refused };
}

/** A bare connection from one of loopback's addresses. */
async function knock(server: LinkServer, localAddress: string): Promise<Socket> {
  const socket = connect({ host: '127.0.0.1', port: server.port, localAddress });
  socket.on('error', () => undefined);
  socket.resume();
  open.push(() => socket.destroy());
  await new Promise<void>((resolve) => {
    socket.once('connect', resolve);
    socket.once('close', () => resolve());
  });
  return socket;
}

const link = async (server: LinkServer, localAddress = '127.0.0.1', identity = client) => {
  const made = await connectLink({
    transport: { host: '127.0.0.1', port: server.port, localAddress },
    identity,
    verifyPeer: () => undefined,
    deadlineMs: 3000,
  });
  open.push(() => made.close());
  return made;
};

const gone = (socket: Socket) =>
  new Promise<void>((resolve) => (socket.closed ? resolve() : socket.once('close', () => resolve())));
async function until(what: string, condition: () => boolean): Promise<void> {
  const deadline = performance.now() + 8000;
  while (!condition()) {
    if (performance.now() > deadline) throw new Error(`waited too long until ${what}`);
    await new Promise((resolve) => setTimeout(resolve, 5));
  }
}

it('gives a place back however a connection ends', async () => {
  const { server, door } = await serve({ handshakeDeadlineMs: 400 });
  const counts = () => [door.counts.pending, door.counts.established];
  const silent = await knock(server, '127.0.1.1');
  const hasty = await knock(server, '127.0.1.2');
  const garbage = await knock(server, '127.0.1.3');
  await until('all three are at the door', () => door.counts.pending === 3);
  hasty.destroy();
  garbage.write('GET / HTTP/1.1\r\n\r\n');
  // Ends at its deadline: it never says anything.
  await gone(silent);
  await until('nobody is at the door', () => door.counts.pending === 0);
  const first = await link(server);
  await until('a link is counted', () => String(counts()) === '0,1');
  first.close();
  await until('nothing is left', () => String(counts()) === '0,0');
  const stranger = tlsConnect({ host: '127.0.0.1', port: server.port, rejectUnauthorized: false });
  stranger.on('error', () => undefined);
  stranger.resume();
  await gone(stranger);
  await until('nothing is left again', () => String(counts()) === '0,0');
});

it('counts the deadline from the connection, not from each handshake', async () => {
  const { server } = await serve({ handshakeDeadlineMs: 500 });
  const raw = await knock(server, '127.0.1.1');
  const began = performance.now();
  await new Promise((resolve) => setTimeout(resolve, 300));
  const secure = tlsConnect({
    socket: raw,
    rejectUnauthorized: false,
    key: client.keyPem,
    cert: client.certificatePem,
    ALPNProtocols: ['move-link/1'],
  });
  secure.on('error', () => undefined);
  secure.resume();
  await gone(secure);
  expect(performance.now() - began).toBeLessThan(900);
});

it('resets whom it does not let in, tells of the first of them, and serves other addresses', async () => {
  const { server, door, refused } = await serve({
    door: { each: { perSecond: 5, burst: 10, pending: 4, established: 10 } },
  });
  const held = await Promise.all([1, 2, 3, 4].map(() => knock(server, '127.0.1.1')));
  await until('four wait', () => door.counts.pending === 4);
  for (let index = 0; index < 100; index += 1) {
    const socket = await knock(server, '127.0.1.1');
    await gone(socket);
  }
  expect(door.counts.pending).toBe(4);
  expect(held.every((socket) => !socket.destroyed)).toBe(true);
  expect(refused.length).toBeGreaterThanOrEqual(20);
  expect(refused.length).toBeLessThan(30);
  expect(new Set(refused.map(({ code }) => code))).toEqual(new Set(['TOO_MANY_UNFINISHED']));
  expect((await link(server, '127.0.1.2')).isOpen).toBe(true);
});

it('gives one certificate so many links and no more, from wherever it comes', async () => {
  const { server, refused } = await serve({ maxLinksEach: 2 });
  const first = await link(server, '127.0.1.1');
  await link(server, '127.0.1.2');
  const third = await link(server, '127.0.1.3');
  expect(await third.closed).toMatchObject({ code: 'TOO_MANY_LINKS', details: { limit: 2 } });
  expect(refused.map(({ code }) => code)).toEqual(['TOO_MANY_LINKS']);
  const other = await link(server, '127.0.1.1', await authority.issue({ role: 'client', name: 'bob' }));
  first.close();
  await until('one has gone', () => server.links.size === 2);
  const again = await link(server, '127.0.1.1');
  await until('it is taken', () => server.links.size === 3);
  expect([again.isOpen, other.isOpen]).toEqual([true, true]);
});

it('resumes no TLS session: every link proves its certificate anew', async () => {
  const { server } = await serve();
  const sessions: Buffer[] = [];
  const dial = async (session?: Buffer): Promise<TLSSocket> => {
    const socket = tlsConnect({
      host: '127.0.0.1',
      port: server.port,
      rejectUnauthorized: false,
      key: client.keyPem,
      cert: client.certificatePem,
      ALPNProtocols: ['move-link/1'],
      ...(session ? { session } : {}),
    });
    socket.on('error', () => undefined);
    socket.on('session', (each: Buffer) => sessions.push(each));
    open.push(() => socket.destroy());
    // The greeting comes after the tickets.
    await new Promise((resolve) => socket.once('data', resolve));
    return socket;
  };
  await dial();
  for (const session of sessions) expect((await dial(session)).isSessionReused()).toBe(false);
  expect((await dial()).isSessionReused()).toBe(false);
});
