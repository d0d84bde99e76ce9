import type { AddressInfo, Server } from 'node:net';
import { connect, createServer } from 'node:net';
import type { Duplex } from 'node:stream';
import { duplexPair } from 'node:stream';
import { connect as tlsConnect } from 'node:tls';
import { afterEach, beforeAll, describe, expect, it } from 'vitest';
import { MoveError } from '../../core/runtime/errors.ts';
import { frameHeader, frameType, jsonFrame } from '../../core/runtime/link/frames.ts';
import type { Link, LinkHandlers, LinkLimits } from '../../core/runtime/link/link.ts';
import { listenLinks } from '../../core/runtime/link/link-server.ts';
import type { LinkIdentity } from '../../core/runtime/link/link-tls.ts';
import { acceptLink, connectLink } from '../../core/runtime/link/link-tls.ts';
import type { TestAuthority } from '../support/authority.ts';
import { createTestAuthority } from '../support/authority.ts';

let authority: TestAuthority;
let near: LinkIdentity;
let far: LinkIdentity;
beforeAll(async () => {
  authority = await createTestAuthority();
  near = await authority.issue({ role: 'client', name: 'near' });
  far = await authority.issue({ role: 'overlay', name: 'far' });
});

const open: (() => unknown)[] = [];
afterEach(async () => {
  for (const close of open.splice(0).reverse()) await close();
});

interface Pair {
  client: Link;
  server: Link;
}

interface PairOptions {
  handlers?: LinkHandlers;
  limits?: Partial<LinkLimits>;
  verifyPeer?: () => void;
}

/** The two transports that links run over; every promise must hold on both. */
const transports: Record<string, (options: PairOptions) => Promise<Pair>> = {
  async tcp(options) {
    const accepted = Promise.withResolvers<Link>();
    const server = await listenLinks({
      host: '127.0.0.1',
      port: 0,
      identity: () => far,
      verifyPeer: options.verifyPeer ?? (() => undefined),
      onLink: accepted.resolve,
      ...(options.handlers ? { handlers: options.handlers } : {}),
      ...(options.limits ? { limits: options.limits } : {}),
    });
    open.push(() => server.close());
    const client = await connectLink({
      transport: { host: '127.0.0.1', port: server.port },
      identity: near,
      verifyPeer: () => undefined,
      deadlineMs: 3000,
    });
    open.push(() => client.close());
    return { client, server: await accepted.promise };
  },
  async duplex(options) {
    const [left, right] = duplexPair();
    const [client, server] = await Promise.all([
      connectLink({ transport: left, identity: near, verifyPeer: () => undefined, deadlineMs: 3000 }),
      acceptLink(right, {
        identity: far,
        verifyPeer: options.verifyPeer ?? (() => undefined),
        deadlineMs: 3000,
        ...(options.handlers ? { handlers: options.handlers } : {}),
        ...(options.limits ? { limits: options.limits } : {}),
      }),
    ]);
    open.push(() => client.close());
    return { client, server };
  },
};

const echo: LinkHandlers = { onStream: (incoming) => void incoming.stream.pipe(incoming.accept()) };

function collect(stream: Duplex): Promise<Buffer> {
  const parts: Buffer[] = [];
  return new Promise((resolve, reject) => {
    stream.on('data', (part: Buffer) => parts.push(part));
    stream.on('end', () => resolve(Buffer.concat(parts)));
    stream.on('error', reject);
  });
}

const turns = async (count: number) => {
  for (let index = 0; index < count; index += 1) await new Promise((resolve) => setImmediate(resolve));
};

for (const [name, pair] of Object.entries(transports)) {
  describe(`a link over ${name}`, () => {
    it('carries many streams at once, with half-close', async () => {
      const { client, server } = await pair({ handlers: echo });
      const sizes = [0, 1, 16_375, 16_376, 16_377, 262_144, 262_145, 1_500_000];
      await Promise.all(
        sizes.map(async (size) => {
          const stream = await client.openStream({ kind: 'echo', size }, { deadlineMs: 2000 });
          const sent = Buffer.alloc(size, size % 251);
          const answer = collect(stream);
          stream.end(sent);
          expect((await answer).equals(sent)).toBe(true);
        }),
      );
      await turns(5);
      expect(client.streamCount).toBe(0);
      expect(server.streamCount).toBe(0);
    });

    it('tells a refusal and a reset with code, message and details', async () => {
      const { client } = await pair({
        handlers: {
          onStream(incoming) {
            const { refuse } = Object(incoming.header) as { refuse: boolean };
            const error = new MoveError('SCOPE_DENIED', 'Not yours.', { service: 'x' });
            if (refuse) incoming.refuse(error);
            else incoming.accept().reset(error);
          },
        },
      });
      const expected = { code: 'SCOPE_DENIED', message: 'Not yours.', details: { service: 'x' } };
      await expect(client.openStream({ refuse: true }, { deadlineMs: 2000 })).rejects.toMatchObject(expected);
      const stream = client.openStreamNow({ refuse: false });
      const failed = new Promise((resolve) => stream.once('error', resolve));
      expect(await failed).toMatchObject(expected);
    });

    it('holds at most a window for a reader that does not read, and serves the others', async () => {
      let stuck: Duplex | undefined;
      const { client } = await pair({
        handlers: {
          onStream(incoming, link) {
            const { slow } = Object(incoming.header) as { slow?: boolean };
            if (slow) stuck = incoming.accept();
            else echo.onStream?.(incoming, link);
          },
        },
      });
      const slow = await client.openStream({ slow: true }, { deadlineMs: 2000 });
      let taken = 0;
      for (let index = 0; index < 64; index += 1) {
        slow.write(Buffer.alloc(65_536), () => {
          taken += 65_536;
        });
      }
      const other = await client.openStream({}, { deadlineMs: 2000 });
      const answer = collect(other);
      other.end(Buffer.alloc(2 << 20));
      expect((await answer).length).toBe(2 << 20);
      expect(taken).toBeLessThanOrEqual(262_144);
      stuck?.resume();
      await new Promise<void>((resolve) => slow.end(resolve));
      expect(taken).toBe(64 * 65_536);
    });

    it('answers calls, passes their errors and keeps deadlines', async () => {
      const notices: unknown[] = [];
      const { client } = await pair({
        handlers: {
          onNotify: (method, params) => notices.push({ method, params }),
          onCall(method, params) {
            if (method === 'fail') throw new MoveError('NO_SUCH_THING', 'There is none.');
            if (method === 'never') return new Promise(() => undefined);
            return { method, params };
          },
        },
      });
      client.notify('hint', { a: 1 });
      expect(await client.call('ask', [1, 'two'], { deadlineMs: 2000 })).toEqual({
        method: 'ask',
        params: [1, 'two'],
      });
      expect(notices).toEqual([{ method: 'hint', params: { a: 1 } }]);
      await expect(client.call('fail', {}, { deadlineMs: 2000 })).rejects.toMatchObject({
        code: 'NO_SUCH_THING',
      });
      await expect(client.call('never', {}, { deadlineMs: 20 })).rejects.toMatchObject({
        code: 'DEADLINE_EXCEEDED',
      });
      const pending = client.call('never', {}, { deadlineMs: 5000 });
      client.close();
      await expect(pending).rejects.toMatchObject({ code: 'LINK_CLOSED' });
      await expect(client.call('ask', {}, { deadlineMs: 10 })).rejects.toMatchObject({ code: 'LINK_CLOSED' });
    });

    it('limits the streams of a peer', async () => {
      const { client } = await pair({
        handlers: { onStream: (incoming) => void incoming.accept() },
        limits: { maxStreams: 2 },
      });
      const first = await client.openStream({}, { deadlineMs: 2000 });
      await client.openStream({}, { deadlineMs: 2000 });
      await expect(client.openStream({}, { deadlineMs: 2000 })).rejects.toMatchObject({
        code: 'TOO_MANY_STREAMS',
      });
      first.destroy();
      await turns(3);
      await client.openStream({}, { deadlineMs: 2000 });
    });

    it('tells of errors that are about giant messages in short ones', async () => {
      const giant = 'x'.repeat(200_000);
      const { client } = await pair({
        handlers: {
          onStream: (incoming) =>
            incoming.refuse(
              new MoveError('HEADER_INVALID', `Not ${giant}${giant}.`, { giant, again: giant }),
            ),
          onCall: (method) => {
            throw new MoveError('METHOD_UNKNOWN', `No ${method}${method}.`, { method, again: method });
          },
        },
      });
      const refused = await client.openStream({}, { deadlineMs: 2000 }).catch((error: MoveError) => error);
      expect(refused).toMatchObject({ code: 'HEADER_INVALID', details: {} });
      const failed = await client.call(giant, null, { deadlineMs: 2000 }).catch((error: MoveError) => error);
      expect(failed).toMatchObject({ code: 'METHOD_UNKNOWN', details: {} });
      expect(client.isOpen).toBe(true);
      client.openStreamNow({ giant });
      expect(await client.closed).toMatchObject({ code: 'LINK_PROTOCOL' });
    });

    it('gives up waiting for acceptance by deadline and by signal', async () => {
      const { client } = await pair({ handlers: { onStream: () => undefined } });
      await expect(client.openStream({}, { deadlineMs: 20 })).rejects.toMatchObject({
        code: 'DEADLINE_EXCEEDED',
      });
      const cancel = new AbortController();
      const opening = client.openStream({}, { deadlineMs: 5000, signal: cancel.signal });
      cancel.abort();
      await expect(opening).rejects.toMatchObject({ code: 'CANCELLED' });
      expect(client.streamCount).toBe(0);
    });

    it('is cut, streams and all, when a recheck objects', async () => {
      let revoked = false;
      const { client, server } = await pair({
        handlers: echo,
        verifyPeer() {
          if (revoked) throw new MoveError('CERTIFICATE_REVOKED', 'Revoked.');
        },
      });
      const stream = await client.openStream({}, { deadlineMs: 2000 });
      expect(server.recheck()).toBeUndefined();
      revoked = true;
      const failed = new Promise((resolve) => stream.once('error', resolve));
      expect(server.recheck()).toMatchObject({ code: 'CERTIFICATE_REVOKED' });
      expect(await failed).toMatchObject({ code: 'CERTIFICATE_REVOKED' });
      expect(await client.closed).toMatchObject({ code: 'CERTIFICATE_REVOKED' });
      expect(() => client.openStreamNow({})).toThrow(expect.objectContaining({ code: 'LINK_CLOSED' }));
    });
  });
}

/** A TCP relay whose bytes can be made to vanish, both ways, without closing anything. */
async function relay(port: number): Promise<{ port: number; hush(): void }> {
  let silent = false;
  const server: Server = createServer((left) => {
    const right = connect({ port, host: '127.0.0.1' });
    for (const [from, to] of [
      [left, right],
      [right, left],
    ] as const) {
      from.on('data', (part: Buffer) => silent || to.write(part));
      from.on('error', () => to.destroy());
      from.on('close', () => to.destroy());
    }
    open.push(() => left.destroy());
  });
  await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve));
  open.push(() => server.close());
  return {
    port: (server.address() as AddressInfo).port,
    hush() {
      silent = true;
    },
  };
}

describe('links and strangers', () => {
  const serve = async (
    options: { verifyPeer?: () => void; refused?: MoveError[]; handlers?: LinkHandlers } = {},
  ) => {
    const server = await listenLinks({
      host: '127.0.0.1',
      port: 0,
      identity: () => far,
      verifyPeer: options.verifyPeer ?? (() => undefined),
      onLink: () => undefined,
      onRefused: (error) => options.refused?.push(error),
      handshakeDeadlineMs: 300,
      ...(options.handlers ? { handlers: options.handlers } : {}),
    });
    open.push(() => server.close());
    return server;
  };

  it('gives somebody without a certificate one sentence and no stream', async () => {
    const refused: MoveError[] = [];
    let asked = 0;
    const server = await serve({
      refused,
      handlers: {
        onStream: () => {
          asked += 1;
        },
      },
    });
    const socket = tlsConnect({
      host: '127.0.0.1',
      port: server.port,
      ca: authority.certificatePem,
      checkServerIdentity: () => undefined,
      ALPNProtocols: ['move-link/1'],
    });
    const bytes: Buffer[] = [];
    socket.on('data', (part: Buffer) => bytes.push(part));
    socket.write(
      Buffer.concat([
        jsonFrame(frameType.hello, 0, { version: 1, windowBytes: 262_144 }),
        jsonFrame(frameType.open, 1, {}),
      ]),
    );
    await new Promise((resolve) => socket.on('close', resolve));
    const said = Buffer.concat(bytes);
    expect(said[0]).toBe(frameType.goodbye);
    expect(JSON.parse(String(said.subarray(8)))).toMatchObject({ code: 'CERTIFICATE_MISSING' });
    expect(refused.map((error) => error.code)).toEqual(['CERTIFICATE_MISSING']);
    expect(asked).toBe(0);
    expect(server.links.size).toBe(0);
  });

  it('speaks TLS 1.3 only', async () => {
    const refused: MoveError[] = [];
    const server = await serve({ refused });
    const socket = tlsConnect({
      host: '127.0.0.1',
      port: server.port,
      maxVersion: 'TLSv1.2',
      rejectUnauthorized: false,
    });
    const error = await new Promise<Error>((resolve) => socket.on('error', resolve));
    expect(String(error)).toMatch(/alert|protocol|ECONNRESET/i);
    expect(refused[0]?.code).toBe('LINK_HANDSHAKE');
  });

  it('cuts a peer that asks without end and reads nothing, before much is kept for it', async () => {
    const accepted = Promise.withResolvers<Link>();
    const server = await listenLinks({
      host: '127.0.0.1',
      port: 0,
      identity: () => far,
      verifyPeer: () => undefined,
      onLink: accepted.resolve,
    });
    open.push(() => server.close());
    const socket = tlsConnect({
      host: '127.0.0.1',
      port: server.port,
      rejectUnauthorized: false,
      key: near.keyPem,
      cert: near.certificatePem,
      ALPNProtocols: ['move-link/1'],
    });
    open.push(() => socket.destroy());
    socket.on('error', () => undefined);
    socket.write(jsonFrame(frameType.hello, 0, { version: 1, windowBytes: 262_144 }));
    const pings = Buffer.concat(Array.from({ length: 4096 }, () => frameHeader(frameType.ping, 1, 0)));
    const ask = () => {
      while (!socket.destroyed && socket.write(pings));
      socket.once('drain', ask);
    };
    const link = await accepted.promise;
    ask();
    expect(await link.closed).toMatchObject({ code: 'LINK_OVERLOADED' });
  });

  it('drops a peer that never finishes its handshake or greeting', async () => {
    const refused: MoveError[] = [];
    const server = await serve({ refused });
    const mute = connect({ port: server.port, host: '127.0.0.1' });
    mute.on('error', () => undefined);
    const halfway = tlsConnect({
      host: '127.0.0.1',
      port: server.port,
      ca: authority.certificatePem,
      cert: near.certificatePem,
      key: near.keyPem,
      checkServerIdentity: () => undefined,
      ALPNProtocols: ['move-link/1'],
    });
    halfway.on('error', () => undefined);
    halfway.resume();
    await Promise.all([mute, halfway].map((socket) => new Promise((resolve) => socket.on('close', resolve))));
    expect(refused.map((error) => error.code).sort()).toEqual(['DEADLINE_EXCEEDED', 'LINK_HANDSHAKE']);
  });

  it('tells the connecting end why the accepting end does not want it, and the other way round', async () => {
    const server = await serve({
      verifyPeer() {
        throw new MoveError('CERTIFICATE_REVOKED', 'Revoked.');
      },
    });
    const transport = { host: '127.0.0.1', port: server.port };
    const options = { transport, identity: near, deadlineMs: 3000 };
    await expect(connectLink({ ...options, verifyPeer: () => undefined })).rejects.toMatchObject({
      code: 'CERTIFICATE_REVOKED',
    });
    const stranger = await createTestAuthority('Stranger');
    await expect(
      connectLink({
        ...options,
        identity: { ...near, trustPem: [stranger.certificatePem] },
        verifyPeer: () => undefined,
      }),
    ).rejects.toMatchObject({ code: 'CERTIFICATE_FOREIGN' });
    await expect(
      connectLink({ ...options, transport: { host: '127.0.0.1', port: 1 }, verifyPeer: () => undefined }),
    ).rejects.toMatchObject({ code: 'LINK_UNREACHABLE' });
  });

  const malformed: Record<string, Buffer> = {
    'an unknown frame': frameHeader(99, 1, 0),
    'data for a stream that never was': Buffer.concat([frameHeader(frameType.data, 7, 1), Buffer.from('x')]),
    'a frame that is too long': frameHeader(frameType.data, 1, 20_000),
    'a message that is not JSON': Buffer.concat([frameHeader(frameType.open, 1, 1), Buffer.from('{')]),
    "a stream number of the other end's": jsonFrame(frameType.open, 2, {}),
    'more bytes than it has credit for': Buffer.concat([
      jsonFrame(frameType.open, 1, {}),
      ...Array.from({ length: 17 }, () =>
        Buffer.concat([frameHeader(frameType.data, 1, 16_000), Buffer.alloc(16_000)]),
      ),
    ]),
  };
  for (const [what, bytes] of Object.entries(malformed)) {
    it(`closes a link that carries ${what}`, async () => {
      const links: Link[] = [];
      const server = await listenLinks({
        host: '127.0.0.1',
        port: 0,
        identity: () => far,
        verifyPeer: () => undefined,
        onLink: (link) => links.push(link),
        handlers: { onStream: () => undefined },
      });
      open.push(() => server.close());
      const socket = tlsConnect({
        host: '127.0.0.1',
        port: server.port,
        ca: authority.certificatePem,
        cert: near.certificatePem,
        key: near.keyPem,
        checkServerIdentity: () => undefined,
        ALPNProtocols: ['move-link/1'],
      });
      socket.on('error', () => undefined);
      socket.resume();
      // The greeting and what is wrong leave in one write: what follows a greeting must not be lost.
      socket.write(
        Buffer.concat([jsonFrame(frameType.hello, 0, { version: 1, windowBytes: 262_144 }), bytes]),
      );
      await new Promise((resolve) => socket.on('close', resolve));
      expect(await links[0]!.closed).toMatchObject({ code: 'LINK_PROTOCOL' });
    });
  }

  it('notices a peer that fell silent, and measures the round trip before that', async () => {
    const server = await serve({ handlers: echo });
    const line = await relay(server.port);
    const link = await connectLink({
      transport: { host: '127.0.0.1', port: line.port },
      identity: near,
      verifyPeer: () => undefined,
      deadlineMs: 3000,
      limits: { pingMs: 20, missedPings: 4 },
    });
    const stream = await link.openStream({}, { deadlineMs: 2000 });
    const failed = new Promise((resolve) => stream.once('error', resolve));
    const deadline = Date.now() + 3000;
    while (link.rttMs === undefined && Date.now() < deadline) await turns(1);
    expect(link.rttMs).toBeLessThan(1000);
    line.hush();
    expect(await link.closed).toMatchObject({ code: 'LINK_DEAD' });
    expect(await failed).toMatchObject({ code: 'LINK_DEAD' });
  });

  it('uses a renewed certificate without listening anew', async () => {
    let current: LinkIdentity = far;
    const server = await listenLinks({
      host: '127.0.0.1',
      port: 0,
      identity: () => current,
      verifyPeer: () => undefined,
      onLink: () => undefined,
    });
    open.push(() => server.close());
    const dial = () =>
      connectLink({
        transport: { host: '127.0.0.1', port: server.port },
        identity: near,
        verifyPeer: () => undefined,
        deadlineMs: 3000,
      });
    const before = await dial();
    const renewed = await authority.issue({ role: 'overlay', name: 'far' });
    current = renewed;
    const after = await dial();
    expect(after.peerCertificate.fingerprint256).toBe(renewed.certificate.fingerprint256);
    expect(before.peerCertificate.fingerprint256).not.toBe(after.peerCertificate.fingerprint256);
    expect(before.isOpen).toBe(true);
    before.close();
    after.close();
  });
});
