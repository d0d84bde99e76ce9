import type { OverlayStatus } from '../contract/agent-contract.ts';
import type { Lifeline, OverlayNode, RingNode, RingVerification, ServiceUsage } from '../contract/domain.ts';
import type { Change } from '../contract/state.ts';
import type { Telemetry } from '../contract/telemetry.ts';
import { Histogram } from '../measure/histogram.ts';
import { endOf, type ProbeSample } from '../measure/probe-sample.ts';
import { checkRingInvariant, type RingViolation } from '../ring/invariant.ts';
import { PersistentViolations } from '../ring/persistent-violations.ts';
import type { RingStatus } from '../ring/ring-node-options.ts';
import { MoveError } from '../runtime/errors.ts';
import type { ControlContext } from './control-context.ts';
import type { Enrolment } from './enrolment.ts';
import { successorListLengthOf } from './host-plan.ts';
import { routeOf, servletsOf } from './route-of-service.ts';
import type { Seat } from './seats.ts';
import type { Spares } from './spares.ts';

const lookEveryMs = 1_000;
const telemetryEveryMs = 500;
/** A move that takes so many looks is one that somebody wants to watch. */
const passedOverWhileMoving = 5;
const callDeadlineMs = 2_000;
/** How long after its end a move is held to account for sessions that end. */
const lostCountedMs = 90_000;
/** Zave's invariant must fail in this many readings in a row before it is said: states are read one after the other. */
const readingsThatCount = 3;
/** A ring that is asked about while it changes is read again until it holds or a violation lasts. */
const mostReadings = 8;
const readAgainMs = 400;

/**
 * Looks at what lives (ring, sessions, lifelines) and keeps the state in step with it; gathers telemetry.
 * It observes and never steers.
 */
export class Observer {
  readonly #context: ControlContext;
  readonly #enrolment: Enrolment;
  readonly #seats: () => readonly Seat[];
  readonly #spares: Spares;
  readonly #telemetryListeners = new Set<(telemetry: Telemetry) => void>();
  readonly #samples = new Map<Seat, ProbeSample[]>();
  readonly #links = new Map<string, Telemetry['links'][number]>();
  readonly #lost = new Map<string, Readonly<Record<string, number>>>();
  readonly #lostBeforeMove = new Map<string, number>();
  readonly #lifelineBytes = new Map<string, { bytes: number; at: number }>();
  #timers: NodeJS.Timeout[] = [];
  #looking = false;
  #looksPassedOver = 0;
  /** When the sessions that were lost had been counted for the first time. */
  #countingSince: number | null = null;
  readonly #ringViolations = new PersistentViolations(readingsThatCount);

  constructor(context: ControlContext, enrolment: Enrolment, seats: () => readonly Seat[], spares: Spares) {
    this.#context = context;
    this.#enrolment = enrolment;
    this.#seats = seats;
    this.#spares = spares;
  }

  start(): void {
    this.#timers = [
      setInterval(() => void this.#look(), lookEveryMs),
      setInterval(() => this.#emitTelemetry(), telemetryEveryMs),
    ];
  }

  stop(): void {
    for (const timer of this.#timers) clearInterval(timer);
  }

  /** Watches what a seat sees. */
  watch(seat: Seat): void {
    const samples: ProbeSample[] = [];
    this.#samples.set(seat, samples);
    seat.onSample((sample) => samples.push(sample));
  }

  /** Watches it no more. */
  unwatch(seat: Seat): void {
    this.#samples.delete(seat);
  }

  listen(listener: (telemetry: Telemetry) => void): () => void {
    this.#telemetryListeners.add(listener);
    return () => this.#telemetryListeners.delete(listener);
  }

  /** Takes the link rates that a site tells. */
  links(
    host: string,
    links: readonly { link: 'primary' | 'secondary'; inMbit: number; outMbit: number }[],
  ): void {
    for (const link of links) this.#links.set(`${host}/${link.link}`, { host, ...link });
    const rate = (name: 'primary' | 'secondary') => links.find((link) => link.link === name);
    const primary = rate('primary');
    const secondary = rate('secondary');
    this.#patch('sites', host, {
      ...(primary ? { primaryInMbit: round(primary.inMbit), primaryOutMbit: round(primary.outMbit) } : {}),
      ...(secondary
        ? { secondaryInMbit: round(secondary.inMbit), secondaryOutMbit: round(secondary.outMbit) }
        : {}),
    });
  }

  /**
   * Asks every overlay node for its ring state and checks Zave's invariant over all members. Reads again while it
   * does not hold, until a violation has lasted or is gone.
   * @throws MoveError `RING_UNSEEN` when no member answers, `CANCELLED`.
   */
  async verifyRing(signal: AbortSignal): Promise<RingVerification> {
    const lasting = new PersistentViolations(readingsThatCount);
    for (let readings = 1; ; readings += 1) {
      const states = await this.#overlayStates();
      if (signal.aborted)
        throw new MoveError('CANCELLED', 'Nobody waits for the ring to be verified any more.');
      const reading = this.#readRing(states);
      if (reading.members.length === 0)
        throw new MoveError(
          'RING_UNSEEN',
          'No overlay node that is a member of the ring has answered. Check that the lab is up and its nodes can be reached.',
        );
      const violations = lasting.observe(reading.violations);
      if (reading.violations.length > 0 && violations.length === 0 && readings < mostReadings) {
        await new Promise<void>((resolve) => this.#context.clock.after(readAgainMs, resolve));
        continue;
      }
      this.#showRing(violations);
      const listed = violations.map(({ rule, culprit, detail }) => ({ rule, culprit, sentence: detail }));
      return { ...reading, ok: listed.length === 0, readings, violations: listed };
    }
  }

  /** One reading of the ring: who is a member, who is not, who says nothing, and what Zave's invariant says. */
  #readRing(
    states: ReadonlyMap<string, OverlayStatus>,
  ): Omit<RingVerification, 'ok' | 'readings' | 'violations'> & { violations: RingViolation[] } {
    const rings = [...states].map(([node, status]) => ({ node, ring: status.ring as RingStatus }));
    const members = rings
      .filter(({ ring }) => ring.member)
      .sort((a, b) => (a.ring.identifier < b.ring.identifier ? -1 : 1));
    const successorListLength = successorListLengthOf(this.#context.manifest);
    const { violations } = checkRingInvariant(
      members.map(({ ring }) => ring),
      { successorListLength },
    );
    return {
      members: members.map(({ node }) => node),
      absent: rings.filter(({ ring }) => !ring.member).map(({ node }) => node),
      silent: Object.keys(this.#context.store.state.nodes).filter((node) => !states.has(node)),
      successorListLength,
      violations,
    };
  }

  /** What every overlay node that answers knows of the ring, in the order around it. */
  async showRing(): Promise<RingNode[]> {
    const name = this.#namesOfNodes();
    const nodes = [...(await this.#overlayStates())].map(([id, status]) => ({
      id,
      ringIdentifier: status.ringIdentifier,
      predecessor: status.predecessor === null ? null : name(status.predecessor),
      successors: status.successors.map(name),
      fingers: (status.ring as RingStatus).fingers.map(({ power, peer }) => ({
        power,
        node: name(peer.identifier),
      })),
      records: status.records,
    }));
    return nodes.sort((left, right) => (left.ringIdentifier < right.ringIdentifier ? -1 : 1));
  }

  /** Turns ring identifiers into the names of nodes that were enrolled; others stay as they are. */
  #namesOfNodes(): (identifier: string) => string {
    const names = new Map([...this.#enrolment.identifiers()].map(([node, identifier]) => [identifier, node]));
    return (identifier) => names.get(identifier) ?? identifier;
  }

  async #look(): Promise<void> {
    if (this.#looking) return;
    this.#looking = true;
    try {
      // While a service is frozen its people wait for its sites and its overlay: others ask them less often, then.
      const moving = Object.values(this.#context.store.state.moves).some(({ state }) => state === 'running');
      this.#looksPassedOver = moving ? this.#looksPassedOver + 1 : 0;
      if (moving && this.#looksPassedOver % passedOverWhileMoving !== 0) return;
      const { isShare } = this.#context.manifest;
      await Promise.all([isShare ? undefined : this.#lookAtOverlay(), this.#lookAtSites()]);
    } finally {
      this.#looking = false;
    }
  }

  async #overlayStates(): Promise<Map<string, OverlayStatus>> {
    const states = new Map<string, OverlayStatus>();
    await Promise.all(
      Object.keys(this.#context.store.state.nodes).map(async (node) => {
        if (this.#context.store.state.nodes[node]?.reach !== 'up') return;
        try {
          const agent = await this.#context.agent(node);
          states.set(node, await agent.call('overlay.status', {}, { deadlineMs: callDeadlineMs }));
        } catch {
          // Shown as unreachable by the connection itself.
        }
      }),
    );
    return states;
  }

  async #lookAtOverlay(): Promise<void> {
    const states = await this.#overlayStates();
    const changes: Change[] = [];
    const name = this.#namesOfNodes();
    const servlets = servletsOf(states);
    for (const [node, status] of states) {
      const roles: OverlayNode['roles'] = [];
      if (Object.values(status.sessions).some((count) => count > 0)) roles.push('access-point');
      if (servlets.has(node)) roles.push('servlet');
      if (status.records.some((record) => record.owner)) roles.push('directory');
      else if (status.records.length > 0) roles.push('replica');
      this.#patchInto(changes, 'nodes', node, {
        ringIdentifier: status.ringIdentifier,
        successors: status.successors.map(name),
        predecessor: status.predecessor ? name(status.predecessor) : null,
        fingers: [...new Set(status.fingers.map(name))],
        roles,
        flooded: status.flooded,
        clientLinks: status.clientLinks,
        sessions: Object.values(status.sessions).reduce((sum, count) => sum + count, 0),
      });
    }
    for (const service of Object.keys(this.#context.store.state.services)) {
      const entry = [...states].find(([, status]) => (status.sessions[service] ?? 0) > 0);
      const seat = this.#seats().find(
        (candidate) => candidate.path === 'overlay' && candidate.service === service,
      );
      const accessPoint = seat?.accessPoint ? this.#enrolment.nameOf(seat.accessPoint) : (entry?.[0] ?? null);
      const route = routeOf(states, accessPoint, service);
      this.#patchInto(changes, 'services', service, {
        sessions: [...states.values()].reduce((sum, status) => sum + (status.sessions[service] ?? 0), 0),
        directory:
          [...states].find(([, status]) =>
            status.records.some((record) => record.owner && record.service === service),
          )?.[0] ?? null,
        accessPoint,
        servlet: route.length > 1 ? route.at(-1) : null,
        route,
      });
    }
    this.#context.store.change(changes);
    this.#countLost(states);
    const reading = this.#readRing(states);
    // Whoever is up and did not answer this time may be alive or not: nothing can be said of the whole ring.
    const doubtful = reading.silent.some((node) => this.#context.store.state.nodes[node]?.reach !== 'down');
    if (doubtful || reading.members.length === 0) return;
    const violations = this.#ringViolations.observe(reading.violations);
    if (violations.length > 0 || reading.violations.length === 0) this.#showRing(violations);
  }

  /**
   * Says after a move how many sessions it cost: those that access points had to end against the will of
   * both ends since it began. One that was parked too long ends later and is added then.
   */
  #countLost(states: ReadonlyMap<string, OverlayStatus>): void {
    const { store, clock, recorder } = this.#context;
    const total = (service: string) =>
      [...this.#lost.values()].reduce((sum, lost) => sum + (lost[service] ?? 0), 0);
    const before = new Map(Object.keys(store.state.services).map((service) => [service, total(service)]));
    for (const [node, { lost }] of states) this.#lost.set(node, lost);
    const now = clock.now();
    const countingSince = this.#countingSince;
    this.#countingSince ??= now;
    for (const move of Object.values(store.state.moves)) {
      const { id, service, startedAt, endedAt, sessionsCarried } = move;
      // A move may begin and end between two looks; what the earlier one counted is then what there was at its start.
      const isSeenFirst =
        endedAt === null ||
        (countingSince !== null &&
          startedAt >= countingSince &&
          move.sessionsLost === null &&
          now - endedAt <= lostCountedMs);
      if (isSeenFirst && !this.#lostBeforeMove.has(id))
        this.#lostBeforeMove.set(id, before.get(service) ?? total(service));
      const atStart = this.#lostBeforeMove.get(id);
      if (endedAt === null || atStart === undefined) continue;
      const lost = Math.max(0, total(service) - atStart);
      if (now - endedAt > lostCountedMs) this.#lostBeforeMove.delete(id);
      else if (move.state === 'done' && sessionsCarried !== null && lost !== move.sessionsLost)
        recorder.record({
          kind: 'observation',
          type: 'move.sessions',
          tone: lost === 0 ? 'good' : 'attack',
          text:
            lost === 0
              ? `No session of ${service} was lost; ${sessionsCarried} were open.`
              : `${lost} of ${Math.max(lost, sessionsCarried)} sessions of ${service} were lost.`,
          subject: service,
          changes: [{ op: 'patch', collection: 'moves', id, value: { sessionsLost: lost } }],
        });
    }
  }

  async #lookAtSites(): Promise<void> {
    const changes: Change[] = [];
    const seen = new Set<string>();
    await Promise.all(
      Object.values(this.#context.store.state.sites).map(async (site) => {
        if (site.reach !== 'up') return;
        try {
          const agent = await this.#context.agent(site.id);
          const status = await agent.call('site.status', {}, { deadlineMs: callDeadlineMs });
          this.#patchInto(changes, 'sites', site.id, {
            pods: status.pods.filter((pod) => pod.state !== 'stopped').map((pod) => pod.service),
            decoys: (status.decoys ?? []).map((decoy) => decoy.service),
          });
          for (const pod of status.pods) {
            if (this.#context.store.state.services[pod.service]?.site !== site.id) continue;
            if (pod.usage) this.#patchInto(changes, 'services', pod.service, { usage: coarse(pod.usage) });
            // An organisation cannot ask the access points, which are the operator's.
            if (this.#context.manifest.isShare)
              this.#patchInto(changes, 'services', pod.service, { sessions: pod.sessions });
          }
          changes.push(...this.#spares.seen(site.id, status.spares ?? []));
          for (const lifeline of status.lifelines) {
            if (lifeline.side !== 'storage') continue;
            const service = this.#context.store.state.services[lifeline.service];
            if (!service || service.site === site.id) continue;
            seen.add(lifeline.service);
            this.#lifeline(changes, {
              id: lifeline.service,
              service: lifeline.service,
              fromSite: site.id,
              stone: this.#context.manifest.hosts[site.id]?.viaStone ?? '',
              toSite: service.site,
              state: lifeline.state,
              bytesPerSecond: this.#rate(lifeline.service, lifeline.bytes),
              roundTripMs: lifeline.roundTripMs === null ? null : round(lifeline.roundTripMs),
            });
          }
        } catch {
          // Shown as unreachable by the connection itself.
        }
      }),
    );
    for (const id of Object.keys(this.#context.store.state.lifelines)) {
      const lifeline = this.#context.store.state.lifelines[id];
      const service = lifeline && this.#context.store.state.services[lifeline.service];
      if (
        !seen.has(id) &&
        (!service || service.site === lifeline.fromSite || service.site === service.homeSite)
      )
        changes.push({ op: 'remove', collection: 'lifelines', id });
      else if (!seen.has(id)) this.#patchInto(changes, 'lifelines', id, { state: 'cut', bytesPerSecond: 0 });
    }
    this.#context.store.change(changes);
  }

  #lifeline(changes: Change[], lifeline: Lifeline): void {
    if (this.#context.store.state.lifelines[lifeline.id])
      this.#patchInto(changes, 'lifelines', lifeline.id, lifeline);
    else changes.push({ op: 'upsert', collection: 'lifelines', id: lifeline.id, value: lifeline });
  }

  #rate(id: string, bytes: number): number {
    const now = this.#context.clock.monotonic();
    const before = this.#lifelineBytes.get(id);
    this.#lifelineBytes.set(id, { bytes, at: now });
    return before && now > before.at
      ? Math.max(0, Math.round(((bytes - before.bytes) / (now - before.at)) * 1000))
      : 0;
  }

  #showRing([violation]: readonly RingViolation[]): void {
    const before = this.#context.store.state.ring.ring;
    const holds = violation === undefined;
    const culprit = violation?.culprit ?? null;
    const rule = violation ? `${violation.rule}: ${violation.detail}` : null;
    const value = { id: 'ring' as const, holds, culprit, rule, verifiedAt: this.#context.clock.now() };
    this.#context.store.change([{ op: 'upsert', collection: 'ring', id: 'ring', value }]);
    if (before?.holds === holds || (before?.holds === undefined && holds)) return;
    this.#context.recorder.record({
      kind: 'observation',
      type: holds ? 'ring.holds' : 'ring.violated',
      tone: holds ? 'good' : 'attack',
      text: holds ? 'The ring invariant holds.' : `The ring invariant is violated at ${culprit}: ${rule}`,
      ...(culprit === null ? {} : { subject: culprit }),
    });
  }

  #emitTelemetry(): void {
    const at = this.#context.clock.now();
    const latency: Telemetry['latency'] = [];
    for (const [seat, samples] of this.#samples) {
      const taken = samples.splice(0);
      const histogram = new Histogram();
      let failures = 0;
      for (const sample of taken) {
        if (sample.outcome === 'ok') histogram.record(sample.durationMs);
        else failures += 1;
      }
      const some = histogram.count > 0;
      latency.push({
        service: seat.service,
        path: seat.path,
        count: taken.length,
        failures,
        waiting: seat.waiting,
        p50Ms: some ? histogram.percentile(0.5) : null,
        p95Ms: some ? histogram.percentile(0.95) : null,
        maximumMs: some
          ? Math.max(...taken.filter((sample) => sample.outcome === 'ok').map((sample) => sample.durationMs))
          : null,
      });
      const last = taken.at(-1);
      if (last && endOf(last) > at + 60_000)
        this.#context.log(`the clock of ${seat.host} runs ahead of this one`);
    }
    const transfers = Object.values(this.#context.store.state.moves).flatMap(({ id, endedAt, progress }) =>
      endedAt !== null || progress === null
        ? []
        : [
            {
              move: id,
              bytes: progress.bytes,
              totalBytes: progress.totalBytes,
              bytesPerSecond: progress.bytesPerSecond,
            },
          ],
    );
    const telemetry: Telemetry = { at, latency, transfers, links: [...this.#links.values()] };
    for (const listener of this.#telemetryListeners) listener(telemetry);
  }

  #patch<C extends 'sites' | 'nodes' | 'services' | 'lifelines'>(
    collection: C,
    id: string,
    value: object,
  ): void {
    const changes: Change[] = [];
    this.#patchInto(changes, collection, id, value);
    this.#context.store.change(changes);
  }

  /** Adds a patch of the fields that differ, if any do. */
  #patchInto(
    changes: Change[],
    collection: 'sites' | 'nodes' | 'services' | 'lifelines',
    id: string,
    value: object,
  ): void {
    const before = this.#context.store.state[collection][id] as Record<string, unknown> | undefined;
    if (!before) return;
    const differing = Object.fromEntries(
      Object.entries(value).filter(
        ([name, wanted]) => JSON.stringify(before[name]) !== JSON.stringify(wanted),
      ),
    );
    if (Object.keys(differing).length > 0)
      changes.push({ op: 'patch', collection, id, value: differing } as Change);
  }
}

/** Usage as people read it: what a quiet service uses in a second is no news. */
function coarse(usage: ServiceUsage): ServiceUsage {
  return {
    ...usage,
    processorMs: Math.round(usage.processorMs / 100) * 100,
    memoryBytes: Math.round(usage.memoryBytes / 65_536) * 65_536,
  };
}

function round(value: number): number {
  return Math.round(value * 10) / 10;
}
