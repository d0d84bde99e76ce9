import { randomUUID } from 'node:crypto';
import type { Drill, DrillKind, Move, MovePolicy, RingVerification } from '../contract/domain.ts';
import { type DrillPlan, isAttackDrill, planDrill } from '../drills/drill-plan.ts';
import type { DrillEvent, DrillPorts } from '../drills/drill-ports.ts';
import { runDrill } from '../drills/drill-runner.ts';
import type { DrillMove } from '../drills/judge-drill.ts';
import { loadOf } from '../drills/load-of-drill.ts';
import { MoveError, toMoveError } from '../runtime/errors.ts';
import type { AttackResponse } from './attack-response.ts';
import { beginAtHome } from './begin-at-home.ts';
import { type ControlContext, requireNotHalted, serviceOf, siteOf } from './control-context.ts';
import { publicAddress } from './host-plan.ts';
import type { Moves } from './moves-control.ts';
import type { NodeFloods } from './node-floods.ts';
import { armRemoteLoad } from './remote-load.ts';
import { type Seat, seatOf } from './seats.ts';

const finished = new Set<Drill['state']>(['judged', 'aborted', 'failed']);
const drillPaceMs = 10;
const drillsKept = 100;

/** What a drill is asked for with. */
interface DrillOrder {
  kind: DrillKind;
  /** The site that the service shall move to. */
  to?: string | undefined;
  /** Whether the move needs nobody's approval. */
  autoApprove: boolean;
}

export interface DrillsParts {
  context: ControlContext;
  response: AttackResponse;
  moves: Moves;
  seats: () => readonly Seat[];
  nodeFloods: NodeFloods;
  verifyRing: (signal: AbortSignal) => Promise<RingVerification>;
  /** The name of an overlay node by its address. */
  nameOfNode: (address: string) => string;
}

/** Runs drills: the judged attacks inside the lab. One at a time. */
export class Drills {
  readonly #context: ControlContext;
  readonly #response: AttackResponse;
  readonly #moves: Moves;
  readonly #seats: () => readonly Seat[];
  readonly #parts: Pick<DrillsParts, 'nodeFloods' | 'verifyRing' | 'nameOfNode'>;
  #running: { id: string; abort: AbortController; done: Promise<void> } | null = null;

  constructor(parts: DrillsParts) {
    this.#context = parts.context;
    this.#response = parts.response;
    this.#moves = parts.moves;
    this.#seats = parts.seats;
    this.#parts = parts;
  }

  /**
   * Starts a drill against the home of the service, where people reach it directly too, or (`node-flood`) against the
   * overlay node by which the seat at a client host enters. A service that is elsewhere is brought home first, by an
   * ordinary move.
   * @throws MoveError `DRILL_RUNNING`, `HALTED`, `NODE_UNKNOWN`, `SEAT_MISSING`, `SERVICE_BUSY`, `SITE_UNKNOWN`, `TARGET_UNUSABLE`.
   */
  start(order: DrillOrder): Drill {
    const { store, clock, manifest } = this.#context;
    requireNotHalted(this.#context);
    if (this.#running)
      throw new MoveError('DRILL_RUNNING', 'A drill runs already. Wait for its end or stop everything.');
    // Drills are watched from both ways, overlay and direct: people sit at both for the lab's first service.
    const name = manifest.services[0]?.hostname ?? '';
    const { state } = serviceOf(this.#context, name);
    const home = state.homeSite;
    if (order.to !== undefined && siteOf(this.#context, order.to).id === home)
      throw new MoveError(
        'TARGET_UNUSABLE',
        `${home} is the home of ${name}, which is what a drill attacks. Choose another site to move to.`,
        { site: home },
      );
    if (state.state !== 'running' && state.state !== 'moving')
      throw new MoveError('SERVICE_BUSY', `${name} is ${state.state} just now. Wait until it runs.`);
    if (Object.values(store.state.moves).some((move) => move.service === name && move.pausedBefore !== null))
      throw new MoveError(
        'SERVICE_BUSY',
        `A move of ${name} is paused. Let it go on or take it back before you start a drill.`,
      );
    for (const path of ['overlay', 'direct'] as const) seatOf(this.#seats(), path, name);
    const role = order.kind === 'honest-surge' ? 'client' : 'bot';
    const senders = Object.values(manifest.hosts)
      .filter((host) => host.role === role)
      .map((host) => host.name);
    const target = order.kind === 'node-flood' ? this.#accessPoint(name) : home;
    const capacityMbit = manifest.hosts[target]?.rateMbit.global ?? 0;
    const plan = planDrill({
      kind: order.kind,
      service: name,
      site: target,
      senders,
      // A third more than the link carries, whatever it carries.
      ...(order.kind === 'node-flood' && senders.length > 0
        ? { mbitEach: Math.ceil((capacityMbit * 1.35) / senders.length) }
        : {}),
    });
    const drill: Drill = {
      id: randomUUID(),
      kind: order.kind,
      state: 'preparing',
      site: target,
      broughtHomeFrom: state.site === home ? null : state.site,
      startedAt: clock.now(),
      floodStartedAt: null,
      floodEndsAt: null,
      endedAt: null,
      verdict: null,
      report: null,
      error: null,
    };
    this.#record(drill, 'drill.started', `Drill ${order.kind} against ${target}.`, 'intent');
    const abort = new AbortController();
    const undo: (() => void)[] = [];
    const prepare = async (signal: AbortSignal) => {
      const notes = await beginAtHome(this.#context, this.#moves, name, signal, (from) =>
        store.change([{ op: 'patch', collection: 'drills', id: drill.id, value: { broughtHomeFrom: from } }]),
      );
      undo.push(...this.#arrange(name, order));
      return notes;
    };
    const done = runDrill(plan, { ...this.#ports(drill, plan), prepare }, abort.signal)
      .catch((thrown) => {
        // A drill that ended has said so itself, with its reason.
        const now = this.#drill(drill.id);
        if (finished.has(now.state)) return;
        this.#record(
          { ...now, state: 'failed', endedAt: clock.now(), error: toMoveError(thrown).toBody() },
          'drill.stopped',
          `The drill was stopped: ${toMoveError(thrown).message}`,
        );
      })
      .then(() => {
        for (const restore of undo) restore();
        this.#running = null;
      });
    this.#running = { id: drill.id, abort, done };
    return drill;
  }

  /** The overlay node by which the person in front of the service enters just now. */
  #accessPoint(service: string): string {
    const { accessPoint } = seatOf(this.#seats(), 'overlay', service);
    const node = accessPoint === null ? undefined : this.#parts.nameOfNode(accessPoint);
    if (node !== undefined && this.#context.store.state.nodes[node]) return node;
    throw new MoveError(
      'NODE_UNKNOWN',
      'Nobody has entered the overlay yet, so there is no access point to flood. Try again in a moment.',
    );
  }

  /** Answers when the drill is over, or when the limit has passed. */
  async wait(id: string, limitMs: number, signal: AbortSignal): Promise<Drill> {
    const until = this.#context.clock.monotonic() + limitMs;
    while (!finished.has(this.#drill(id).state) && this.#context.clock.monotonic() < until && !signal.aborted)
      await Promise.race([
        this.#running?.id === id ? this.#running.done : undefined,
        new Promise((resolve) => setTimeout(resolve, 200)),
      ]);
    if (this.#running?.id === id && finished.has(this.#drill(id).state)) await this.#running.done;
    return this.#drill(id);
  }

  /** Stops the running drill; returns how many there were. */
  async stopAll(reason: string): Promise<number> {
    if (!this.#running) return 0;
    this.#running.abort.abort(reason);
    await this.#running.done;
    return 1;
  }

  /** The policy and the wished target for the time of the drill. The site's detector is told nothing. */
  #arrange(service: string, order: DrillOrder): (() => void)[] {
    const undo: (() => void)[] = [];
    const before = serviceOf(this.#context, service).state.policy;
    if (!isAttackDrill(order.kind)) return undo;
    if (order.to !== undefined) undo.push(this.#response.wish(service, order.to));
    if (order.autoApprove && before !== 'automatic') {
      const set = (policy: MovePolicy) =>
        this.#context.store.change([{ op: 'patch', collection: 'services', id: service, value: { policy } }]);
      set('automatic');
      undo.push(() => set(before));
    }
    return undo;
  }

  #ports(drill: Drill, plan: DrillPlan): Omit<DrillPorts, 'prepare'> {
    const { clock, store, fleet, manifest } = this.#context;
    const service = manifest.services[0]?.hostname ?? '';
    const host = manifest.hosts[drill.site];
    const address = host ? publicAddress(host) : '';
    return {
      clock,
      startProbe: async (way, onSample) => {
        const seat = seatOf(this.#seats(), way, service);
        const slower = seat.pace(drillPaceMs);
        const silent = seat.onSample(onSample);
        return {
          stop: async () => {
            slower();
            // What was asked during the drill has its own limit; its answers still count.
            const until = clock.monotonic() + 6_000;
            while (seat.waiting > 2 && clock.monotonic() < until)
              await new Promise((resolve) => setTimeout(resolve, 50));
            silent();
          },
        };
      },
      armLoad: (sender) => {
        const { program, options } = loadOf(plan, { address, service });
        return armRemoteLoad(fleet, sender, program, options);
      },
      watchAlarms: (onAlarm) => {
        const seen = new Set(Object.keys(store.state.attacks));
        return store.listen((message) => {
          if (message.kind !== 'delta') return;
          for (const attack of Object.values(store.state.attacks)) {
            if (seen.has(attack.id) || (attack.site !== drill.site && drill.kind !== 'node-flood')) continue;
            seen.add(attack.id);
            onAlarm(attack);
          }
        });
      },
      awaitMove: (since, signal) =>
        new Promise((resolve, reject) => {
          const look = () => {
            const move = Object.values(store.state.moves).find(
              (candidate) =>
                candidate.service === service && candidate.startedAt >= since && isOver(candidate),
            );
            if (!move) return;
            stop();
            const proposal = Object.values(store.state.proposals).find(
              (candidate) => candidate.move === move.id,
            );
            resolve({ decidedAt: proposal?.decidedAt ?? move.startedAt, move: asDrillMove(move) });
          };
          let stop: () => void = () => undefined;
          stop = store.listen(() => queueMicrotask(look));
          signal.addEventListener(
            'abort',
            () => {
              stop();
              reject(signal.reason);
            },
            { once: true },
          );
        }),
      awaitReturn: (since, signal) => this.#parts.nodeFloods.awaitReturn(drill.site, since, signal),
      ringViolations: async (signal) => (await this.#parts.verifyRing(signal)).violations.length,
      tell: (event) => this.#tell(drill.id, event),
    };
  }

  #tell(id: string, event: DrillEvent): void {
    const drill = this.#drill(id);
    if (event.type === 'state')
      this.#context.store.change([{ op: 'patch', collection: 'drills', id, value: { state: event.state } }]);
    else if (event.type === 'flood-started')
      this.#record(
        { ...drill, floodStartedAt: event.at, floodEndsAt: event.endsAt },
        'drill.load',
        `Drill: ${event.senders.join(', ')} begin to send.`,
        'observation',
        'attack',
      );
    else if (event.type === 'judged')
      this.#record(
        {
          ...drill,
          state: 'judged',
          endedAt: event.at,
          verdict: event.report.verdict,
          report: { ...event.report },
        },
        'drill.judged',
        event.report.verdict
          ? 'The drill held: its hypothesis is true.'
          : 'The drill did not hold: see its report.',
        'observation',
        event.report.verdict ? 'good' : 'attack',
      );
    else
      this.#record(
        { ...drill, endedAt: event.at, error: event.error },
        'drill.stopped',
        `The drill was stopped: ${event.error.message}`,
      );
  }

  #record(
    drill: Drill,
    type: string,
    text: string,
    kind: 'intent' | 'observation' = 'observation',
    tone: 'decision' | 'good' | 'attack' = 'decision',
  ): void {
    const old = Object.values(this.#context.store.state.drills)
      .sort((a, b) => a.startedAt - b.startedAt)
      .slice(0, Math.max(0, Object.keys(this.#context.store.state.drills).length - drillsKept));
    this.#context.recorder.record({
      kind,
      type,
      tone,
      text,
      subject: drill.site,
      changes: [
        { op: 'upsert', collection: 'drills', id: drill.id, value: drill },
        ...old.map(({ id }) => ({ op: 'remove', collection: 'drills', id }) as const),
      ],
    });
  }

  #drill(id: string): Drill {
    const drill = this.#context.store.state.drills[id];
    if (!drill) throw new MoveError('DRILL_UNKNOWN', `There is no drill ${id}.`, { drill: id });
    return drill;
  }
}

function isOver(move: Move): boolean {
  return move.state === 'done' || move.state === 'rolled-back' || move.state === 'failed';
}

function asDrillMove(move: Move): DrillMove {
  return {
    id: move.id,
    from: move.from,
    to: move.to,
    state: move.state === 'done' || move.state === 'rolled-back' ? move.state : 'failed',
    phases: move.phases,
    stateBytes: move.stateBytes,
    wireBytes: move.wireBytes,
    aheadBytes: move.aheadBytes,
  };
}
