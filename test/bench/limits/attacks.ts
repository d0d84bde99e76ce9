import { once } from 'node:events';
import type { AddressInfo, Socket } from 'node:net';
import { connect, createServer } from 'node:net';
import type { TLSSocket } from 'node:tls';
import { connect as tlsConnect } from 'node:tls';
import { frameHeader, frameType, jsonFrame } from '../../../core/runtime/link/frames.ts';
import type { Link } from '../../../core/runtime/link/link.ts';
import type { LinkIdentity } from '../../../core/runtime/link/link-tls.ts';
import { connectLink } from '../../../core/runtime/link/link-tls.ts';
import { benchService } from '../path/identities.ts';

/** What an attacker is told on its stdin. */
export interface AttackOptions {
  attack: string;
  /** The access point, on loopback. */
  port: number;
  /** The port of the service. */
  servicePort: number;
  /** Loopback addresses to come from. */
  addresses: string[];
  /** A valid certificate, for attacks by somebody who has one. */
  identity: LinkIdentity;
}

export interface AttackCounts {
  attempts: number;
  refused: number;
}

interface Attack {
  /** How many times a second `strike` is called. */
  perSecond: number;
  strike(world: AttackWorld): void;
}

interface AttackWorld extends AttackOptions, AttackCounts {
  held: Set<Socket | Link>;
  hello: Buffer;
}

const heldAtMost = 3000;
const tlsOptions = { rejectUnauthorized: false, ALPNProtocols: ['move-link/1'] };

function knock(world: AttackWorld): Socket {
  const localAddress = world.addresses[world.attempts % world.addresses.length]!;
  world.attempts += 1;
  const socket = connect({ host: '127.0.0.1', port: world.port, localAddress });
  socket.resume();
  socket.on('error', () => {
    world.refused += 1;
  });
  return socket;
}

function hold(world: AttackWorld, socket: Socket): void {
  world.held.add(socket);
  socket.once('close', () => world.held.delete(socket));
}

/** Somebody with a certificate who has finished both handshakes and says what he likes. */
function secure(world: AttackWorld, then: (socket: TLSSocket) => void): void {
  const { identity } = world;
  const socket = tlsConnect({
    socket: knock(world),
    ...tlsOptions,
    key: identity.keyPem,
    cert: identity.certificatePem,
  });
  socket.on('error', () => undefined);
  socket.resume();
  hold(world, socket);
  socket.once('secureConnect', () => {
    socket.write(jsonFrame(frameType.hello, 0, { version: 1, windowBytes: 262_144 }));
    then(socket);
  });
}

/** One proper link, made when there is none, on which to behave badly. */
function badLink(world: AttackWorld, act: (link: Link) => void): void {
  for (const held of world.held)
    if ('openStreamNow' in held && held.isOpen) {
      act(held);
      return;
    }
  if (world.attempts > 0 && world.held.size > 0) return;
  world.attempts += 1;
  const pending = knock(world);
  world.held.add(pending);
  connectLink({ transport: pending, identity: world.identity, verifyPeer: () => undefined, deadlineMs: 5000 })
    .then((link) => {
      world.held.add(link);
      void link.closed.then(() => {
        world.held.delete(link);
        world.refused += 1;
      });
    })
    .catch(() => {
      world.refused += 1;
    })
    .finally(() => world.held.delete(pending));
}

const drip = (socket: Socket, bytes: Buffer, everyMs: number) => {
  let at = 0;
  const timer = setInterval(() => {
    if (socket.destroyed) clearInterval(timer);
    else if (at < bytes.length) socket.write(bytes.subarray(at, at + 1));
    at += 1;
  }, everyMs);
};

/** Every way in which an access point is attacked, by strangers and by somebody with a valid certificate. */
export const attacks: Record<string, Attack> = {
  /** Connections that are hung up at once. */
  connections: {
    perSecond: 2000,
    strike: (world) => {
      const socket = knock(world);
      socket.once('connect', () => socket.destroy());
    },
  },
  /** Connections on which nothing is ever said. */
  silence: {
    perSecond: 1000,
    strike: (world) => {
      if (world.held.size < heldAtMost) hold(world, knock(world));
    },
  },
  /** The first message of a handshake, recorded once, over and over: it costs the attacker nothing. */
  hellos: {
    perSecond: 2000,
    strike: (world) => {
      const socket = knock(world);
      hold(world, socket);
      socket.write(world.hello);
    },
  },
  /** The first message of a handshake, a byte now and then. */
  slowHellos: {
    perSecond: 1000,
    strike: (world) => {
      if (world.held.size >= heldAtMost) return;
      const socket = knock(world);
      hold(world, socket);
      drip(socket, world.hello, 100);
    },
  },
  /** Whole handshakes without a certificate. */
  strangers: {
    perSecond: 300,
    strike: (world) => {
      const socket = tlsConnect({ socket: knock(world), ...tlsOptions });
      socket.on('error', () => undefined);
      socket.resume();
      hold(world, socket);
    },
  },
  /** As many links as can be had, each with half of a long message. */
  halfFrames: {
    perSecond: 50,
    strike: (world) => {
      if (world.held.size >= heldAtMost) return;
      secure(world, (socket) => {
        socket.write(frameHeader(frameType.call, 1, 262_144));
        socket.write(Buffer.alloc(200_000, 0x20));
        drip(socket, Buffer.alloc(1000, 0x20), 500);
      });
    },
  },
  /** Every session that can be had, each with a large answer that is never read. */
  unread: {
    perSecond: 300,
    strike: (world) =>
      badLink(world, (link) => {
        if (link.streamCount >= 600) return;
        world.attempts += 1;
        const stream = link.openStreamNow({
          kind: 'service',
          service: benchService,
          port: world.servicePort,
        });
        stream.on('error', () => {
          world.refused += 1;
        });
        stream.write('GET /one HTTP/1.1\r\nHost: x\r\n\r\n');
      }),
  },
  /** Stream headers of 200 KB with thousands of fields, and calls of methods with names as long. */
  giantHeaders: {
    perSecond: 60,
    strike: (world) =>
      badLink(world, (link) => {
        world.attempts += 1;
        const fields = Object.fromEntries(Array.from({ length: 20_000 }, (_, index) => [`f${index}`, 1]));
        const refused = () => {
          world.refused += 1;
        };
        if (world.attempts % 2 === 0)
          link
            .openStreamNow({ kind: 'service', service: benchService, port: 80, ...fields })
            .on('error', refused);
        else link.call('x'.repeat(200_000), null, { deadlineMs: 5000 }).catch(refused);
      }),
  },
  /** Streams that are opened and given up at once. */
  rapidResets: {
    perSecond: 2000,
    strike: (world) =>
      badLink(world, (link) => {
        world.attempts += 1;
        const stream = link.openStreamNow({
          kind: 'service',
          service: benchService,
          port: world.servicePort,
        });
        stream.on('error', () => undefined);
        stream.destroy();
      }),
  },
  /** Links whose first frame breaks the protocol, made anew for each. */
  malformed: {
    perSecond: 200,
    strike: (world) =>
      secure(world, (socket) => {
        socket.end(Buffer.concat([frameHeader(frameType.data, 99, 0xffffff), Buffer.alloc(64, 0xff)]));
      }),
  },
};

/** The first flight of a TLS client, as bytes. */
async function recordHello(): Promise<Buffer> {
  const server = createServer();
  await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve));
  const { port } = server.address() as AddressInfo;
  const accepted = once(server, 'connection') as Promise<[Socket]>;
  const client = tlsConnect({ host: '127.0.0.1', port, ...tlsOptions, minVersion: 'TLSv1.3' });
  client.on('error', () => undefined);
  const [socket] = await accepted;
  const [flight] = (await once(socket, 'data')) as [Buffer];
  client.destroy();
  socket.destroy();
  server.close();
  return flight;
}

/** Attacks until it is cancelled; the counts go on changing until then. */
export async function startAttack(options: AttackOptions): Promise<AttackCounts> {
  const attack = attacks[options.attack];
  if (!attack) throw new Error(`no such attack: ${options.attack}`);
  const world: AttackWorld = {
    ...options,
    attempts: 0,
    refused: 0,
    held: new Set(),
    hello: await recordHello(),
  };
  const begun = performance.now();
  let struck = 0;
  setInterval(() => {
    const due = Math.min(((performance.now() - begun) / 1000) * attack.perSecond, struck + 100);
    for (; struck < due; struck += 1) attack.strike(world);
  }, 5);
  return world;
}
