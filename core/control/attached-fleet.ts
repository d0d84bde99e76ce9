import { createHash, X509Certificate } from 'node:crypto';
import type { AgentContract, AgentEvent, ServiceDescription } from '../contract/agent-contract.ts';
import type { Client } from '../contract/channel.ts';
import type { NodeList } from '../contract/node-list.ts';
import { readIdentity } from '../credentials/identity.ts';
import { Fleet, type HostReach } from '../fleet/fleet.ts';
import type { FleetManifest, LabHost } from '../lab/manifest.ts';
import { MoveError, toMoveError } from '../runtime/errors.ts';
import { Admissions } from './admissions-control.ts';
import { AgentConnections } from './agent-connections.ts';
import { AttackResponse } from './attack-response.ts';
import type { ControlContext } from './control-context.ts';
import { DecoyKeeper } from './decoy-keeper.ts';
import { DoorKeeper } from './doors.ts';
import { Drills } from './drills-control.ts';
import { Enrolment } from './enrolment.ts';
import { Floods } from './floods.ts';
import { Handovers, type Share } from './handovers.ts';
import { operatorHoldings, organisationHoldings, shownHolder, siteForeign } from './holdings.ts';
import { inventoryOf } from './host-plan.ts';
import { Moves } from './moves-control.ts';
import { NodeFloods } from './node-floods.ts';
import { NodeListKeeper } from './node-list-keeper.ts';
import { Observer } from './observer.ts';
import { PeopleFile } from './people-file.ts';
import { Preflights } from './preflights.ts';
import { Proposals } from './proposals-control.ts';
import { handOverAgent } from './prove-controller.ts';
import { RefusedLoads } from './refused-loads.ts';
import { Seating } from './seating.ts';
import { ServiceKeys } from './service-keys.ts';
import { pathsOf, ServicePaths } from './service-paths.ts';
import { ServicePolicies } from './service-policies.ts';
import { Services } from './services-control.ts';
import { showHosts } from './show-hosts.ts';
import { Spares } from './spares.ts';
import { Visitors } from './visitors-control.ts';
import { WayHome } from './way-home.ts';

const agentRoles: readonly string[] = ['overlay', 'site', 'stone'];
const refusalSilenceMs = 10_000;
const refusalsRemembered = 1_000;

type Shared = Omit<ControlContext, 'manifest' | 'fleet' | 'agent' | 'services' | 'holdings'>;

/**
 * A lab (or any fleet with such a manifest) that the control plane is attached to: its agents, services,
 * people, moves and drills.
 */
export class AttachedFleet {
  readonly context: ControlContext;
  readonly moves: Moves;
  readonly response: AttackResponse;
  readonly proposals: Proposals;
  readonly #wayHome: WayHome;
  readonly decoys: DecoyKeeper;
  readonly drills: Drills;
  readonly floods: Floods;
  readonly observer: Observer;
  readonly paths: ServicePaths;
  readonly policies: ServicePolicies;
  readonly preflights: Preflights;
  readonly spares: Spares;
  readonly admissions: Admissions;
  readonly visitors: Visitors;
  readonly #doors: DoorKeeper;
  readonly nodeFloods: NodeFloods;
  readonly #agents: AgentConnections;
  readonly #enrolment: Enrolment;
  readonly #handovers: Handovers;
  readonly services: Services;
  readonly #seating: Seating;
  readonly #nodeList: NodeListKeeper;
  readonly #refusedLoads: RefusedLoads;
  #stopping = false;
  readonly #failedAgents = new Set<string>();
  readonly #refusals = new Map<string, number>();

  constructor(shared: Shared, manifest: FleetManifest) {
    const fleet = new Fleet(inventoryOf(manifest, hostKeyFingerprint(manifest.sshHostKey)));
    this.#agents = new AgentConnections(fleet, shared.authority, shared.log);
    const services = new Map<string, ServiceDescription>();
    const { organisation } = shared.authority;
    const holdings = organisation
      ? organisationHoldings(organisation)
      : operatorHoldings(
          () => shared.authority.organisations().map((pem) => readIdentity(new X509Certificate(pem))),
          (site) => this.#handovers.holderOf(site),
        );
    this.context = {
      ...shared,
      manifest,
      fleet,
      services,
      holdings,
      agent: async (host) => {
        const holder = shownHolder(shared.store.state, host);
        if (holder !== null) throw siteForeign(host, holder);
        return this.#agents.agent(host);
      },
    };
    this.#handovers = new Handovers({
      context: this.context,
      directory: shared.home,
      handOver: (host, authorityPem) => handOverAgent(fleet, shared.authority, host, authorityPem),
      letGo: async (host) => {
        this.#agents.forget(host);
        await this.#enrolment.forget(host);
      },
    });
    const keys = new ServiceKeys({
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
      isOwn: (host) => shownHolder(shared.store.state, host) === null,
      directory: shared.home,
      revoked: () => this.#revokedSerials(),
      paths: () => pathsOf(shared.store),
      services: () => [...services.keys()],
      nodeList: this.#nodeList,
    });
    this.#seating = new Seating(this.context, () => this.observer);
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
    this.visitors = new Visitors({
      store: shared.store,
      recorder: shared.recorder,
      clock: shared.clock,
      tellRevoked: () => this.tellRevoked(),
    });
    this.#doors = new DoorKeeper(this.context, this.admissions);
    const seats = () => this.#seating.seats;
    this.services = new Services(this.context, services, {
      keys,
      seating: this.#seating,
      certifySites: () => this.#enrolment.certifySites(this.context.agent),
    });
    this.moves = new Moves(this.context, keys, seats);
    this.proposals = new Proposals(this.context, this.moves);
    this.response = new AttackResponse(this.context, this.proposals);
    this.#wayHome = new WayHome(this.context, this.proposals);
    this.decoys = new DecoyKeeper(this.context);
    this.moves.onTakenBack = (move) => this.response.takenBack(move);
    this.floods = new Floods(this.context);
    this.paths = new ServicePaths(this.context);
    this.policies = new ServicePolicies(this.context, () => this.response.reconsider());
    this.preflights = new Preflights(this.context);
    this.spares = new Spares(this.context);
    this.observer = new Observer(this.context, this.#enrolment, seats, this.spares);
    this.nodeFloods = new NodeFloods(this.context);
    this.drills = new Drills({
      context: this.context,
      proposals: this.proposals,
      moves: this.moves,
      seats,
      nodeFloods: this.nodeFloods,
      verifyRing: (signal) => this.observer.verifyRing(signal),
      nameOfNode: (address) => this.#enrolment.nameOf(address),
    });
    this.#refusedLoads = new RefusedLoads({
      hosts: () => Object.keys(manifest.hosts).filter((host) => this.#reaches(host)),
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
              if (known.role === 'overlay') void this.#takeUpDoor(known, client);
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
    await this.#handovers.restore();
    if (!manifest.isShare) await this.#doors.start();
    this.#mustGoOn();
    store.change(showHosts(store.state, manifest, this.context.holdings, this.context.clock.now()));
    const withAgents = this.#withAgents();
    this.#agents.keep(withAgents);
    await this.#reachable(withAgents);
    this.#mustGoOn();
    void this.#handovers.goOn(this.#admitted());
    this.moves.recover();
    this.observer.start();
    this.preflights.start();
    await this.services.start();
    this.#refusedLoads.start();
    this.#wayHome.start();
    this.decoys.start();
    store.change([]);
  }

  /** Which of these sites can be given to an organisation. @throws MoveError `SITE_BUSY`. */
  givable(sites: readonly string[]): string[] {
    return this.#handovers.givable(sites);
  }

  /** Gives sites to an organisation, as {@link Handovers.give}. */
  give(order: Parameters<Handovers['give']>[0]): Promise<Share> {
    return this.#handovers.give(order);
  }

  /** The names of the organisations that share the overlay now. */
  #admitted(): ReadonlySet<string> {
    const { authority } = this.context;
    return new Set(authority.organisations().map((pem) => readIdentity(new X509Certificate(pem)).name));
  }

  /** Hosts with an agent that is this control plane's. */
  #withAgents(): string[] {
    return Object.values(this.context.manifest.hosts)
      .filter(({ name, role }) => agentRoles.includes(role) && this.#reaches(name))
      .map(({ name }) => name);
  }

  #reaches(host: string): boolean {
    const { store, manifest } = this.context;
    // An organisation passes the entry of the fleet and does nothing there.
    if (manifest.isShare && manifest.hosts[host]?.role === 'admin') return false;
    return shownHolder(store.state, host) === null;
  }

  /** A start that is overtaken by the stop begins nothing any more. */
  #mustGoOn(): void {
    if (this.#stopping) throw new MoveError('CANCELLED', 'The control plane was stopped while it started.');
  }

  /** Tells every agent what is revoked now, and clients, by the signed list, of access points among it. */
  async tellRevoked(): Promise<number> {
    const { store } = this.context;
    const serials = this.#revokedSerials();
    void this.#enrolment.list().catch(() => undefined);
    void this.#handovers.closeWays(this.#admitted());
    const hosts = this.#withAgents();
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

  /** Tells every agent that answers which organisations share the overlay; returns how many overlay nodes know. */
  async tellOrganisations(): Promise<number> {
    const { store, authority } = this.context;
    const organisations = authority.organisations();
    const told = await Promise.allSettled(
      this.#withAgents().map(async (name) => {
        const agent = await this.context.agent(name);
        await agent.call('agent.organisations', { organisations }, { deadlineMs: 5_000 });
        return name;
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
    for (const name of this.#withAgents())
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
    this.services.stop();
    this.observer.stop();
    this.#wayHome.stop();
    this.decoys.stop();
    this.response.stop();
    this.proposals.stop();
    this.preflights.stop();
    this.#refusedLoads.stop();
    this.#doors.stop();
    this.#nodeList.stop();
    this.moves.stop();
    this.#seating.stop();
    this.#agents.close();
    this.context.fleet.close();
  }

  /** Certificates of the authority and of visitors, which access points signed. */
  #revokedSerials(): string[] {
    return [...this.context.authority.revokedSerials(), ...this.visitors.revokedSerials()];
  }

  /** A node without its door is a node all the same. */
  async #takeUpDoor(host: LabHost, client: Client<AgentContract>): Promise<void> {
    try {
      await this.#doors.equip(host, client);
      await this.visitors.learn(host.name, client);
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
    else if (event.type === 'admitted') this.visitors.admitted(host, event);
    else if (event.type === 'move-progress') this.moves.progress(event);
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

/** SHA-256 of an OpenSSH public key line, base64 without padding (RFC 4253 section 6.6 blob). */
function hostKeyFingerprint(line: string): string {
  const blob = line.split(' ').find((word) => word.startsWith('AAAA')) ?? '';
  return createHash('sha256').update(Buffer.from(blob, 'base64')).digest('base64').replace(/=+$/, '');
}
