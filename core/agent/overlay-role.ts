import { X509Certificate } from 'node:crypto';
import { join } from 'node:path';
import type { AgentConfiguration } from '../contract/agent-contract.ts';
import { readIdentity } from '../credentials/identity.ts';
import { Directory } from '../overlay/directory/directory.ts';
import type { DirectoryCaller } from '../overlay/directory/directory-types.ts';
import { EpochFile } from '../overlay/directory/epoch-file.ts';
import { RingLocator } from '../overlay/directory/ring-locator.ts';
import type { Authorise, OverlayIdentity } from '../overlay/identity.ts';
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
import type { AttackAlarm } from '../sites/attack/attack-detector.ts';
import { FloodRetreat } from './flood-retreat.ts';
import { watchLink } from './link-watch.ts';
import { OverlayDoor } from './overlay-door.ts';
import { refusedBy } from './refused-by.ts';
import { Renewals } from './renewals.ts';
import { RingMembership } from './ring-membership.ts';
import type { RoleContext, RunningRole } from './role.ts';

type OverlayConfiguration = NonNullable<AgentConfiguration['roles']['overlay']>;

/** Ends of a session that neither its client nor its service wanted. */
const lostBy = new Set(['SESSION_LOST', 'PARKED_TOO_LONG', 'SESSION_PROTOCOL']);
const ringMethods = ['ping', 'state', 'step', 'notify', 'leaving'] as const;

/** Runs an overlay node on this host: ring, directory, access point and servlet on shared links. */
export async function startOverlayRole(
  configuration: OverlayConfiguration,
  context: RoleContext,
): Promise<RunningRole> {
  /** Whom a flooded node turns away: clients at once, everybody when it has left the ring. */
  let refusing: 'nobody' | 'clients' | 'everybody' = 'nobody';
  const door = await OverlayDoor.restore(context);
  const authorise: Authorise = (certificate, { remoteAddress }) => {
    context.verifyPeer(certificate, {
      remoteAddress,
      accessPoint: context.host,
      constrained: door.authorityCertificate,
    });
    return readIdentity(certificate);
  };
  const admit: Authorise = (certificate, from) => {
    const identity = authorise(certificate, from);
    if (refusing === 'everybody' || (refusing === 'clients' && identity.role === 'client'))
      throw new MoveError(
        'OVERLAY_NODE_FLOODED',
        `The overlay node ${context.host} is flooded and takes nobody in. Use another one.`,
        { node: context.host },
      );
    return identity;
  };
  const peers: Peer[] = configuration.peers.map(({ name, address, port, identifier }) => ({
    name,
    address: `${address}:${port}`,
    identifier,
  }));
  const homes = new Map(configuration.homes?.map(({ service, site }) => [service, site]));
  const renewals = new Renewals(context.events);
  const own = ringIdentifierOf(new X509Certificate(context.identity().certificatePem));
  const self: Peer = {
    name: context.host,
    address: `${configuration.listen.address}:${configuration.listen.port}`,
    identifier: own,
  };
  let parts: { ring: RingNode; directory: Directory; locator: RingLocator } | null = null;
  const lost: Record<string, number> = {};
  const epochs = new EpochFile({
    path: join(context.directories.state, 'epochs.sqlite'),
    authority: context.trustPem[0] ? new X509Certificate(context.trustPem[0]).fingerprint256 : '',
    clock: systemClock,
    onTrouble: (trouble) => context.log(`directory: ${trouble.code} ${trouble.message}`),
  });

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
      successorListLength: configuration.successorListLength,
      onTrouble: (trouble) => context.log(`ring: ${trouble.code} ${trouble.message}`),
    });
    const directory = new Directory({
      ring,
      transport,
      clock: systemClock,
      replicas: configuration.successorListLength - 1,
      epochs,
      verify: (candidate, announcer) => {
        const record = verifyLocationRecord(candidate, {
          trustPem: context.recordTrust(),
          readIdentity,
          now: systemClock.now(),
          checkRevoked: (certificate) => context.verifyPeer(certificate),
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
    nodeList: context.nodeList,
    homeOf: (service) => homes.get(service),
    renew: renewals.renew,
    authorise,
    admit,
    readIdentity,
    events: (event) => {
      // Peers that look whether the storm is over are no news.
      if (event.type !== 'refused' || event.code !== 'OVERLAY_NODE_FLOODED') refusedBy(event, context);
      if (event.type === 'session-closed' && event.code)
        context.log(`a session of ${event.client} with ${event.service} ended: ${event.code}`);
      if (event.type === 'session-closed' && lostBy.has(event.code ?? ''))
        lost[event.service] = (lost[event.service] ?? 0) + 1;
    },
  });
  if (!parts) throw new MoveError('INTERNAL', 'The overlay node did not ask for its locator.');
  const { ring, directory, locator }: { ring: RingNode; directory: Directory; locator: RingLocator } = parts;
  const membership = new RingMembership({
    ring,
    directory,
    clock: systemClock,
    successorListLength: configuration.successorListLength,
    firstMembers: peers,
    // The authority's signed list where there is one, else those it began with.
    contacts: () => context.nodeList()?.nodes ?? peers,
    log: context.log,
  });
  let storm: AttackAlarm | null = null;
  const tellStorm = (state: 'retreated' | 'returned', left: boolean): void => {
    if (!storm) return;
    const event = {
      type: 'overlay-flood',
      at: systemClock.now(),
      state,
      evidence: storm.evidence.sentence,
      inboundMbit: storm.evidence.inboundMbit,
      left,
      firstEvidenceAt: storm.firstEvidenceAt,
      detectedAt: storm.detectedAt,
    } as const;
    if (state === 'retreated') context.events.tellLasting('overlay-flood', event);
    else context.events.tellEnd('overlay-flood', event);
  };
  const retreat = new FloodRetreat({
    clock: systemClock,
    async retreat() {
      refusing = 'clients';
      const cut = node.recheck();
      const leaving = membership.isDispensable;
      context.log(`flooded: ${cut} clients are sent elsewhere${leaving ? ', leaving the ring' : ''}`);
      if (leaving) {
        await membership.depart();
        refusing = 'everybody';
        node.recheck();
      }
      tellStorm('retreated', leaving);
    },
    async comeBack() {
      refusing = 'nobody';
      context.log('the storm is over: taking clients again');
      await membership.enter();
      tellStorm('returned', true);
    },
  });
  const watch = watchLink(
    { device: configuration.primaryInterface, capacityMbit: configuration.primaryCapacityMbit },
    (event) => {
      if (event.type === 'cleared') {
        retreat.cleared(event.cleared.kind);
        return;
      }
      storm = event.alarm;
      retreat.alarm(event.alarm.kind);
      membership.forgo();
    },
    (fault) => context.log(`watching the link ended: ${fault.code} ${fault.message}`),
  );
  void membership.enter();
  const services = new Set<string>();
  await door.openAt(node);

  return {
    handlers: {
      ...door.handlers,
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
          flooded: retreat.away,
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
          ...door.status(),
          records: directory.records().map(({ record, owner }) => ({
            service: record.service,
            site: record.site,
            epoch: record.epoch,
            owner,
          })),
        };
      },
      'overlay.renewed': (answer) => {
        renewals.answered(answer);
        return {};
      },
      'overlay.prepare': ({ sites }) => {
        node.prepare(sites.map(({ name, address, port }) => ({ name, address: `${address}:${port}` })));
        return {};
      },
      'overlay.fetch': async ({ service }) => ({ record: await locator.locate(service) }),
    },
    recheck: () => node.recheck(),
    listed: () => node.tellOfList(),
    async stop() {
      watch.close();
      membership.forgo();
      await retreat.close();
      await membership.depart();
      await locator.close();
      directory.close();
      await node.close();
      epochs.close();
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
  'directory.renew': ['overlay'],
};
