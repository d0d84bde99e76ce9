import { createHash } from 'node:crypto';
import { once } from 'node:events';
import { type AddressInfo, createConnection, createServer, type Socket } from 'node:net';
import { type Duplex, duplexPair } from 'node:stream';
import ssh2 from 'ssh2';
import { afterEach, expect, it } from 'vitest';
import { HostConnection } from '../../../core/fleet/host-connection.ts';

// ssh2 1.17 makes one Ed25519 pair in 250 so that it cannot read it again itself; ECDSA pairs are all whole.
const keys = ssh2.utils.generateKeyPairSync('ecdsa', { bits: 256 });
const hostKeys = ssh2.utils.generateKeyPairSync('ecdsa', { bits: 256 });
const parsed = ssh2.utils.parseKey(hostKeys.public);
if (parsed instanceof Error) throw parsed;
const hostKey = createHash('sha256').update(parsed.getPublicSSH()).digest('base64').replace(/=+$/, '');

const opened: HostConnection[] = [];
const sockets: Socket[] = [];
afterEach(() => {
  for (const socket of sockets.splice(0)) socket.destroy();
  for (const connection of opened.splice(0)) connection.close();
});

/** A host whose programs never end, and from which a next host of the same kind is reached. */
function serve(transport: Duplex): void {
  const server = new ssh2.Server({ hostKeys: [hostKeys.private] }, (client) => {
    client.on('error', () => undefined);
    client.on('authentication', (context) => context.accept());
    client.on('session', (accept) => accept().on('exec', (acceptProgram) => acceptProgram()));
    client.on('tcpip', (accept) => serve(accept() as unknown as Duplex));
  });
  server.injectSocket(transport as never);
}

async function connect(transport: Duplex): Promise<HostConnection> {
  const connection = await HostConnection.open({
    host: 'host',
    transport,
    user: 'root',
    privateKey: keys.private,
    hostKey,
    deadlineMs: 5_000,
  });
  opened.push(connection);
  return connection;
}

/** A way of which each end can be ended alone: a relay that was cut and mended may never close the other. */
async function way(): Promise<{ near: Socket; far: Socket }> {
  const listener = createServer({ allowHalfOpen: true });
  listener.listen(0, '127.0.0.1');
  await once(listener, 'listening');
  const near = createConnection({
    port: (listener.address() as AddressInfo).port,
    host: '127.0.0.1',
    allowHalfOpen: true,
  });
  const [far] = (await once(listener, 'connection')) as [Socket];
  listener.close();
  sockets.push(near, far);
  serve(far);
  return { near, far };
}

it('has ended when the far side ends, though nobody closes; programs and channels on their way end with it', async () => {
  const { near, far } = await way();
  const connection = await connect(near);
  const program = await connection.start('sleep 1000');
  const opening = connection.forwardSocket('/never');
  const refused = expect(opening).rejects.toMatchObject({ code: 'CHANNEL_REFUSED' });
  far.end();
  await connection.closed;
  expect(connection.open).toBe(false);
  expect(await program.exited).toBeNull();
  await refused;
  await expect(connection.start('true')).rejects.toMatchObject({ code: 'HOST_UNREACHABLE' });
});

it('has ended when the connection that it goes through has', async () => {
  const { near, far } = await way();
  const stone = await connect(near);
  const site = await connect(await stone.forwardTcp('10.0.0.1', 22));
  const program = await site.start('sleep 1000');
  far.end();
  await stone.closed;
  await site.closed;
  expect(await program.exited).toBeNull();
});

it('counts a program as ended that was told to and whose host says nothing more', async () => {
  const { near, far } = await way();
  const connection = await connect(near);
  const program = await connection.start('sleep 1000');
  far.pause();
  program.kill();
  expect(await program.exited).toBeNull();
});

it('is refused once when a host stays silent and its transport goes afterwards: what ssh2 tells then ends nothing else', async () => {
  const [near] = duplexPair();
  // `net.Socket` would end with the client; a channel of another connection ends by itself, and later.
  near.destroy = () => near;
  const opening = HostConnection.open({
    host: 'host',
    transport: near,
    user: 'root',
    privateKey: keys.private,
    hostKey,
    deadlineMs: 50,
  });
  await expect(opening).rejects.toMatchObject({ code: 'HOST_UNREACHABLE' });
  near.emit('close');
});
