import { createHash, randomBytes } from 'node:crypto';
import type { IncomingMessage } from 'node:http';
import { Agent, request } from 'node:http';
import { connect } from 'node:net';
import { afterEach, describe, expect, it } from 'vitest';
import { connectLink } from '../../../core/runtime/link/link-tls.ts';
import { createTestAuthority } from '../../support/authority.ts';
import type { OverlayWorld } from '../../support/overlay-world.ts';
import { createOverlayWorld, serviceName } from '../../support/overlay-world.ts';

const big = randomBytes(8 << 20);
const digest = (bytes: Buffer) => createHash('sha256').update(bytes).digest('hex');

let world: OverlayWorld;
/** Told when the service's end of a connection that it ended itself is quite closed. */
let onHungUp: () => void = () => undefined;
afterEach(() => world.close());

const build = (size?: Parameters<typeof createOverlayWorld>[1]) =>
  createOverlayWorld((incoming, outgoing) => {
    if (incoming.url === '/big') outgoing.end(big);
    else if (incoming.url === '/echo') incoming.pipe(outgoing);
    else if (incoming.url === '/drop') incoming.socket.resetAndDestroy();
    else if (incoming.url === '/bye') {
      incoming.socket.once('close', () => onHungUp());
      outgoing.once('finish', () => setImmediate(() => incoming.socket.end()));
      outgoing.end('bye');
    } else outgoing.end(`hello from ${incoming.headers.host} ${incoming.url}`);
  }, size);

interface Answer {
  status: number;
  headers: IncomingMessage['headers'];
  body: Buffer;
}

/** One request through a forwarder's HTTP proxy, in absolute form. */
function fetchThrough(
  proxy: string,
  url: string,
  options: { body?: Buffer; agent?: Agent; onData?: (bytes: number) => void; method?: string } = {},
): Promise<Answer> {
  const { hostname, port } = new URL(proxy);
  return new Promise((resolve, reject) => {
    const outgoing = request({
      host: hostname,
      port,
      path: url,
      method: options.method ?? (options.body ? 'POST' : 'GET'),
      headers: { host: new URL(url).host },
      ...(options.agent ? { agent: options.agent } : {}),
    });
    outgoing.on('error', reject);
    outgoing.on('response', (answer) => {
      const parts: Buffer[] = [];
      let bytes = 0;
      answer.on('data', (part: Buffer) => {
        parts.push(part);
        bytes += part.length;
        options.onData?.(bytes);
      });
      answer.on('error', reject);
      answer.on('end', () =>
        resolve({ status: answer.statusCode ?? 0, headers: answer.headers, body: Buffer.concat(parts) }),
      );
    });
    outgoing.end(options.body);
  });
}

describe('the path from a client to a service', () => {
  it('carries requests through access point, servlet and site', async () => {
    world = await build();
    const { ready } = await world.forwarder({});
    const agent = new Agent({ keepAlive: true });
    const first = await fetchThrough(ready.httpProxy!, `http://${serviceName}/a?b=1`, { agent });
    expect(first.status).toBe(200);
    expect(String(first.body)).toBe(`hello from ${serviceName} /a?b=1`);
    const body = randomBytes(300_000);
    const echoed = await fetchThrough(ready.httpProxy!, `http://${serviceName}/echo`, { agent, body });
    expect(digest(echoed.body)).toBe(digest(body));
    // Warm requests reuse one session and ask the directory nothing.
    for (let index = 0; index < 20; index += 1) {
      await fetchThrough(ready.httpProxy!, `http://${serviceName}/`, { agent });
    }
    expect(world.gateway.opened).toBe(1);
    expect(world.directory.lookups).toBe(1);
    const status = world.nodes[0]!.status();
    expect(status.services).toEqual({ [serviceName]: { open: 1, parked: 0 } });
    expect(status.sessions[0]!.next?.node).toMatch(/^node-[12]$/);
    expect(status.clients).toMatchObject([{ name: 'ada' }]);
    agent.destroy();
  });

  it('lets go of a kept connection when the service ends it', async () => {
    world = await build();
    const { ready } = await world.forwarder({});
    const hungUp = new Promise<void>((resolve) => {
      onHungUp = resolve;
    });
    expect((await fetchThrough(ready.httpProxy!, `http://${serviceName}/bye`)).status).toBe(200);
    await hungUp;
    const after = await fetchThrough(ready.httpProxy!, `http://${serviceName}/`);
    expect(after.status).toBe(200);
    expect(world.gateway.opened).toBe(2);
  });

  it('spreads sessions over servlets other than the access point itself', async () => {
    world = await build();
    const forwarder = await world.forwarder({ forwards: [`0=${serviceName}:80`] });
    const port = Number(forwarder.ready.forwards[0]!.listen.split(':')[1]);
    // Each connection to a fixed port is a session of its own.
    const connections = Array.from({ length: 24 }, () => connect({ port, host: '127.0.0.1' }));
    for (const connection of connections) connection.write('GET /');
    await world.until(
      'all sessions are open',
      () => world.nodes[0]!.status().services[serviceName]?.open === 24,
    );
    for (const connection of connections) connection.destroy();
    const servlets = new Set(
      world.events.flatMap((event) => (event.type === 'session-opened' ? [event.next] : [])),
    );
    expect([...servlets].sort()).toEqual(['node-1', 'node-2']);
  });

  it('finishes a download of 8 MB that a move interrupts, byte for byte', async () => {
    world = await build();
    const { ready } = await world.forwarder({});
    let moved = false;
    const answer = await fetchThrough(ready.httpProxy!, `http://${serviceName}/big`, {
      onData(bytes) {
        if (moved || bytes < 2 << 20) return;
        moved = true;
        world.pause();
        setTimeout(() => world.wake(1), 60);
      },
    });
    expect(answer.body.length).toBe(big.length);
    expect(digest(answer.body)).toBe(digest(big));
    expect(world.gateway.opened).toBe(1);
    const resumed = world.events.find((event) => event.type === 'session-resumed');
    expect(resumed).toMatchObject({ site: 'site-1', epoch: 2 });
    expect(world.events.some((event) => event.type === 'session-parked')).toBe(true);
  });

  it('leaves the old path at once when a higher epoch is announced, though nothing broke', async () => {
    world = await build();
    const { ready } = await world.forwarder({});
    let moved = false;
    const answer = await fetchThrough(ready.httpProxy!, `http://${serviceName}/big`, {
      onData(bytes) {
        if (moved || bytes < 1 << 20) return;
        moved = true;
        world.wake(1);
      },
    });
    expect(digest(answer.body)).toBe(digest(big));
    expect(world.events.find((event) => event.type === 'session-resumed')).toMatchObject({ site: 'site-1' });
  });

  it('replaces a servlet that dies in the middle of a transfer', async () => {
    world = await build();
    const { ready } = await world.forwarder({});
    let killed: string | undefined;
    const answer = await fetchThrough(ready.httpProxy!, `http://${serviceName}/big`, {
      onData(bytes) {
        if (killed || bytes < 1 << 20) return;
        killed = world.nodes[0]!.status().sessions[0]!.next?.node;
        void world.nodes[Number(killed!.slice(-1))]!.close();
      },
    });
    expect(digest(answer.body)).toBe(digest(big));
    const resumed = world.events.find((event) => event.type === 'session-resumed');
    expect(resumed).toMatchObject({ type: 'session-resumed', site: 'site-0' });
    expect(resumed?.type === 'session-resumed' && resumed.next).not.toBe(killed);
  });

  it('parks a new connection while the service is moving and fails it honestly after the deadline', async () => {
    world = await build({ parkDeadlineMs: 400 });
    const { ready } = await world.forwarder({});
    world.pause();
    setTimeout(() => world.wake(1), 100);
    const late = await fetchThrough(ready.httpProxy!, `http://${serviceName}/x`);
    expect(late.status).toBe(200);
    world.pause();
    const never = await fetchThrough(ready.httpProxy!, `http://${serviceName}/y`, { body: Buffer.from('z') });
    expect(never.status).toBe(504);
    expect(never.headers['x-move-error']).toBe('PARKED_TOO_LONG');
  });

  it('bounds memory for a reader that stopped, and does not starve others', async () => {
    world = await build();
    const forwarder = await world.forwarder({ forwards: [`0=${serviceName}:80`] });
    const [, port] = forwarder.ready.forwards[0]!.listen.split(':');
    const stopped = connect({ port: Number(port), host: '127.0.0.1' });
    stopped.pause();
    for (let index = 0; index < 8; index += 1)
      stopped.write(`GET /big HTTP/1.1\r\nhost: ${serviceName}\r\n\r\n`);
    await world.until('the session is open', () => world.nodes[0]!.status().sessions[0]?.state === 'open');
    const fast = await fetchThrough(forwarder.ready.httpProxy!, `http://${serviceName}/big`);
    expect(digest(fast.body)).toBe(digest(big));
    expect(world.gateway.mostBuffered).toBeLessThan(262_144 + 65_537);
    stopped.destroy();
    await world.until('the abandoned session ends', () => world.nodes[0]!.status().sessions.length <= 1);
  });

  it('passes a reset of the service on to the client', async () => {
    world = await build();
    const { ready } = await world.forwarder({});
    const answer = await fetchThrough(ready.httpProxy!, `http://${serviceName}/drop`, {
      body: Buffer.from('q'),
    });
    expect(answer.status).toBe(502);
  });

  it('tunnels by CONNECT', async () => {
    world = await build();
    const { ready } = await world.forwarder({});
    const { port } = new URL(ready.httpProxy!);
    const text = await new Promise<string>((resolve, reject) => {
      const outgoing = request({ port, host: '127.0.0.1', method: 'CONNECT', path: `${serviceName}:80` });
      outgoing.on('error', reject);
      outgoing.on('connect', (answer, socket) => {
        expect(answer.statusCode).toBe(200);
        let received = '';
        socket.on('data', (part: Buffer) => {
          received += String(part);
        });
        socket.on('end', () => resolve(received));
        socket.write(`GET /tunnel HTTP/1.1\r\nhost: ${serviceName}\r\nconnection: close\r\n\r\n`);
      });
      outgoing.end();
    });
    expect(text).toContain('/tunnel');
  });

  it('moves to another access point when its own dies', async () => {
    world = await build();
    const forwarder = await world.forwarder({ accessPoints: [0, 1] });
    expect(forwarder.ready.accessPoint.name).toBe('node-0');
    await world.nodes[0]!.close();
    await world.until('the other access point is used', () => forwarder.accessPoint()?.name === 'node-1');
    const answer = await fetchThrough(forwarder.ready.httpProxy!, `http://${serviceName}/`);
    expect(answer.status).toBe(200);
  });
});

describe('what is refused', () => {
  it('refuses hosts that are no protected service, without asking anyone', async () => {
    world = await build();
    const { ready } = await world.forwarder({});
    const other = await fetchThrough(ready.httpProxy!, 'http://other.example/');
    expect(other.status).toBe(403);
    expect(other.headers['x-move-error']).toBe('NOT_PROTECTED');
    expect(world.nodes[0]!.status().sessions).toHaveLength(0);
  });

  it('refuses a service outside the certificate at the access point, and notes it', async () => {
    world = await build();
    const issued = await world.authority.issue({ role: 'client', name: 'eve', services: ['blog.example'] });
    const { ready } = await world.forwarder({ identity: issued, services: [serviceName] });
    const answer = await fetchThrough(ready.httpProxy!, `http://${serviceName}/`);
    expect(answer.status).toBe(403);
    expect(answer.headers['x-move-error']).toBe('SCOPE_DENIED');
    expect(world.events).toContainEqual(
      expect.objectContaining({
        type: 'refused',
        where: 'access-point',
        code: 'SCOPE_DENIED',
        service: serviceName,
        peer: expect.objectContaining({
          name: 'eve',
          role: 'client',
          serial: issued.certificate.serialNumber,
        }),
      }),
    );
  });

  it('refuses foreign, expired and revoked certificates by name', async () => {
    world = await build();
    const foreign = await (await createTestAuthority('Somebody else')).issue({
      role: 'client',
      name: 'mallory',
      services: ['*'],
    });
    foreign.trustPem = [world.authority.certificatePem];
    const expired = await world.authority.issue({
      role: 'client',
      name: 'old',
      services: [serviceName],
      notBefore: new Date(Date.now() - 7_200_000),
      notAfter: new Date(Date.now() - 3_600_000),
    });
    const revoked = await world.authority.issue({ role: 'client', name: 'gone', services: [serviceName] });
    await expect(world.forwarder({ identity: foreign })).rejects.toMatchObject({
      code: 'CERTIFICATE_FOREIGN',
    });
    await expect(world.forwarder({ identity: expired })).rejects.toMatchObject({
      code: 'CERTIFICATE_EXPIRED',
    });
    world.revoked.add(revoked.certificate.serialNumber);
    await expect(world.forwarder({ identity: revoked })).rejects.toMatchObject({
      code: 'CERTIFICATE_REVOKED',
    });
    const noted = world.events.flatMap((event) => (event.type === 'refused' ? [event.code] : []));
    expect(noted).toEqual(
      expect.arrayContaining(['CERTIFICATE_FOREIGN', 'CERTIFICATE_EXPIRED', 'CERTIFICATE_REVOKED']),
    );
  });

  it('cuts a live client as soon as its certificate is revoked', async () => {
    world = await build();
    const issued = await world.authority.issue({ role: 'client', name: 'ada', services: [serviceName] });
    const forwarder = await world.forwarder({ identity: issued });
    let cut = 0;
    const download = fetchThrough(forwarder.ready.httpProxy!, `http://${serviceName}/big`, {
      onData(bytes) {
        if (cut > 0 || bytes < 1 << 20) return;
        world.revoked.add(issued.certificate.serialNumber);
        cut = world.nodes[0]!.applyRevocations(new Set([issued.certificate.serialNumber.toLowerCase()]));
      },
    });
    await expect(download).rejects.toThrow();
    expect(cut).toBe(1);
    await world.until('the refusal is told', () =>
      world.forwarderEvents.some((event) => event.type === 'lost' && event.code === 'CERTIFICATE_REVOKED'),
    );
    await world.until('the session is gone', () => world.nodes[0]!.status().sessions.length === 0);
  });

  it('honours the address and the access point that a certificate is bound to', async () => {
    world = await build();
    const elsewhere = await world.forwarder({ boundAddress: '192.0.2.7' });
    const first = await fetchThrough(elsewhere.ready.httpProxy!, `http://${serviceName}/`);
    expect(first.headers['x-move-error']).toBe('ADDRESS_DENIED');
    const otherDoor = await world.forwarder({ boundAccessPoint: 'node-2' });
    const second = await fetchThrough(otherDoor.ready.httpProxy!, `http://${serviceName}/`);
    expect(second.headers['x-move-error']).toBe('ACCESS_POINT_DENIED');
    const right = await world.forwarder({ boundAddress: '127.0.0.1', boundAccessPoint: 'node-0' });
    expect((await fetchThrough(right.ready.httpProxy!, `http://${serviceName}/`)).status).toBe(200);
  });

  it('lets a client use neither a servlet nor a site directly', async () => {
    world = await build();
    const client = await world.authority.issue({ role: 'client', name: 'ada', services: ['*'] });
    for (const [port, header] of [
      [
        world.nodes[1]!.port,
        { kind: 'servlet', service: serviceName, site: 'site-0', address: '127.0.0.1:1', port: 80, epoch: 1 },
      ],
      [world.sites[0]!.server.port, { kind: 'session', service: serviceName, epoch: 1, port: 80 }],
    ] as const) {
      const link = await connectLink({
        transport: { host: '127.0.0.1', port },
        identity: client,
        verifyPeer: () => undefined,
        deadlineMs: 3000,
      });
      await expect(link.openStream(header, { deadlineMs: 2000 })).rejects.toMatchObject({
        code: 'ROLE_DENIED',
      });
      link.close();
    }
  });

  it('says what is wrong with a forwarder that cannot start', async () => {
    world = await build();
    await expect(world.forwarder({ forwards: ['80shop'] })).rejects.toMatchObject({
      code: 'FORWARD_INVALID',
    });
    await expect(world.forwarder({ forwards: ['0=other.example:80'] })).rejects.toMatchObject({
      code: 'NOT_PROTECTED',
    });
    await expect(world.forwarder({ forwards: [`${world.webPort}=${serviceName}:80`] })).rejects.toMatchObject(
      {
        code: 'LISTEN_FAILED',
      },
    );
  });
});
