import { randomUUID } from 'node:crypto';
import type { Move, MovePhaseName, Service, Site } from '../contract/domain.ts';
import type { Change } from '../contract/state.ts';
import { MoveRunner } from '../moves/move-runner.ts';
import type { ShipProgress } from '../moves/move-source.ts';
import { predictOutage } from '../moves/prediction.ts';
import { killSource } from '../moves/source-kill.ts';
import { chooseTarget, type TargetChoice } from '../moves/target-choice.ts';
import { MoveError, toMoveError } from '../runtime/errors.ts';
import { type ControlContext, requireNotHalted, serviceOf, siteOf } from './control-context.ts';
import { endpointOf } from './host-plan.ts';
import { MoveTurns, type QueuedOrder } from './move-turns.ts';
import { preflightOf } from './preflights.ts';
import type { Seat } from './seats.ts';
import type { ServiceKeys } from './service-keys.ts';

const ended = new Set<Move['state']>(['done', 'rolled-back', 'failed']);
/** How often people's seats ask while a service moves, in milliseconds. */
const movePaceMs = 10;
/** How often a host that did not answer is asked again for what a move still needs of it. */
const retryMs = 2_000;
const movesKept = 200;

/** Queues, starts, watches, takes back and recovers moves. One move a service at a time. */
export class Moves {
  readonly #context: ControlContext;
  readonly #keys: ServiceKeys;
  readonly #seats: () => readonly Seat[];
  readonly #runners = new Map<string, MoveRunner>();
  readonly #waiters = new Set<() => void>();
  readonly #timers = new Set<NodeJS.Timeout>();
  readonly #turns: MoveTurns;
  /** Called when a move was taken back, or did not even begin. */
  onTakenBack: (move: Move) => void = () => undefined;
  #stopped = false;
  /** Moves that are brought to their end: said once, however often that is tried. */
  readonly #recovering = new Set<string>();
  readonly #killing = new Set<string>();

  constructor(context: ControlContext, keys: ServiceKeys, seats: () => readonly Seat[]) {
    this.#context = context;
    this.#keys = keys;
    this.#seats = seats;
    this.#turns = new MoveTurns({
      context,
      begin: (order, target) => this.#begin(order, target),
      drop: (order, error) => this.#drop(order, error),
    });
  }

  /**
   * Asks for a move and returns it as it is queued: it begins when nothing under way shares its source, target or
   * stone, and when its target, which is asked then, takes the service. `preferred` is a target that another is drawn
   * for when it cannot take the service by then; `to` is the very one.
   * @throws MoveError `HALTED`, `SERVICE_UNKNOWN`, `SERVICE_BUSY`, `SITE_UNKNOWN`, `TARGET_UNUSABLE`, `NO_TARGET`.
   */
  start(order: {
    service: string;
    to?: string | undefined;
    preferred?: string | undefined;
    pauseAt?: MovePhaseName | undefined;
    requestedBy: string;
    reason: string;
    attack?: string | null;
  }): Move {
    const { store, clock } = this.#context;
    requireNotHalted(this.#context);
    const { state } = serviceOf(this.#context, order.service);
    if (this.#turns.has(order.service))
      throw new MoveError(
        'SERVICE_BUSY',
        `A move of ${order.service} waits for its turn already. Take that one back first.`,
      );
    if (state.state !== 'running')
      throw new MoveError(
        'SERVICE_BUSY',
        `${order.service} is ${state.state} just now and cannot start to move.`,
        {
          state: state.state,
        },
      );
    const usable = order.preferred === undefined ? undefined : store.state.sites[order.preferred];
    const preferred = usable?.reach === 'up' && !usable.attacked ? usable.id : undefined;
    const { site: target } = this.target(order.service, order.to ?? preferred);
    const source = siteOf(this.#context, state.site);
    const prediction = predictOutage({
      service: order.service,
      source,
      target,
      history: Object.values(store.state.moves),
      ...preflightOf(store.state, order.service, target.id),
    });
    const move: Move = {
      id: randomUUID(),
      service: order.service,
      from: state.site,
      to: target.id,
      stone: this.#context.manifest.hosts[state.site]?.viaStone ?? '',
      epoch: state.epoch + 1,
      state: 'queued',
      queuedAt: clock.now(),
      waitsFor: [],
      requestedBy: order.requestedBy,
      reason: order.reason,
      attack: order.attack ?? null,
      pausedBefore: null,
      phases: [],
      startedAt: clock.now(),
      endedAt: null,
      outageMs: null,
      predictedOutageMs: prediction.outageMs,
      stateBytes: null,
      wireBytes: null,
      aheadBytes: null,
      sessionsCarried: null,
      sessionsLost: null,
      error: null,
      progress: null,
      failure: null,
      owed: null,
    };
    this.#record(move, 'intent', 'move.queued', `A move of ${order.service} is asked for: ${order.reason}`);
    this.#turns.add({ move, wished: order.to !== undefined, pauseAt: order.pauseAt ?? null });
    return this.#move(move.id);
  }

  /** The turn of a queued move has come. */
  #begin({ move: queued, pauseAt }: QueuedOrder, target: Site): void {
    const { store, clock } = this.#context;
    const { description } = serviceOf(this.#context, queued.service);
    const source = siteOf(this.#context, queued.from);
    const move: Move = {
      ...queued,
      to: target.id,
      state: 'running',
      waitsFor: [],
      startedAt: clock.now(),
      predictedOutageMs: predictOutage({
        service: queued.service,
        source,
        target,
        history: Object.values(store.state.moves),
        ...preflightOf(store.state, queued.service, target.id),
      }).outageMs,
    };
    this.#record(
      move,
      'intent',
      'move.started',
      `${move.service} moves from ${move.from} to ${move.to}: ${move.reason}`,
    );
    const runner = new MoveRunner({ move, service: description, pauseAt }, this.#ports());
    this.#follow(runner, runner.run());
  }

  /** A queued move that does not take place: nothing of it had begun. */
  #drop({ move }: QueuedOrder, error: MoveError): void {
    const dropped: Move = {
      ...move,
      state: 'rolled-back',
      waitsFor: [],
      endedAt: this.#context.clock.now(),
      error: error.toBody(),
    };
    this.#record(
      dropped,
      'observation',
      'move.dropped',
      `${move.service} does not move and goes on at ${move.from}. ${error.message}`,
    );
    if (!this.#stopped) this.onTakenBack(dropped);
  }

  /** The site that a service would move to: the wished one if it can take it, else one drawn at random. */
  target(service: string, wished: string | undefined): TargetChoice {
    const { state } = serviceOf(this.#context, service);
    const question = this.#turns.question({ id: '', service, from: state.site });
    // What other moves use now may be free when this one's turn comes.
    if (wished === undefined) return chooseTarget({ ...question, passedOver: {} }, this.#context.random);
    const site = siteOf(this.#context, wished);
    if (site.id === state.site)
      throw new MoveError('TARGET_UNUSABLE', `${service} is at ${wished} already. Choose another site.`);
    if (site.reach !== 'up')
      throw new MoveError('TARGET_UNUSABLE', `${wished} does not answer. Choose another site.`);
    if (site.attacked)
      throw new MoveError('TARGET_UNUSABLE', `${wished} is attacked itself. Choose another site.`);
    const isAgreed = state.capacity?.reservedAt.includes(wished) ?? false;
    return { site, basis: isAgreed ? 'agreed' : 'on demand', among: 1 };
  }

  /** Answers when the move has ended or paused, or when the limit has passed. */
  async wait(id: string, limitMs: number, signal: AbortSignal): Promise<Move> {
    const until = this.#context.clock.monotonic() + limitMs;
    for (;;) {
      const move = this.#move(id);
      const left = until - this.#context.clock.monotonic();
      if (ended.has(move.state) || move.pausedBefore !== null || left <= 0 || signal.aborted) return move;
      await new Promise<void>((resolve) => {
        const wake = () => {
          clearTimeout(timer);
          this.#waiters.delete(wake);
          resolve();
        };
        const timer = setTimeout(wake, Math.min(left, 1_000));
        this.#waiters.add(wake);
      });
    }
  }

  proceed(id: string): Move {
    const move = this.#move(id);
    const runner = this.#runners.get(id);
    if (!runner || move.pausedBefore === null)
      throw new MoveError('MOVE_NOT_PAUSED', 'This move is not paused.', { state: move.state });
    runner.proceed();
    return runner.move;
  }

  cancel(id: string): Move {
    const move = this.#move(id);
    if (this.#turns.cancel(id)) return this.#move(id);
    const runner = this.#runners.get(id);
    if (!runner) throw new MoveError('MOVE_ENDED', 'This move has ended already.', { state: move.state });
    runner.cancel();
    return runner.move;
  }

  /** Takes what a source tells about a state on its way. */
  progress(event: { move: string; startedAt: number; at: number } & Omit<ShipProgress, 'move'>): void {
    const { move, startedAt, at, bytes, totalBytes, wireBytes, level } = event;
    const seconds = Math.max(0.001, (at - startedAt) / 1000);
    this.#runners
      .get(move)
      ?.progress({ bytes, totalBytes, wireBytes, level, bytesPerSecond: Math.round(bytes / seconds) });
  }

  /** Takes every uncommitted move back, those that wait for their turn included; returns how many there were. */
  takeAllBack(): number {
    let count = this.#turns.cancelAll();
    for (const runner of this.#runners.values()) {
      if (runner.move.state === 'committed' || runner.move.endedAt !== null) continue;
      runner.cancel();
      count += 1;
    }
    return count;
  }

  /**
   * Brings moves to an end that an earlier controller left: committed ones forward, all others back, and goes on
   * with what hosts still owe. Agents are asked first by the calls themselves: each is idempotent and fenced.
   */
  recover(): void {
    for (const move of Object.values(this.#context.store.state.moves)) {
      if (move.owed === 'kill' && ended.has(move.state)) this.#killLater(move);
      if ((ended.has(move.state) && move.owed !== 'rollback') || this.#runners.has(move.id)) continue;
      const description = this.#context.services.get(move.service);
      if (!description) continue;
      if (move.state === 'queued') {
        const why = 'The control plane began anew before its turn had come. Ask for it again.';
        this.#drop({ move, wished: true, pauseAt: null }, new MoveError('CONTROLLER_RESTARTED', why));
        continue;
      }
      const runner = new MoveRunner(
        { move: { ...move, pausedBefore: null }, service: description, pauseAt: null },
        this.#ports(),
      );
      if (!this.#recovering.has(move.id))
        this.#record(
          runner.move,
          'observation',
          'move.recovering',
          move.state === 'committed'
            ? `The move of ${move.service} had been committed; it is carried to its end.`
            : `The move of ${move.service} had not been committed; it is taken back.`,
        );
      this.#recovering.add(move.id);
      this.#follow(
        runner,
        move.state === 'committed' ? runner.resumeCommitted() : runner.resumeUncommitted(),
      );
    }
  }

  stop(): void {
    this.#stopped = true;
    this.#turns.stop();
    for (const timer of this.#timers) clearTimeout(timer);
  }

  #follow(runner: MoveRunner, run: Promise<Move>): void {
    this.#runners.set(runner.move.id, runner);
    const restore = this.#seats()
      .filter((seat) => seat.service === runner.move.service)
      .map((seat) => seat.pace(movePaceMs));
    void run.then((move) => {
      for (const undo of restore) undo();
      this.#runners.delete(move.id);
      this.#wake();
      this.#turns.look();
      if (move.state === 'rolled-back' && !this.#stopped) this.onTakenBack(move);
      if (ended.has(move.state) && move.owed !== 'rollback') this.#recovering.delete(move.id);
      // Committed and not at its end, nothing may be taken back; what hosts owe is asked for until they answer.
      if (move.state === 'committed' || move.owed !== null) this.#later(() => this.recover());
    });
  }

  #later(act: () => void): void {
    if (this.#stopped) return;
    const timer = setTimeout(() => {
      this.#timers.delete(timer);
      act();
    }, retryMs);
    this.#timers.add(timer);
  }

  /** Has the frozen copy that a move left behind killed as soon as its site answers, however long that takes. */
  #killLater(move: Move): void {
    if (this.#killing.has(move.id)) return;
    this.#killing.add(move.id);
    const again = async (): Promise<void> => {
      const objection = await killSource(this.#context, move);
      if (this.#stopped) return;
      if (objection) {
        this.#later(() => void again());
        return;
      }
      this.#killing.delete(move.id);
      const now = this.#context.store.state.moves[move.id];
      if (!now) return;
      this.#record(
        { ...now, owed: null, failure: now.failure?.phase === 'commit' ? null : now.failure },
        'observation',
        'move.source-killed',
        `The frozen copy at ${now.from} is killed, now that ${now.from} answers again.`,
      );
    };
    void again();
  }

  #ports(): ConstructorParameters<typeof MoveRunner>[1] {
    const { clock, store } = this.#context;
    return {
      agent: (host) => this.#context.agent(host),
      delegate: (service, site, epoch) => this.#keys.delegate(service, site, epoch),
      endpoint: (site) => {
        const host = this.#context.manifest.hosts[site];
        if (!host) throw new MoveError('SITE_UNKNOWN', `There is no hosting site ${site}.`);
        return endpointOf(host);
      },
      warm: (target) => {
        for (const node of Object.values(store.state.nodes)) {
          if (node.reach !== 'up') continue;
          this.#context
            .agent(node.id)
            .then((agent) => agent.call('overlay.prepare', { sites: [target] }, { deadlineMs: 5_000 }))
            .catch((thrown) =>
              this.#context.log(
                `${node.id} did not dial ${target.name} ahead: ${toMoveError(thrown).message}`,
              ),
            );
        }
      },
      firstAnswer: (service, notBefore, limitMs) => {
        const seat = this.#seats().find(
          (candidate) => candidate.path === 'overlay' && candidate.service === service,
        );
        return seat
          ? seat.firstRightAnswer(notBefore, limitMs).then((at) => ({ watched: true, at }))
          : Promise.resolve({ watched: false, at: null });
      },
      now: () => clock.now(),
      record: (move, type, text) => this.#record(move, 'observation', type, text),
      show: (move) => {
        store.change([{ op: 'upsert', collection: 'moves', id: move.id, value: move }]);
        this.#wake();
      },
    };
  }

  #record(move: Move, kind: 'intent' | 'observation', type: string, text: string): void {
    // A late word about a move that is over says nothing about where its service is now.
    const isLate = type === 'move.source-killed' && move.state === 'done';
    this.#context.recorder.record({
      kind,
      type,
      tone: toneOf(move, type),
      text,
      subject: move.service,
      actor: move.requestedBy,
      changes: [
        { op: 'upsert', collection: 'moves', id: move.id, value: move },
        // A move that waits, or never began, says nothing about its service.
        ...(isLate || type === 'move.queued' || type === 'move.dropped' ? [] : [this.#serviceChange(move)]),
        ...(type === 'move.queued' ? this.#overtaken(move) : []),
        ...this.#forgotten(),
      ],
    });
    this.#wake();
  }

  #serviceChange(move: Move): Change {
    return { op: 'patch', collection: 'services', id: move.service, value: this.#serviceAfter(move) };
  }

  /** What a move says about its service: where it is and which epoch counts follows from the commit alone. */
  #serviceAfter(move: Move): Partial<Service> {
    if (move.state === 'done') return { site: move.to, epoch: move.epoch, state: 'running' };
    if (move.state === 'committed') return { site: move.to, epoch: move.epoch, state: 'moving' };
    if (move.state === 'rolled-back') return { state: 'running' };
    return { state: move.state === 'failed' ? 'down' : 'moving' };
  }

  /** Proposals for a service that moves anyway wait for nobody any more. */
  #overtaken(move: Move): Change[] {
    return Object.values(this.#context.store.state.proposals)
      .filter((proposal) => proposal.service === move.service && proposal.state === 'waiting')
      .map(({ id }) => ({
        op: 'patch',
        collection: 'proposals',
        id,
        value: { state: 'withdrawn', decidedBy: 'the service moves', decidedAt: move.startedAt },
      }));
  }

  #forgotten(): { op: 'remove'; collection: 'moves'; id: string }[] {
    const moves = Object.values(this.#context.store.state.moves).filter(
      (move) => ended.has(move.state) && move.owed === null,
    );
    return moves
      .sort((a, b) => a.startedAt - b.startedAt)
      .slice(0, Math.max(0, moves.length - movesKept))
      .map(({ id }) => ({ op: 'remove', collection: 'moves', id }));
  }

  #move(id: string): Move {
    const move = this.#context.store.state.moves[id];
    if (!move) throw new MoveError('MOVE_UNKNOWN', `There is no move ${id}.`, { move: id });
    return move;
  }

  #wake(): void {
    for (const wake of [...this.#waiters]) wake();
  }
}

function toneOf(move: Move, type: string): 'good' | 'decision' | 'attack' | 'plain' {
  if (type === 'move.done') return 'good';
  if (move.state === 'failed') return 'attack';
  return type === 'move.queued' ||
    type === 'move.started' ||
    type === 'move.committed' ||
    type === 'move.paused'
    ? 'decision'
    : 'plain';
}
