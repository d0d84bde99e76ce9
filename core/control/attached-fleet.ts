import { createHash } from 'node:crypto';
import type { AgentContract, AgentEvent, ServiceDescription } from '../contract/agent-contract.ts';
import type { Client } from '../contract/channel.ts';
import { defaultServicePath, type Service } from '../contract/domain.ts';
import type { NodeList } from '../contract/node-list.ts';
import type { Change, CollectionName } from '../contract/state.ts';
import { Fleet, type HostReach } from '../fleet/fleet.ts';
import type { LabHost, LabManifest } from '../lab/manifest.ts';
import { apacheCommand } from '../pods/pod-spec.ts';
import { MoveError, toMoveError } from '../runtime/errors.ts';
import { Admissions } from './admissions-control.ts';
import { AgentConnections } from './agent-connections.ts';
import { AttackResponse } from './attack-response.ts';
import type { ControlContext } from './control-context.ts';
import { DoorKeeper } from './doors.ts';
import { Drills } from './drills-control.ts';
import { Enrolment } from './enrolment.ts';
import { Floods } from './floods.ts';
import { endpointOf, inventoryOf, publicAddress } from './host-plan.ts';
import { Moves } from './moves-control.ts';
import { NodeFloods } from './node-floods.ts';
import { NodeListKeeper } from './node-list-keeper.ts';
import { Observer } from './observer.ts';
import { PeopleFile } from './people-file.ts';
import { RefusedLoads } from './refused-loads.ts';
import { Seat } from './seats.ts';
import { ServiceKeys } from './service-keys.ts';
import { pathsOf, ServicePaths } from './service-paths.ts';

/** How services of an image are started. */
const imageCommands: Readonly<Record<string, readonly string[]>> = { apache: apacheCommand };
const agentRoles: readonly string[] = ['overlay', 'site', 'stone'];
const probePath = '/icons/blank.gif';
const seatLifetimeMs = 7 * 24 * 3600 * 1000;
const seatLimitMs = 5_000;
const startDeadlineMs = 60_000;
const findAgainMs = 1_000;
const refusalSilenceMs = 10_000;
const refusalsRemembered = 1_000;

type Shared = Omit<ControlContext, 'manifest' | 'fleet' | 'agent' | 'services'>;

/**
 * A lab (or any fleet with such a manifest) that the control plane is attached to: its agents, services,
 * people, moves and drills.
 */
export class AttachedFleet {
  readonly context: ControlContext;
  readonly moves: Moves;
  readonly response: AttackResponse;
  readonly drills: Drills;
  readonly floods: Floods;
  readonly observer: Observer;
  readonly paths: ServicePaths;
  readonly admissions: Admissions;
  readonly #doors: DoorKeeper;
  readonly nodeFloods: NodeFloods;
  readonly #agents: AgentConnections;
  readonly #enrolment: Enrolment;
  readonly #keys: ServiceKeys;
  readonly #nodeList: NodeListKeeper;
  readonly #seats: Seat[] = [];
  readonly #refusedLoads: RefusedLoads;
  #stopping = false;
  readonly #failedAgents = new Set<string>();
  readonly #refusals = new Map<string, number>();
  readonly #waits = new Set<() => void>();
  #stopped = false;

  constructor(shared: Shared, manifest: LabManifest) {
    const fleet = new Fleet(inventoryOf(manifest, hostKeyFingerprint(manifest.sshHostKey)));
    this.#agents = new AgentConnections(fleet, shared.log);
    const services = new Map(manifest.services.map((service) => [service.hostname, describe(service)]));
    this.context = { ...shared, manifest, fleet, services, agent: (host) => this.#agents.agent(host) };
    this.#keys = new ServiceKeys({
      directory: `${shared.home}/services`,
      authority: shared.authority,
      passphrase: shared.passphrase,
    });
    this.#nodeList = new NodeListKeeper({
      authority: shared.authority,
      directory: shared.home,
      clock: shared.clock,
      log: shared.log,
      hand: (list) => this.#handNodeList(list),
    });
    this.#enrolment = new Enrolment({
      authority: shared.authority,
      manifest,
      directory: shared.home,
      revoked: () => [...shared.authority.revokedSerials()],
      paths: () => pathsOf(shared.store),
      nodeList: this.#nodeList,
    });
    this.admissions = new Admissions({
      store: shared.store,
      recorder: shared.recorder,
      people: new PeopleFile(shared),
      services: () => ({
        all: [...this.context.services.keys()],
        own: manifest.services.map(({ hostname }) => hostname),
      }),
      tellDoors: () => this.#doors.tellAll(),
    });
    this.#doors = new DoorKeeper(this.context, this.admissions);
    const seats = () => this.#seats;
    this.moves = new Moves(this.context, this.#keys, seats);
    this.response = new AttackResponse(this.context, this.moves);
    this.moves.onTakenBack = () => this.response.reconsider();
    this.floods = new Floods(this.context);
    this.paths = new ServicePaths(this.context);
    this.observer = new Observer(this.context, this.#enrolment, seats);
    this.nodeFloods = new NodeFloods(this.context);
    this.drills = new Drills({
      context: this.context,
      response: this.response,
      moves: this.moves,
      seats,
      nodeFloods: this.nodeFloods,
      verifyRing: (signal) => this.observer.verifyRing(signal),
      nameOfNode: (address) => this.#enrolment.nameOf(address),
    });
    this.#refusedLoads = new RefusedLoads({
      hosts: Object.keys(manifest.hosts),
      fleet,
      journal: shared.journal,
      recorder: shared.recorder,
      log: shared.log,
    });
    fleet.onReach((host, reach) => this.#onReach(host, reach));
    this.#agents.on({
      up: (host, client) => {
        const known = manifest.hosts[host];
        return known
          ? this.#enrolment.enrol(known, client).then(() => {
              this.#showReach(host, 'up');
              if (known.role === 'overlay') void this.#equipDoor(known, client);
            })
          : Promise.resolve();
      },
      down: (host) => {
        this.#showReach(host, 'down');
      },
      event: (host, event) => this.#onEvent(host, event),
    });
  }

  /** Enrols every agent, recovers moves, starts services and seats; resolves when the services answer. */
  async start(): Promise<void> {
    const { manifest, store } = this.context;
    await this.#enrolment.restore();
    await this.#doors.start();
    this.#mustGoOn();
    this.#showHosts();
    const withAgents = Object.values(manifest.hosts)
      .filter((host) => agentRoles.includes(host.role))
      .map((host) => host.name);
    this.#agents.keep(withAgents);
    await this.#reachable(withAgents);
    this.#mustGoOn();
    this.moves.recover();
    this.observer.start();
    for (const service of this.context.services.values()) {
      await this.#ensureService(service);
      this.#mustGoOn();
    }
    this.#startSeats();
    this.#refusedLoads.start();
    store.change([]);
  }

  /** A start that is overtaken by the stop begins nothing any more. */
  #mustGoOn(): void {
    if (this.#stopping) throw new MoveError('CANCELLED', 'The control plane was stopped while it started.');
  }

  async tellRevoked(serials: string[]): Promise<number> {
    const { store } = this.context;
    const hosts = [
      ...Object.keys(store.state.nodes),
      ...Object.keys(store.state.sites),
      ...Object.keys(store.state.stones),
    ];
    const told = await Promise.allSettled(
      hosts.map(async (host) => {
        const agent = await this.context.agent(host);
        await agent.call('agent.revoke', { serials }, { deadlineMs: 5_000 });
        return host;
      }),
    );
    return told.filter((outcome) => outcome.status === 'fulfilled' && store.state.nodes[outcome.value])
      .length;
  }

  /** To agents that answer; the others get it with their configuration when they come back. */
  #handNodeList(list: NodeList): void {
    this.context.recorder.record({
      kind: 'observation',
      type: 'overlay.listed',
      tone: 'muted',
      text: `The list of overlay nodes is signed anew: version ${list.version}, ${list.nodes.length} nodes.`,
      data: { version: list.version, expiresAt: list.expiresAt },
    });
    const { hosts } = this.context.manifest;
    for (const { name } of Object.values(hosts).filter((host) => agentRoles.includes(host.role)))
      void this.context
        .agent(name)
        .then((agent) => agent.call('agent.nodes', { list }, { deadlineMs: 5_000 }))
        .catch((thrown) => this.context.log(`the list of nodes for ${name}: ${toMoveError(thrown).message}`));
  }

  /** Lets go of everything on this side; the lab, agents and pods go on. */
  async stop(): Promise<void> {
    this.#stopping = true;
    await this.drills.stopAll('the control plane ends');
    await this.floods.stopAll();
    this.#stopped = true;
    for (const cancel of this.#waits) cancel();
    this.observer.stop();
    this.#refusedLoads.stop();
    this.#doors.stop();
    this.#nodeList.stop();
    this.moves.stop();
    for (const seat of this.#seats) seat.stop();
    this.#agents.close();
    this.context.fleet.close();
  }

  /** A node without its door is a node all the same. */
  async #equipDoor(host: LabHost, client: Client<AgentContract>): Promise<void> {
    try {
      await this.#doors.equip(host, client);
    } catch (thrown) {
      if (!this.#stopping) this.context.log(`the door of ${host.name}: ${toMoveError(thrown).message}`);
    }
  }

  async #reachable(hosts: readonly string[]): Promise<void> {
    const outcomes = await Promise.allSettled(hosts.map((host) => this.#agents.agent(host)));
    outcomes.forEach((outcome, index) => {
      const host = hosts[index];
      if (outcome.status === 'rejected' && host)
        this.context.log(`${host}: ${toMoveError(outcome.reason).message}`);
    });
  }

  /** Starts the service at home unless it lives somewhere already. */
  async #ensureService(description: ServiceDescription): Promise<void> {
    const { store, recorder } = this.context;
    const known = store.state.services[description.hostname];
    const { found, silent } = await this.#find(description.hostname);
    const moving = Object.values(store.state.moves).some(
      (move) =>
        move.service === description.hostname && ['running', 'paused', 'committed'].includes(move.state),
    );
    if (known && (found?.site === known.site || moving)) {
      if (found && !moving)
        store.change([
          { op: 'patch', collection: 'services', id: description.hostname, value: { state: 'running' } },
        ]);
      // Where a move that an earlier control plane began leaves the service, only its end tells.
      if (!found) this.#lookAgain(description);
      return;
    }
    if (known && !found && silent.includes(known.site)) {
      this.#waitForSite(description, known);
      return;
    }
    const epoch = Math.max(found?.epoch ?? 0, known?.epoch ?? 0) + (found ? 0 : 1);
    const site = found?.site ?? description.homeSite;
    const service: Service = {
      id: description.hostname,
      site,
      homeSite: description.homeSite,
      epoch,
      state: found ? 'running' : 'starting',
      policy: known?.policy ?? 'approve',
      staysBehind: [`${description.storage.mountPoint} (document root), reached over the lifeline`],
      sessions: 0,
      directory: null,
      accessPoint: null,
      servlet: null,
      path: known?.path ?? defaultServicePath,
      route: [],
    };
    recorder.record({
      kind: 'intent',
      type: 'service.starting',
      tone: 'plain',
      text: found ? `${service.id} is found at ${site}.` : `${service.id} starts at ${site}.`,
      subject: service.id,
      changes: [{ op: 'upsert', collection: 'services', id: service.id, value: service }],
    });
    if (found) return;
    try {
      const agent = await this.context.agent(site);
      const delegation = await this.#keys.delegate(service.id, site, epoch);
      await agent.call('site.start', { service: description, delegation }, { deadlineMs: startDeadlineMs });
      this.#mustGoOn();
      recorder.record({
        kind: 'observation',
        type: 'service.running',
        tone: 'good',
        text: `${service.id} answers at ${site}.`,
        subject: service.id,
        changes: [{ op: 'patch', collection: 'services', id: service.id, value: { state: 'running' } }],
      });
    } catch (thrown) {
      this.#mustGoOn();
      recorder.record({
        kind: 'observation',
        type: 'service.failed',
        tone: 'attack',
        text: `${service.id} could not be started at ${site}: ${toMoveError(thrown).message}`,
        subject: service.id,
        changes: [{ op: 'patch', collection: 'services', id: service.id, value: { state: 'down' } }],
      });
    }
  }

  /** A site that does not answer may still run its pod: nothing is started elsewhere until it has been asked. */
  #waitForSite(description: ServiceDescription, known: Service): void {
    if (known.state !== 'down' && !this.#stopped)
      this.context.recorder.record({
        kind: 'observation',
        type: 'service.unseen',
        tone: 'attack',
        text: `${known.site}, where ${known.id} lives, does not answer. Nothing is started elsewhere, since it may still run there.`,
        subject: known.id,
        changes: [{ op: 'patch', collection: 'services', id: known.id, value: { state: 'down' } }],
      });
    this.#lookAgain(description);
  }

  #lookAgain(description: ServiceDescription): void {
    if (this.#stopped) return;
    const cancel = this.context.clock.after(findAgainMs, () => {
      this.#waits.delete(cancel);
      void this.#ensureService(description).catch((thrown) =>
        this.context.log(`looking for ${description.hostname}: ${toMoveError(thrown).message}`),
      );
    });
    this.#waits.add(cancel);
  }

  /** Where a pod of the service runs, by asking every site, and which sites gave no answer. */
  async #find(
    service: string,
  ): Promise<{ found: { site: string; epoch: number } | null; silent: readonly string[] }> {
    const silent: string[] = [];
    const answers = await Promise.all(
      Object.keys(this.context.store.state.sites).map(async (site) => {
        try {
          const agent = await this.context.agent(site);
          const status = await agent.call('site.status', {}, { deadlineMs: 5_000 });
          const pod = status.pods.find(
            (candidate) => candidate.service === service && candidate.state === 'running',
          );
          return pod ? { site, epoch: pod.epoch } : null;
        } catch {
          silent.push(site);
          return null;
        }
      }),
    );
    const running = answers.filter((answer) => answer !== null);
    return { found: running.sort((a, b) => b.epoch - a.epoch)[0] ?? null, silent };
  }

  #startSeats(): void {
    const { manifest, fleet, log, authority, store } = this.context;
    const clients = Object.values(manifest.hosts).filter((host) => host.role === 'client');
    const service = manifest.services[0];
    if (!service) return;
    const home = manifest.hosts[service.homeSite];
    const url = `http://${service.hostname}/`;
    const overlay = async () => {
      const issued = await authority.issueByHand({
        profile: 'client',
        name: `seat at ${clients[0]?.name}`,
        services: [service.hostname],
        lifetimeMs: seatLifetimeMs,
      });
      return {
        url,
        limitMs: seatLimitMs,
        overlay: {
          certificatePem: issued.certificatePem,
          keyPem: issued.privateKeyPem,
          trustPem: issued.authorityPem,
          accessPoints: Object.values(manifest.hosts)
            .filter((host) => host.role === 'overlay')
            .map(endpointOf),
        },
      };
    };
    const direct = async () => ({
      url,
      limitMs: seatLimitMs,
      direct: { address: home ? publicAddress(home) : '', port: service.port },
    });
    const places = [
      { host: clients[0], path: 'overlay', configuration: overlay },
      { host: clients[1], path: 'direct', configuration: direct },
    ] as const;
    for (const { host, path, configuration } of places) {
      if (!host) continue;
      const seat = new Seat({ fleet, host: host.name, path, service: service.hostname, configuration, log });
      this.#seats.push(seat);
      this.observer.watch(seat);
      seat.start();
      const activity = `uses ${service.hostname} ${path === 'overlay' ? 'through the overlay' : 'directly'}`;
      store.change([{ op: 'patch', collection: 'clients', id: host.name, value: { path, activity } }]);
    }
  }

  /** Shows every host of the manifest, and nothing of an earlier lab. */
  #showHosts(): void {
    const { store, manifest } = this.context;
    const changes: Change[] = [];
    for (const collection of [
      'isps',
      'nodes',
      'sites',
      'stones',
      'clients',
      'lifelines',
      'floods',
    ] as CollectionName[])
      for (const id of Object.keys(store.state[collection])) changes.push({ op: 'remove', collection, id });
    for (const attack of Object.values(store.state.attacks))
      if (attack.state === 'active')
        changes.push({
          op: 'patch',
          collection: 'attacks',
          id: attack.id,
          value: { state: 'over', overAt: this.context.clock.now() },
        });
    // Whether a proposal still stands is found out anew: an attack that goes on is told again.
    for (const proposal of Object.values(store.state.proposals))
      if (proposal.state === 'waiting')
        changes.push({
          op: 'patch',
          collection: 'proposals',
          id: proposal.id,
          value: {
            state: 'withdrawn',
            decidedAt: this.context.clock.now(),
            decidedBy: 'the control plane began anew',
          },
        });
    for (const host of Object.values(manifest.hosts)) {
      if (host.isp)
        changes.push({
          op: 'upsert',
          collection: 'isps',
          id: host.isp,
          value: { id: host.isp, name: `ISP ${host.isp.toUpperCase()}` },
        });
      const id = host.name;
      if (host.role === 'site')
        changes.push({
          op: 'upsert',
          collection: 'sites',
          id,
          value: {
            id,
            isp: host.isp ?? '',
            reach: 'unknown',
            primaryAddress: publicAddress(host),
            primaryCapacityMbit: host.rateMbit.primary ?? 0,
            secondaryCapacityMbit: host.rateMbit.secondary ?? 0,
            primaryInMbit: 0,
            primaryOutMbit: 0,
            secondaryInMbit: 0,
            secondaryOutMbit: 0,
            pods: [],
            attacked: false,
          },
        });
      else if (host.role === 'stone')
        changes.push({
          op: 'upsert',
          collection: 'stones',
          id,
          value: { id, isp: host.isp ?? '', reach: 'unknown', relays: 0 },
        });
      else if (host.role === 'overlay')
        changes.push({
          op: 'upsert',
          collection: 'nodes',
          id,
          value: {
            id,
            address: publicAddress(host),
            reach: 'unknown',
            ringIdentifier: null,
            successors: [],
            predecessor: null,
            fingers: [],
            roles: [],
            flooded: false,
            clientLinks: 0,
            sessions: 0,
          },
        });
      else if (host.role === 'client' || host.role === 'bot')
        changes.push({
          op: 'upsert',
          collection: 'clients',
          id,
          value: {
            id,
            role: host.role,
            reach: 'up',
            path: 'none',
            activity: 'idle',
          },
        });
    }
    // Where a service is stands in the journal; whether it answers is only known once it was found.
    for (const service of Object.values(store.state.services))
      changes.push({
        op: 'patch',
        collection: 'services',
        id: service.id,
        value: { ...(service.state === 'running' ? { state: 'starting' } : {}), route: [] },
      });
    store.change(changes);
  }

  #onReach(host: string, reach: HostReach): void {
    // A host that has an agent is up when its agent answers, which is told separately.
    if (reach === 'down') this.#showReach(host, 'down');
  }

  #showReach(host: string, reach: HostReach): void {
    // Connections that we close ourselves say nothing about the hosts behind them.
    if (this.#stopping) return;
    const { store, recorder } = this.context;
    const collection = (['nodes', 'sites', 'stones', 'clients'] as const).find(
      (name) => store.state[name][host],
    );
    if (!collection || store.state[collection][host]?.reach === reach) return;
    store.change([{ op: 'patch', collection, id: host, value: { reach } }]);
    if (collection === 'clients') return;
    if (reach === 'down') {
      this.#failedAgents.add(host);
      recorder.record({
        kind: 'observation',
        type: 'host.down',
        tone: 'attack',
        text: `${host} does not answer any more.`,
        subject: host,
      });
    } else if (this.#failedAgents.delete(host))
      recorder.record({
        kind: 'observation',
        type: 'host.up',
        tone: 'good',
        text: `${host} answers again.`,
        subject: host,
      });
  }

  /** Somebody who tries again and again is journalled once in a while, not each time. */
  #isNews(refusal: string): boolean {
    const now = this.context.clock.monotonic();
    if (now - (this.#refusals.get(refusal) ?? Number.NEGATIVE_INFINITY) < refusalSilenceMs) return false;
    if (this.#refusals.size >= refusalsRemembered) this.#refusals.clear();
    this.#refusals.set(refusal, now);
    return true;
  }

  /** A client's certificate is renewed by the authority, which judges and journals; its access point gets the answer. */
  async #renew(host: string, event: Extract<AgentEvent, { type: 'renewal' }>): Promise<void> {
    const { id, serial, requestPem } = event;
    const answer = await this.context.authority.renew(serial, requestPem).then(
      ({ certificatePem }) => ({ id, certificatePem, error: null }),
      (thrown) => {
        const { code, message } = toMoveError(thrown);
        return { id, certificatePem: null, error: { code, message } };
      },
    );
    try {
      const agent = await this.context.agent(host);
      await agent.call('overlay.renewed', answer, { deadlineMs: 5_000 });
    } catch (thrown) {
      this.context.log(`a renewed certificate for a client at ${host}: ${toMoveError(thrown).message}`);
    }
  }

  #onEvent(host: string, event: AgentEvent): void {
    if (this.#stopping) return;
    const { recorder } = this.context;
    if (event.type === 'links') this.observer.links(host, event.links);
    else if (event.type === 'admitted') this.#doors.admitted(host, event);
    else if (event.type === 'attack') this.response.report(host, event);
    else if (event.type === 'overlay-flood') this.nodeFloods.report(host, event);
    else if (event.type === 'refused') {
      if (!this.#isNews(`${host} ${event.code} ${event.who}`)) return;
      recorder.record({
        kind: 'observation',
        type: 'access.refused',
        // A handshake that broke off is a bad line, not somebody who was turned away.
        tone: event.code === 'LINK_HANDSHAKE' ? 'muted' : 'attack',
        text: `${host} refused ${event.who}: ${event.message}`,
        subject: host,
        actor: `agent:${host}`,
        data: { code: event.code, who: event.who },
      });
    } else if (event.type === 'renewal') void this.#renew(host, event);
    else if (event.type === 'lifeline' && event.side === 'storage' && event.state !== 'opening')
      recorder.record({
        kind: 'observation',
        type: `lifeline.${event.state}`,
        tone: 'lifeline',
        text: {
          open: `The lifeline of ${event.service} is open.`,
          cut: `The lifeline of ${event.service} is cut.`,
          closed: `The lifeline of ${event.service} is closed.`,
        }[event.state],
        subject: event.service,
        actor: `agent:${host}`,
      });
  }
}

function describe(service: LabManifest['services'][number]): ServiceDescription {
  const command = imageCommands[service.image];
  if (!command)
    throw new MoveError(
      'IMAGE_UNKNOWN',
      `Nobody knows how to start a service of the image ${service.image}. Known are: ${Object.keys(imageCommands).join(', ')}.`,
    );
  return {
    hostname: service.hostname,
    image: service.image,
    command: [...command],
    port: service.port,
    storage: { path: service.storage, mountPoint: service.mountPoint },
    homeSite: service.homeSite,
    probePath,
  };
}

/** SHA-256 of an OpenSSH public key line, base64 without padding (RFC 4253 section 6.6 blob). */
function hostKeyFingerprint(line: string): string {
  const blob = line.split(' ').find((word) => word.startsWith('AAAA')) ?? '';
  return createHash('sha256').update(Buffer.from(blob, 'base64')).digest('base64').replace(/=+$/, '');
}
