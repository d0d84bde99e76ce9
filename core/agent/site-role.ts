import { X509Certificate } from 'node:crypto';
import { realpathSync } from 'node:fs';
import { mkdir } from 'node:fs/promises';
import { freemem } from 'node:os';
import { join } from 'node:path';
import { z } from 'zod';
import {
  type AgentConfiguration,
  type Delegation,
  delegationSchema,
  type ServiceDescription,
  serviceDescriptionSchema,
} from '../contract/agent-contract.ts';
import { verifyDelegation } from '../credentials/delegation.ts';
import { readIdentity } from '../credentials/identity.ts';
import { LifelineMount } from '../moves/lifeline-mount.ts';
import { LifelineStorage } from '../moves/lifeline-storage.ts';
import { advanceLimitBytes, MoveSource } from '../moves/move-source.ts';
import { arrivingAheadBytes, MoveTarget } from '../moves/move-target.ts';
import { podIdentifier, podOfService, storageAt } from '../moves/pod-of-service.ts';
import { SpareKeeper } from '../moves/spare-keeper.ts';
import { SpareRoom } from '../moves/spare-room.ts';
import { lastingGiveUpMs, lastingLimits, lastingPort, StonePath } from '../moves/stone-path.ts';
import { Announcer } from '../overlay/announcer.ts';
import type { OverlayIdentity } from '../overlay/identity.ts';
import { listenRouted } from '../overlay/routed-listener.ts';
import { registerSiteDoor } from '../overlay/site-door.ts';
import { StreamRouter } from '../overlay/stream-router.ts';
import { CriuPodRuntime } from '../pods/criu-pod-runtime.ts';
import { sourceAddressOf } from '../pods/pod-spec.ts';
import type { PodStatus, PodUsage } from '../pods/port.ts';
import { systemClock } from '../runtime/clock.ts';
import { DurableFile } from '../runtime/durable-file.ts';
import { MoveError, toMoveError } from '../runtime/errors.ts';
import { listenLasting } from '../runtime/link/lasting-server.ts';
import type { Link } from '../runtime/link/link.ts';
import { secureRandom } from '../runtime/random.ts';
import { Decoys } from '../sites/decoy/decoys.ts';
import { readSiteFacts } from '../sites/site-facts.ts';
import { refusedBy } from './refused-by.ts';
import type { RoleContext, RunningRole } from './role.ts';
import { SiteSignals } from './site-signals.ts';

type SiteConfiguration = NonNullable<AgentConfiguration['roles']['site']>;

const livingSchema = z.record(
  z.string(),
  z.object({
    service: serviceDescriptionSchema,
    epoch: z.number().int(),
    storagePath: z.string().nullable(),
    delegation: delegationSchema,
  }),
);
type Living = z.infer<typeof livingSchema>;

const announceDeadlineMs = 3_000;
const startDeadlineMs = 45_000;
/** Why a pod's usage may be unknown for a while, or on this host. */
const passing = new Set([
  'POD_FROZEN',
  'POD_NOT_RUNNING',
  'POD_UNKNOWN',
  'POD_USAGE_UNKNOWN',
  'POD_GATEWAY_UNREACHABLE',
]);

/** Runs a hosting site: pods, the door for servlets, attack signals, both sides of moves, lifelines. */
export async function startSiteRole(
  configuration: SiteConfiguration,
  context: RoleContext,
): Promise<RunningRole> {
  const { directories, host } = context;
  const authorise = (certificate: X509Certificate): OverlayIdentity => {
    context.verifyPeer(certificate);
    return readIdentity(certificate);
  };
  const software = {
    imagesDir: join(directories.software, 'images'),
    criuHome: join(directories.software, 'criu'),
    // criu binds it by name and follows no link.
    gatewayPath: realpathSync(join(directories.software, 'bin', 'gateway')),
  };
  const runtime = new CriuPodRuntime({
    ...software,
    stateDir: join(directories.state, 'pods'),
    runDir: join(directories.run, 'pods'),
    shimPath: join(directories.software, 'lib', 'norlimit-shim.so'),
    cgroupRoot: '/sys/fs/cgroup/freezer',
  });
  const path = new StonePath({
    stone: configuration.stone,
    identity: context.identity,
    verifyPeer: context.verifyPeer,
  });
  const tellLifeline =
    (side: 'storage' | 'pod') => (service: string, state: 'opening' | 'open' | 'cut' | 'closed') => {
      const event = { type: 'lifeline', at: systemClock.now(), service, side, state } as const;
      if (state === 'closed') context.events.tellEnd(`lifeline ${side} ${service}`, event);
      else context.events.tellLasting(`lifeline ${side} ${service}`, event);
    };
  const storage = new LifelineStorage({
    file: join(directories.state, 'lifelines.json'),
    path,
    tell: tellLifeline('storage'),
  });
  const places = { stateDirectory: directories.state, runDirectory: directories.run };
  const mount = new LifelineMount({ ...places, tell: tellLifeline('pod'), log: context.log });
  const spares: SpareKeeper = new SpareKeeper({
    runtime,
    path,
    ...places,
    clock: systemClock,
    log: context.log,
    limitBytes: advanceLimitBytes,
    isBusy: (service) => source.isBusy(service),
    delegationOf: (service) => living[service]?.delegation,
  });
  const trust = context.trustPem.map((pem) => new X509Certificate(pem));
  const spareRoom = new SpareRoom({
    ...places,
    limitBytes: arrivingAheadBytes,
    verify: (delegation) => verifyDelegation(delegation, trust, systemClock, { has: context.isRevoked }),
  });
  const source = new MoveSource({
    runtime,
    path,
    ...places,
    log: context.log,
    spareAt: (service, site) => spares.baseAt(service, site),
    tellProgress: (progress) =>
      context.events.tell({ type: 'move-progress', at: systemClock.now(), ...progress }),
  });
  const target = new MoveTarget({ host, runtime, mount, ...places, spares: spareRoom });
  const pictures = join(directories.state, 'decoys');
  await mkdir(pictures, { recursive: true, mode: 0o700 });
  const decoys = new Decoys({
    directory: pictures,
    address: configuration.listen.address,
    // The agent's own program has the decoy as one of its commands.
    program: process.argv[1] ?? '',
    now: () => systemClock.now(),
    log: context.log,
  });
  const livingFile = new DurableFile<Living>(join(directories.state, 'living.json'), livingSchema);
  let living = await livingFile.read({});

  const overlayLinks = new OverlayLinks(path, configuration.overlay);
  const announcer = new Announcer({
    site: host,
    address: `${configuration.listen.address}:${configuration.listen.port}`,
    signer: () => ({ key: context.identity().keyPem, certificatePem: context.identity().certificatePem }),
    call: (method, params) => overlayLinks.call(method, params),
    clock: systemClock,
    log: context.log,
  });

  const router = new StreamRouter({ readIdentity, events: (event) => refusedBy(event, context) });
  const door = registerSiteDoor(router, {
    async attach(service, epoch) {
      const here = living[service];
      if (!here)
        throw new MoveError('SERVICE_NOT_HERE', `${service} does not live on this site.`, { service });
      if (source.isLeaving(service))
        throw new MoveError('SERVICE_MOVING', `${service} is being moved; its sessions wait.`);
      if (epoch !== here.epoch)
        throw new MoveError('EPOCH_STALE', `${service} has epoch ${here.epoch} here, not ${epoch}.`, {
          epoch: here.epoch,
        });
      // Sessions that come back during a rehearsal wait here for its end, instead of asking again and again.
      await source.rehearsed(service);
      return runtime.attach(podIdentifier(service));
    },
  });
  for (const kind of ['state', 'advance'])
    router.registerStream({
      kind,
      roles: ['site'],
      schema: z.looseObject({ kind: z.literal(kind) }),
      where: 'stream',
      handle: ({ header, stream, accept, refuse, link }) =>
        target.receive({ header, stream, accept, refuse }, link),
    });
  router.registerStream({
    kind: 'spare',
    roles: ['site'],
    schema: z.looseObject({ kind: z.literal('spare') }),
    where: 'stream',
    handle: ({ header, stream, accept, refuse, link }) =>
      spareRoom.receive({ header, stream, accept, refuse }, link),
  });
  router.registerCall({
    method: 'lifeline.offer',
    roles: ['site'],
    handle: (params, { link }) => {
      mount.offer(z.object({ service: z.string() }).parse(params).service, link);
      return {};
    },
  });
  const server = await listenRouted({
    host: configuration.listen.address,
    port: configuration.listen.port,
    identity: context.identity,
    authorise,
    router,
    events: (event) => refusedBy(event, context),
  });
  /** Other sites, through their stones. */
  const lasting = await listenLasting({
    host: configuration.listen.address,
    port: lastingPort(configuration.listen),
    identity: context.identity,
    verifyPeer: (certificate) => {
      const peer = authorise(certificate);
      if (peer.role !== 'site')
        throw new MoveError('ROLE_DENIED', 'Only hosting sites come in here.', { role: peer.role });
    },
    handlers: router.handlers,
    limits: lastingLimits,
    giveUpMs: lastingGiveUpMs,
    onLink: () => undefined,
    onRefused: (error, peer) => context.refused(error, peer.remoteAddress ?? 'unknown'),
  });

  const settle = async (
    service: ServiceDescription,
    epoch: number,
    storagePath: string | null,
    delegation: Delegation,
  ) => {
    living = { ...living, [service.hostname]: { service, epoch, storagePath, delegation } };
    await livingFile.write(living);
  };
  const forget = async (service: string) => {
    announcer.withdraw(service);
    decoys.unwatch(service);
    spares.drop(service);
    const { [service]: _left, ...rest } = living;
    living = rest;
    await livingFile.write(living);
    door.cut(service);
  };
  /** Direct users reach a service at its home only (MOVE section 2.2.2). */
  const publish = async (service: ServiceDescription) => {
    if (service.homeSite !== host || !service.direct) return;
    await decoys.end(service.hostname);
    await runtime.publish(podIdentifier(service.hostname), {
      hostAddress: configuration.listen.address,
      hostPort: service.port,
      podPort: service.port,
    });
    if (service.probe.kind === 'http') decoys.watch(service.hostname, service.port);
  };

  /** What running pods have used; one that is frozen or ends meanwhile is left out. */
  const usageOf = async (pods: readonly PodStatus[]): Promise<Map<string, PodUsage>> => {
    const used = new Map<string, PodUsage>();
    await Promise.all(
      pods
        .filter(({ phase, fenced }) => phase === 'running' && !fenced)
        .map(async ({ spec }) => {
          try {
            used.set(spec.id, await runtime.usage(spec.id));
          } catch (thrown) {
            const { code, message } = toMoveError(thrown);
            if (!passing.has(code)) context.log(`counting ${spec.id}: ${message}`);
          }
        }),
    );
    return used;
  };

  await source.restore();
  await target.restore();
  await storage.restore();
  const pods = await runtime.list();
  for (const { service, delegation } of Object.values(living)) {
    if (service.storage && service.homeSite !== host) await mount.expect(service.hostname);
    const pod = pods.find((candidate) => candidate.spec.id === podIdentifier(service.hostname));
    if (pod?.phase === 'running' && !source.isLeaving(service.hostname)) announcer.keep(delegation);
    if (
      pod?.phase === 'running' &&
      service.homeSite === host &&
      service.direct &&
      service.probe.kind === 'http'
    )
      decoys.watch(service.hostname, service.port);
  }
  overlayLinks.warm();
  runtime.warm().catch((thrown) => context.log(toMoveError(thrown).message));
  let tidying: Promise<void> = Promise.resolve();
  const signals = new SiteSignals(
    configuration,
    context,
    async () =>
      (await runtime.list()).flatMap(({ spec, phase, fenced, pid }) =>
        phase === 'running' && !fenced && pid !== undefined && !source.isLeaving(spec.service)
          ? [
              {
                service: spec.service,
                processId: pid,
                processIds: runtime.processesOf(spec.id),
                ports: spec.ports,
                gatewayAddress: sourceAddressOf(spec),
              },
            ]
          : [],
      ),
    directories.state,
  );
  signals.start();

  return {
    handlers: {
      'site.status': async () => {
        const found = await runtime.list();
        const sessions = door.sessions();
        const used = await usageOf(found);
        return {
          pods: found.flatMap((pod) => {
            const here = living[pod.spec.service];
            const arriving = target
              .list()
              .find((move) => move.service === pod.spec.service && move.state === 'restored');
            if (!here && !arriving) return [];
            const state =
              pod.phase === 'frozen'
                ? 'frozen'
                : pod.phase !== 'running'
                  ? 'stopped'
                  : pod.fenced
                    ? 'fenced'
                    : 'running';
            return [
              {
                service: pod.spec.service,
                epoch: here?.epoch ?? arriving?.epoch ?? 0,
                state,
                sessions: sessions[pod.spec.service] ?? 0,
                usage: used.get(pod.spec.id) ?? null,
              } as const,
            ];
          }),
          sources: source.list(),
          targets: target.list(),
          decoys: decoys.status(),
          spares: spares.status(),
          lifelines: [
            ...storage.status().map((lifeline) => ({ ...lifeline, side: 'storage' as const })),
            ...mount.status().map((lifeline) => ({ ...lifeline, side: 'pod' as const })),
          ],
        };
      },
      'site.takes': async ({ service, podsMost, memoryMb }) => {
        const [attack] = context.events.lasting('attack');
        if (attack) return { why: `it is attacked: ${attack.evidence}` };
        const others = new Set([
          ...Object.keys(living),
          ...target.list().flatMap((move) => (move.state === 'discarded' ? [] : [move.service])),
        ]);
        others.delete(service);
        if (others.size >= podsMost) return { why: `it runs ${others.size} services already` };
        const freeMb = Math.floor(freemem() / 2 ** 20);
        return { why: freeMb < memoryMb ? `it has ${freeMb} MB of memory left` : null };
      },
      'site.start': async ({ service, delegation }) => {
        const id = podIdentifier(service.hostname);
        const here = (await runtime.list()).find((pod) => pod.spec.id === id);
        if (here && (here.phase === 'running' || here.phase === 'frozen'))
          throw new MoveError(
            'SERVICE_HERE',
            `${service.hostname} is ${here.phase} at this site: it is not started over. Stop it first if it is to begin anew.`,
            { service: service.hostname, phase: here.phase },
          );
        await source.giveUp(service.hostname, delegation.epoch);
        await runtime.discard(id);
        await runtime.create(podOfService(service), {
          storage: storageAt(service.storage?.path ?? null),
          deadlineMs: startDeadlineMs,
        });
        await settle(service, delegation.epoch, service.storage?.path ?? null, delegation);
        await publish(service);
        await announcer.announce(delegation);
        return {};
      },
      'site.stop': async ({ service }) => {
        await Promise.all([forget(service), decoys.end(service)]);
        const id = podIdentifier(service);
        // Another site may still have told it to leave; what that left behind goes first.
        await tidying;
        if ((await runtime.list()).some((pod) => pod.spec.id === id)) await runtime.unpublish(id);
        await runtime.discard(id);
        await target.left(service);
        await storage.close(service);
        return {};
      },
      'site.decoy': async ({ service, port, on }) => {
        if (on && living[service])
          throw new MoveError('DECOY_REFUSED', `${service} lives here and answers itself.`, { service });
        await (on ? decoys.begin(service, port) : decoys.end(service));
        return {};
      },
      'site.facts': () => readSiteFacts(software),
      'source.inspect': async ({ service }) => {
        const id = podIdentifier(service);
        const [blockers, memoryBytes] = await Promise.all([runtime.blockers(id), runtime.memory(id)]);
        return {
          findings: blockers.map(({ code, message, process }) => ({
            code,
            severity: 'blocks' as const,
            message,
            subject: process,
          })),
          memoryBytes,
        };
      },
      'source.rehearse': ({ service }) => source.rehearse(service, () => door.cut(service)),
      'source.measureWay': async ({ target: to }) => ({ roundTripMs: await source.measureWay(to) }),
      'source.keepSpare': async ({ service, target: to, everyMs }) => {
        if (!living[service])
          throw new MoveError('SERVICE_NOT_HERE', `${service} does not live on this site.`, { service });
        spares.keep(service, to, everyMs);
        return {};
      },
      'source.dropSpare': async ({ service }) => {
        spares.drop(service);
        return {};
      },
      'source.prepare': async ({ move, service, epoch, target: to }) => {
        // What strangers get from here on is not its answer any more.
        decoys.unwatch(service);
        // At once: under a flood every person who waits at the door costs the service another worker.
        await Promise.all([
          source.prepare(move, service, epoch, to),
          runtime.turnAway(podIdentifier(service)),
        ]);
        return {};
      },
      'source.run': async ({ move, steps }) => {
        const service = source.list().find((known) => known.move === move)?.service;
        const done = source.run(move, steps);
        // Their gateway hangs up while it pauses; told so, access points park without a guess.
        if (service && steps.includes('freeze')) door.cut(service);
        return done;
      },
      'source.kill': async ({ move }) => {
        const known = source.list().find((one) => one.move === move);
        const service = known?.service;
        // Asked again after the service has come back here: what it asks for was done then.
        const here = service ? living[service] : undefined;
        if (known?.state === 'killed' && here && here.epoch >= known.epoch) return {};
        if (service && here) await forget(service);
        await source.kill(move);
        tidying = tidying
          .then(async () => {
            await source.tidy(move);
            if (service) await target.left(service);
          })
          .catch((thrown) => context.log(`tidying after ${move}: ${toMoveError(thrown).message}`));
        return {};
      },
      'source.rollback': async ({ move }) => {
        const service = source.list().find((known) => known.move === move)?.service;
        await source.rollback(move);
        const here = service ? living[service]?.service : undefined;
        if (here) await publish(here);
        return {};
      },
      'storage.open': async ({ service, path: storagePath, target: to }) => {
        await storage.open(service, storagePath, to);
        return {};
      },
      'storage.close': async ({ service }) => {
        await storage.close(service);
        return {};
      },
      'target.prepare': async (order) => {
        await tidying;
        const { hostname } = order.service;
        if (await source.giveUp(hostname, order.epoch)) {
          await forget(hostname);
          await target.left(hostname);
        }
        await target.prepare(order);
        return {};
      },
      'target.run': ({ move, steps }) => target.run(move, steps),
      'target.commit': async ({ move, delegation }) => {
        const startedAt = systemClock.now();
        const { service, epoch, storagePath } = await target.commit(move);
        await settle(service, epoch, storagePath, delegation);
        await announcer.announce(delegation);
        await publish(service);
        return { phases: [{ phase: 'announce', startedAt, endedAt: systemClock.now() }] };
      },
      'target.discard': async ({ move }) => {
        await target.discard(move);
        return {};
      },
    },
    recheck: () => server.recheck().length + lasting.recheck(),
    async keeps() {
      await tidying;
      const pods = await runtime.list();
      const services = new Set([...Object.keys(living), ...pods.map(({ spec }) => spec.service)]);
      const lent = storage.status().map(({ service }) => service);
      if (services.size > 0) return `${[...services].sort().join(', ')} live here`;
      return lent.length > 0 ? `the storage of ${lent.sort().join(', ')} is here` : null;
    },
    async stop() {
      await signals.stop();
      await tidying;
      announcer.stop();
      spares.stop();
      source.stop();
      storage.stop();
      overlayLinks.close();
      await server.close();
      await lasting.close();
      await path.close();
      await decoys.stop();
      await runtime.close();
    },
  };
}

/** How many overlay nodes an announcement is tried at, one after the other. */
const nodesAsked = 8;
/** What says nothing about the announcement itself. */
const askAnother = new Set([
  'DEADLINE_EXCEEDED',
  'DIRECTORY_UNAVAILABLE',
  'OVERLAY_NODE_FLOODED',
  'RELAY_UNREACHABLE',
  'RING_LOOKUP_FAILED',
  'RING_NOT_MEMBER',
]);

/**
 * Links to overlay nodes through the stepping stone, for announcements: two are kept warm, and another
 * node is asked when one does not answer.
 */
class OverlayLinks {
  readonly #path: StonePath;
  #order: readonly { name: string; address: string; port: number }[];
  readonly #links = new Map<string, Promise<Link>>();

  constructor(path: StonePath, nodes: readonly { name: string; address: string; port: number }[]) {
    this.#path = path;
    this.#order = shuffled(nodes);
  }

  warm(): void {
    for (const node of this.#order.slice(0, 2)) void this.#link(node).catch(() => undefined);
  }

  async call(method: string, params: unknown): Promise<unknown> {
    let last: MoveError | undefined;
    for (const node of this.#order.slice(0, nodesAsked)) {
      try {
        const link = await this.#link(node);
        return await link.call(method, params, { deadlineMs: announceDeadlineMs });
      } catch (thrown) {
        last = toMoveError(thrown);
        if (!last.code.startsWith('LINK_') && !askAnother.has(last.code)) throw last;
        // Asked last from now on: half of the nodes may be gone, and an announcement must not wait for each of them.
        this.#order = [...this.#order.filter((other) => other !== node), node];
      }
    }
    throw last ?? new MoveError('DIRECTORY_UNAVAILABLE', 'No overlay node is known to announce to.');
  }

  close(): void {
    for (const link of this.#links.values())
      void link.then(
        (open) => open.close(),
        () => undefined,
      );
    this.#links.clear();
  }

  #link(node: { name: string; address: string; port: number }): Promise<Link> {
    const existing = this.#links.get(node.name);
    if (existing) return existing;
    const dialling = this.#path.link(node, 'overlay');
    this.#links.set(node.name, dialling);
    const drop = () => {
      if (this.#links.get(node.name) === dialling) this.#links.delete(node.name);
    };
    dialling.then((link) => void link.closed.then(drop), drop);
    return dialling;
  }
}

/** A random order, so that sites do not all lean on the same overlay nodes. */
function shuffled<T>(items: readonly T[]): T[] {
  const order = [...items];
  for (let last = order.length - 1; last > 0; last -= 1) {
    const other = secureRandom.below(last + 1);
    [order[last], order[other]] = [order[other]!, order[last]!];
  }
  return order;
}
