import { X509Certificate } from 'node:crypto';
import type { AgentConfiguration } from '../contract/agent-contract.ts';
import { readIdentity } from '../credentials/identity.ts';
import { Directory } from '../overlay/directory/directory.ts';
import type { DirectoryCaller } from '../overlay/directory/directory-types.ts';
import { RingLocator } from '../overlay/directory/ring-locator.ts';
import type { OverlayIdentity } from '../overlay/identity.ts';
import type { LinkPool } from '../overlay/link-pool.ts';
import { verifyLocationRecord } from '../overlay/location-record.ts';
import { createOverlayNode } from '../overlay/overlay-node.ts';
import type { StreamRouter } from '../overlay/stream-router.ts';
import { ringIdentifierOf, serviceKey } from '../ring/identifier.ts';
import type { Peer, RingTransport } from '../ring/messages.ts';
import { RingNode } from '../ring/ring-node.ts';
import { systemClock } from '../runtime/clock.ts';
import { MoveError, toMoveError } from '../runtime/errors.ts';
import type { Link } from '../runtime/link/link.ts';
import { secureRandom } from '../runtime/random.ts';
import { refusedBy } from './refused-by.ts';
import type { RoleContext, RunningRole } from './role.ts';

type OverlayConfiguration = NonNullable<AgentConfiguration['roles']['overlay']>;

/** Ends of a session that neither its client nor its service wanted. */
const lostBy = new Set(['SESSION_LOST', 'PARKED_TOO_LONG', 'SESSION_PROTOCOL']);
const ringMethods = ['ping', 'state', 'step', 'notify', 'leaving'] as const;
const successorListLength = 4;

/** Runs an overlay node on this host: ring, directory, access point and servlet on shared links. */
export async function startOverlayRole(
  configuration: OverlayConfiguration,
  context: RoleContext,
): Promise<RunningRole> {
  const authorise = (certificate: X509Certificate): OverlayIdentity => {
    context.verifyPeer(certificate);
    return readIdentity(certificate);
  };
  const peers: Peer[] = configuration.peers.map(({ name, address, port, identifier }) => ({
    name,
    address: `${address}:${port}`,
    identifier,
  }));
  const own = ringIdentifierOf(new X509Certificate(context.identity().certificatePem));
  const self: Peer = {
    name: context.host,
    address: `${configuration.listen.address}:${configuration.listen.port}`,
    identifier: own,
  };
  let parts: { ring: RingNode; directory: Directory; locator: RingLocator } | null = null;
  const lost: Record<string, number> = {};

  const compose = ({ pool, router }: { pool: LinkPool; router: StreamRouter }): RingLocator => {
    const transport: RingTransport = {
      async call(peer, method, params, deadlineMs) {
        const target = { address: peer.address, role: 'overlay', name: peer.name };
        const begun = systemClock.monotonic();
        const link = pool.peek(target) ?? (await pool.link(target, AbortSignal.timeout(deadlineMs)));
        if (ringIdentifierOf(link.peerCertificate) !== peer.identifier)
          throw new MoveError(
            'RING_IMPOSTOR',
            `${peer.name} does not have the place on the ring that it was known by.`,
            {
              peer: peer.name,
            },
          );
        const left = Math.max(1, deadlineMs - (systemClock.monotonic() - begun));
        return link.call(method, params, { deadlineMs: left });
      },
    };
    const ring = new RingNode({
      self,
      transport,
      clock: systemClock,
      random: secureRandom,
      successorListLength,
      onTrouble: (trouble) => context.log(`ring: ${trouble.code} ${trouble.message}`),
    });
    const directory = new Directory({
      ring,
      transport,
      clock: systemClock,
      verify: (candidate, announcer) => {
        const record = verifyLocationRecord(candidate, {
          trustPem: context.trustPem,
          readIdentity,
          now: systemClock.now(),
          checkRevoked: context.verifyPeer,
        });
        if (announcer && (announcer.role !== 'site' || announcer.name !== record.site))
          throw new MoveError('ANNOUNCE_DENIED', `${announcer.name} may not speak for ${record.site}.`);
        return record;
      },
      onEvent: (event) => {
        if (event.type === 'location.refused')
          context.refused(new MoveError(event.code, event.why), event.caller);
      },
    });
    const locator = new RingLocator({
      directory,
      clock: systemClock,
      onTrouble: (service, thrown) => context.log(`locating ${service}: ${toMoveError(thrown).message}`),
    });
    const callerOf = ({
      identity,
      link,
    }: {
      identity: OverlayIdentity;
      link: Link;
    }): DirectoryCaller & { identifier: string } => ({
      role: identity.role,
      name: identity.name,
      services: identity.services === 'any' ? [] : identity.services,
      serial: identity.serial,
      identifier: ringIdentifierOf(link.peerCertificate),
    });
    for (const method of ringMethods)
      router.registerCall({
        method: `ring.${method}`,
        roles: ['overlay'],
        handle: (params, from) => ring.handle(`ring.${method}`, params, callerOf(from)),
      });
    for (const [method, roles] of Object.entries(directoryMethods))
      router.registerCall({
        method,
        roles,
        handle: (params, from) => directory.handle(method, params, callerOf(from)),
      });
    parts = { ring, directory, locator };
    return locator;
  };

  const node = await createOverlayNode({
    name: context.host,
    identity: context.identity,
    listen: { host: configuration.listen.address, port: configuration.listen.port },
    locator: compose,
    peers: () => peers,
    path: context.pathOf,
    route: (service) => {
      if (!parts) throw new MoveError('RING_NOT_MEMBER', `${context.host} is not a member of the ring yet.`);
      return parts.ring.routeTowards(serviceKey(service));
    },
    authorise,
    readIdentity,
    events: (event) => {
      refusedBy(event, context);
      if (event.type === 'session-closed' && event.code)
        context.log(`a session of ${event.client} with ${event.service} ended: ${event.code}`);
      if (event.type === 'session-closed' && lostBy.has(event.code ?? ''))
        lost[event.service] = (lost[event.service] ?? 0) + 1;
    },
  });
  if (!parts) throw new MoveError('INTERNAL', 'The overlay node did not ask for its locator.');
  const { ring, directory, locator }: { ring: RingNode; directory: Directory; locator: RingLocator } = parts;
  // The first start makes the ring together with all others; a later one joins what runs.
  void ring
    .enter(peers, peers)
    .catch((thrown) => context.log(`entering the ring: ${toMoveError(thrown).message}`));
  const services = new Set<string>();

  return {
    handlers: {
      'overlay.status': () => {
        const status = ring.status();
        const nodeStatus = node.status();
        for (const service of Object.keys(nodeStatus.services)) services.add(service);
        return {
          ring: status,
          ringIdentifier: status.identifier,
          predecessor: status.predecessor?.identifier ?? null,
          successors: status.successors.map((peer) => peer.identifier),
          fingers: status.fingers.map(({ peer }) => peer.identifier),
          clientLinks: nodeStatus.clients.length,
          sessions: Object.fromEntries(
            Object.entries(nodeStatus.services).map(([service, { open, parked }]) => [
              service,
              open + parked,
            ]),
          ),
          lost,
          paths: nodeStatus.paths,
          onward: nodeStatus.onward,
          records: directory.records().map(({ record, owner }) => ({
            service: record.service,
            site: record.site,
            epoch: record.epoch,
            owner,
          })),
        };
      },
      'overlay.prepare': ({ sites }) => {
        node.prepare(sites.map(({ name, address, port }) => ({ name, address: `${address}:${port}` })));
        return {};
      },
      'overlay.fetch': async ({ service }) => ({ record: await locator.locate(service) }),
    },
    recheck: () => node.recheck(),
    async stop() {
      await locator.close();
      directory.close();
      ring.stop();
      await node.close();
    },
  };
}

const directoryMethods: Readonly<Record<string, readonly string[]>> = {
  'directory.announce': ['site'],
  'directory.store': ['overlay'],
  'directory.fetch': ['overlay'],
  'directory.watch': ['overlay'],
  'directory.unwatch': ['overlay'],
  'directory.changed': ['overlay'],
};
