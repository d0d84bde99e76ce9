import type { X509Certificate } from 'node:crypto';
import { connect } from 'node:net';
import { text } from 'node:stream/consumers';
import { readIdentity } from '../../../core/credentials/identity.ts';
import type { LocationRecord } from '../../../core/overlay/location-record.ts';
import { createOverlayNode } from '../../../core/overlay/overlay-node.ts';
import type { OverlayPeer } from '../../../core/overlay/overlay-peer.ts';
import { listenRouted } from '../../../core/overlay/routed-listener.ts';
import { registerSiteDoor } from '../../../core/overlay/site-door.ts';
import { StreamRouter } from '../../../core/overlay/stream-router.ts';
import type { LinkIdentity } from '../../../core/runtime/link/link-tls.ts';
import { benchService } from './identities.ts';

/** What one host of the measured path is, told on its stdin. */
export type OverlayHostOptions =
  | {
      role: 'overlay';
      name: string;
      identity: LinkIdentity;
      peers: OverlayPeer[];
      site: { name: string; address: string };
    }
  | { role: 'site'; identity: LinkIdentity; gatewaySocket: string };

const listen = { host: '127.0.0.1', port: 0 };
const authorise = (certificate: X509Certificate) => readIdentity(certificate);

/** One host of the path, out of the product's own parts; the service's place is told instead of looked up. */
async function startHost(options: OverlayHostOptions): Promise<{ port: number }> {
  if (options.role === 'site') {
    const router = new StreamRouter({ readIdentity, events: () => undefined });
    registerSiteDoor(router, {
      attach: async () => connect({ path: options.gatewaySocket, allowHalfOpen: true }),
    });
    return listenRouted({
      ...listen,
      identity: () => options.identity,
      authorise,
      router,
      events: () => undefined,
    });
  }
  const now = Date.now();
  const record = {
    service: benchService,
    site: options.site.name,
    address: options.site.address,
    epoch: 1,
    issuedAt: now,
    expiresAt: now + 3_600_000,
  } as LocationRecord;
  return createOverlayNode({
    name: options.name,
    identity: () => options.identity,
    listen,
    locator: { locate: async () => record, watch: () => () => undefined },
    peers: () => options.peers,
    authorise,
    readIdentity,
    events: () => undefined,
  });
}

const { port } = await startHost(JSON.parse(await text(process.stdin)) as OverlayHostOptions);
process.stdout.write(`${JSON.stringify({ port })}\n`);
process.on('SIGTERM', () => process.exit(0));
