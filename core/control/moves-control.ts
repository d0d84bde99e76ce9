import { randomUUID } from 'node:crypto';
import type { Move, MovePhaseName, Service } from '../contract/domain.ts';
import type { Change } from '../contract/state.ts';
import { MoveRunner } from '../moves/move-runner.ts';
import { predictOutage } from '../moves/prediction.ts';
import { chooseTarget } from '../moves/target-choice.ts';
import { MoveError, toMoveError } from '../runtime/errors.ts';
import { type ControlContext, requireNotHalted, serviceOf, siteOf } from './control-context.ts';
import { endpointOf } from './host-plan.ts';
import { preflightOf } from './preflights.ts';
import type { Seat } from './seats.ts';
import type { ServiceKeys } from './service-keys.ts';

const ended = new Set<Move['state']>(['done', 'rolled-back', 'failed']);
/** How often people's seats ask while a service moves, in milliseconds. */
const movePaceMs = 10;
const retryCommittedMs = 2_000;
const movesKept = 200;

/** Starts, watches, takes back and recovers moves. One move a service at a time. */
export class Moves {
  readonly #context: ControlContext;
  readonly #keys: ServiceKeys;
  readonly #seats: () => readonly Seat[];
  readonly #runners = new Map<string, MoveRunner>();
  readonly #waiters = new Set<() => void>();
  readonly #timers = new Set<NodeJS.Timeout>();
  /** Called when a move that somebody had asked for by hand was taken back. */
  onTakenBack: () => void = () => undefined;
  #stopped = false;

  constructor(context: ControlContext, keys: ServiceKeys, seats: () => readonly Seat[]) {
    this.#context = context;
    this.#keys = keys;
    this.#seats = seats;
  }

  /**
   * Starts a move and returns it as it begins.
   * @throws MoveError `HALTED`, `SERVICE_UNKNOWN`, `SERVICE_BUSY`, `SITE_UNKNOWN`, `TARGET_UNUSABLE`, `NO_TARGET`.
   */
  start(order: {
    service: string;
    to?: string | undefined;
    pauseAt?: MovePhaseName | undefined;
    requestedBy: string;
    reason: string;
    attack?: string | null;
  }): Move {
    const { store, clock } = this.#context;
    requireNotHalted(this.#context);
    const { description, state } = serviceOf(this.#context, order.service);
    if (state.state !== 'running')
      throw new MoveError(
        'SERVICE_BUSY',
        `${order.service} is ${state.state} just now and cannot start to move.`,
        {
          state: state.state,
        },
      );
    const target = this.target(order.service, order.to);
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
      state: 'running',
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
    };
    this.#record(
      move,
      'intent',
      'move.started',
      `${order.service} moves from ${move.from} to ${move.to}: ${order.reason}`,
    );
    const runner = new MoveRunner(
      { move, service: description, pauseAt: order.pauseAt ?? null },
      this.#ports(),
    );
    this.#follow(runner, runner.run());
    return runner.move;
  }

  /** The site that a service would move to: the wished one if it can take it, else one drawn at random. */
  target(service: string, wished: string | undefined): ReturnType<typeof chooseTarget> {
    const { state } = serviceOf(this.#context, service);
    const sites = Object.values(this.#context.store.state.sites);
    if (wished === undefined) return chooseTarget(sites, state.site, this.#context.random);
    const site = siteOf(this.#context, wished);
    if (site.id === state.site)
      throw new MoveError('TARGET_UNUSABLE', `${service} is at ${wished} already. Choose another site.`);
    if (site.reach !== 'up')
      throw new MoveError('TARGET_UNUSABLE', `${wished} does not answer. Choose another site.`);
    if (site.attacked)
      throw new MoveError('TARGET_UNUSABLE', `${wished} is attacked itself. Choose another site.`);
    return site;
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
    const runner = this.#runners.get(id);
    if (!runner) throw new MoveError('MOVE_ENDED', 'This move has ended already.', { state: move.state });
    runner.cancel();
    return runner.move;
  }

  /** Takes every uncommitted move back; returns how many there were. */
  takeAllBack(): number {
    let count = 0;
    for (const runner of this.#runners.values()) {
      if (runner.move.state === 'committed') continue;
      runner.cancel();
      count += 1;
    }
    return count;
  }

  /**
   * Brings moves to an end that an earlier controller left: committed ones forward, all others back.
   * Agents are asked first by the calls themselves: each is idempotent and fenced.
   */
  recover(): void {
    for (const move of Object.values(this.#context.store.state.moves)) {
      if (ended.has(move.state) || this.#runners.has(move.id)) continue;
      const description = this.#context.services.get(move.service);
      if (!description) continue;
      const runner = new MoveRunner(
        { move: { ...move, pausedBefore: null }, service: description, pauseAt: null },
        this.#ports(),
      );
      this.#record(
        runner.move,
        'observation',
        'move.recovering',
        move.state === 'committed'
          ? `The move of ${move.service} had been committed; it is carried to its end.`
          : `The move of ${move.service} had not been committed; it is taken back.`,
      );
      this.#follow(
        runner,
        move.state === 'committed' ? runner.resumeCommitted() : runner.resumeUncommitted(),
      );
    }
  }

  stop(): void {
    this.#stopped = true;
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
      if (move.state === 'rolled-back' && move.requestedBy !== 'policy' && !this.#stopped) this.onTakenBack();
      // Committed and not at its end: nothing may be taken back, so it is tried until the target answers.
      if (move.state !== 'committed' || this.#stopped) return;
      const timer = setTimeout(() => {
        this.#timers.delete(timer);
        this.recover();
      }, retryCommittedMs);
      this.#timers.add(timer);
    });
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
        return seat ? seat.firstRightAnswer(notBefore, limitMs) : Promise.resolve(null);
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
    const service = this.#serviceAfter(move);
    this.#context.recorder.record({
      kind,
      type,
      tone: toneOf(move, type),
      text,
      subject: move.service,
      actor: move.requestedBy,
      changes: [
        { op: 'upsert', collection: 'moves', id: move.id, value: move },
        { op: 'patch', collection: 'services', id: move.service, value: service },
        ...(type === 'move.started' ? this.#overtaken(move) : []),
        ...this.#forgotten(),
      ],
    });
    this.#wake();
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
    const moves = Object.values(this.#context.store.state.moves).filter((move) => ended.has(move.state));
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
  return type === 'move.started' || type === 'move.committed' || type === 'move.paused'
    ? 'decision'
    : 'plain';
}
