import type { z } from 'zod';
import type { AgentContract, Delegation, Endpoint, ServiceDescription } from '../contract/agent-contract.ts';
import type { Client } from '../contract/channel.ts';
import { type Move, type MovePhaseName, movePhaseNames } from '../contract/domain.ts';
import { MoveError, toMoveError } from '../runtime/errors.ts';

type OutputsOf<N extends keyof AgentContract> = z.output<AgentContract[N]['output']>;

/** What a move needs from the control plane. */
export interface MovePorts {
  agent(host: string): Promise<Client<AgentContract>>;
  /** Journals the move's new state durably before it returns. */
  record(move: Move, type: string, text: string): void;
  /** Shows a change of the running move that needs no journal entry of its own. */
  show(move: Move): void;
  delegate(service: string, site: string, epoch: number): Promise<Delegation>;
  endpoint(site: string): Endpoint;
  /** Lets overlay nodes dial the target ahead of need; a head start, never a condition. */
  warm(target: Endpoint): void;
  /** When the first right answer came through the overlay at or after `notBefore`; null when none came in time. */
  firstAnswer(service: string, notBefore: number, limitMs: number): Promise<number | null>;
  now(): number;
}

type TargetResult = OutputsOf<'target.run'>;

export interface MoveOrder {
  move: Move;
  service: ServiceDescription;
  pauseAt: MovePhaseName | null;
}

/** A host that does not answer is asked again this often to take its side back: a frozen service waits for it. */
const rollbackTries = 30;
const rollbackPauseMs = 1_000;

const beforeCommit = new Set<MovePhaseName>([
  'prepare',
  'freeze',
  'dump',
  'ship',
  'verify',
  'restore',
  'commit',
]);
/** Limits of single commands to agents, in milliseconds; the dump itself is never cut short. */
const limits = {
  prepare: 15_000,
  source: 60_000,
  target: 30_000,
  kill: 4_000,
  commit: 15_000,
  rollback: 10_000,
};

/**
 * Runs one move in the safe order of DESIGN.md, decision 4 (MOVE sections 2.3 and 2.4): freeze and
 * fence the source, dump, ship, verify, restore into a fenced target, probe it there, journal the
 * commit, kill the frozen source, only then lift the target's fence. Every fault before the commit
 * ends with the source thawed; after it nothing thaws.
 */
export class MoveRunner {
  readonly #ports: MovePorts;
  readonly #service: ServiceDescription;
  #move: Move;
  #pauseAt: MovePhaseName | null;
  #release: (() => void) | null = null;
  #cancelled = false;
  #delegation: Promise<Delegation> | null = null;

  constructor(order: MoveOrder, ports: MovePorts) {
    this.#ports = ports;
    this.#service = order.service;
    this.#move = order.move;
    this.#pauseAt = order.pauseAt;
  }

  get move(): Move {
    return this.#move;
  }

  /** Lets a paused move go on. */
  proceed(): void {
    this.#release?.();
  }

  /**
   * Takes the move back if it has not been committed.
   * @throws MoveError `MOVE_COMMITTED` when it is too late.
   */
  cancel(): void {
    if (this.#move.state === 'committed' || this.#move.state === 'done')
      throw new MoveError(
        'MOVE_COMMITTED',
        'This move has been committed and cannot be taken back. Move the service back instead.',
      );
    this.#cancelled = true;
    this.#release?.();
  }

  /**
   * Runs to the end and returns the move as it ended: done, rolled-back or failed. Never throws.
   * A move that comes back `committed` could not be finished yet; {@link resumeCommitted} tries again.
   */
  async run(): Promise<Move> {
    try {
      await this.#prepare();
      const arrival = await this.#awaitArrival();
      await this.#sourceSteps();
      await this.#targetSteps(arrival);
      await this.#gate('commit');
    } catch (thrown) {
      return this.#rollBack(toMoveError(thrown));
    }
    return this.#finish(this.#ports.now());
  }

  /**
   * Carries a move to its end that was committed before the controller died: the source is killed, the
   * target opened, whatever of it had happened already.
   */
  resumeCommitted(): Promise<Move> {
    return this.#afterCommit();
  }

  /** Takes back a move that the controller died in before the commit. */
  resumeUncommitted(): Promise<Move> {
    return this.#rollBack(
      new MoveError(
        'CONTROLLER_RESTARTED',
        'The controller ended before the commit, so the move was taken back.',
      ),
    );
  }

  async #prepare(): Promise<void> {
    await this.#gate('prepare');
    await this.#timed('prepare', async () => {
      const { id, service, from, to, epoch } = this.#move;
      const storageSite = this.#service.homeSite;
      const [source, target, storage] = await Promise.all([
        this.#ports.agent(from),
        this.#ports.agent(to),
        this.#ports.agent(storageSite),
      ]);
      const endpoint = this.#ports.endpoint(to);
      const options = { deadlineMs: limits.prepare };
      const steps: Promise<unknown>[] = [
        target.call(
          'target.prepare',
          { move: id, service: this.#service, epoch, source: from, storageSite },
          options,
        ),
        source.call('source.prepare', { move: id, service, epoch, target: endpoint }, options),
      ];
      if (this.#service.storage && storageSite !== to)
        steps.push(
          storage.call(
            'storage.open',
            { service, path: this.#service.storage.path, target: endpoint },
            options,
          ),
        );
      this.#ports.warm(endpoint);
      // Signed now, used after the commit: people wait for nothing that can be done before they have to.
      this.#delegation = this.#ports.delegate(service, to, epoch);
      steps.push(this.#delegation);
      const outcomes = await Promise.allSettled(steps);
      for (const outcome of outcomes) if (outcome.status === 'rejected') throw outcome.reason;
    });
  }

  async #sourceSteps(): Promise<void> {
    for (const group of this.#groups(['freeze', 'dump', 'ship'])) {
      await this.#gate(group[0]!);
      const source = await this.#ports.agent(this.#move.from);
      this.#begin(group[0]!);
      const result = await source.call(
        'source.run',
        { move: this.#move.id, steps: group },
        { deadlineMs: limits.source },
      );
      this.#took(result.phases, {
        stateBytes: result.stateBytes || this.#move.stateBytes,
        wireBytes: (this.#move.wireBytes ?? 0) + result.wireBytes + result.aheadBytes,
        aheadBytes: (this.#move.aheadBytes ?? 0) + result.aheadBytes,
        sessionsCarried: result.sessions,
      });
      this.#checkCancelled();
    }
  }

  /**
   * Asks the target, before the state is on its way, to verify and restore it the moment it has come: no
   * round trip lies in between. Only where nobody wants to stop before either step.
   */
  async #awaitArrival(): Promise<{ result: Promise<TargetResult> } | null> {
    if (this.#pauseAt !== null) return null;
    const target = await this.#ports.agent(this.#move.to);
    const result = target.call(
      'target.run',
      { move: this.#move.id, steps: ['verify', 'restore'] },
      { deadlineMs: limits.target },
    );
    // A fault of the source comes first and is told; this one would only follow from it.
    result.catch(() => undefined);
    return { result };
  }

  async #targetSteps(underWay: { result: Promise<TargetResult> } | null): Promise<void> {
    if (underWay) {
      this.#begin('verify');
      this.#took((await underWay.result).phases, {});
      this.#checkCancelled();
      return;
    }
    for (const group of this.#groups(['verify', 'restore'])) {
      await this.#gate(group[0]!);
      const target = await this.#ports.agent(this.#move.to);
      this.#begin(group[0]!);
      const result = await target.call(
        'target.run',
        { move: this.#move.id, steps: group },
        { deadlineMs: limits.target },
      );
      this.#took(result.phases, {});
      this.#checkCancelled();
    }
  }

  async #finish(committingAt: number): Promise<Move> {
    this.#set({
      state: 'committed',
      phases: [...this.#move.phases, { phase: 'commit', startedAt: committingAt, endedAt: null }],
    });
    this.#ports.record(
      this.#move,
      'move.committed',
      `Committed: ${this.#move.service} now belongs to ${this.#move.to}; the copy at ${this.#move.from} is killed frozen.`,
    );
    return this.#afterCommit();
  }

  async #afterCommit(): Promise<Move> {
    const { id, from, to, service, epoch } = this.#move;
    try {
      // An unreachable source is frozen and fenced, and nothing thaws it any more: its kill may come late.
      await this.#ports
        .agent(from)
        .then((source) => source.call('source.kill', { move: id }, { deadlineMs: limits.kill }))
        .then(
          () => this.#ports.record(this.#move, 'move.source-killed', `The frozen copy at ${from} is killed.`),
          (thrown) =>
            this.#ports.record(
              this.#move,
              'move.source-unreachable',
              `${from} could not confirm the kill (${toMoveError(thrown).message}) Its copy is frozen and fenced and never runs again.`,
            ),
        );
      this.#end('commit');
      await this.#gate('announce');
      this.#begin('announce');
      const target = await this.#ports.agent(to);
      const delegation = await (this.#delegation ?? this.#ports.delegate(service, to, epoch));
      const answer = await target.call(
        'target.commit',
        { move: id, delegation },
        { deadlineMs: limits.commit },
      );
      this.#took(answer.phases, {});
      if (this.#service.storage && this.#service.homeSite === to) await this.#closeLifeline();
      await this.#gate('firstAnswer');
      this.#begin('firstAnswer');
      const announced = this.#move.phases.find((phase) => phase.phase === 'announce');
      const answered = await this.#ports.firstAnswer(
        service,
        announced?.startedAt ?? this.#ports.now(),
        15_000,
      );
      const frozen = this.#move.phases.find((phase) => phase.phase === 'freeze');
      this.#answered(answered ?? this.#ports.now());
      this.#set({
        state: 'done',
        error: null,
        endedAt: this.#ports.now(),
        outageMs: answered !== null && frozen ? Math.max(0, answered - frozen.startedAt) : null,
      });
      this.#ports.record(
        this.#move,
        'move.done',
        answered === null
          ? `${service} runs at ${to}; no probe was there to see its first answer.`
          : `${service} answers at ${to} after ${Math.round(this.#move.outageMs ?? 0)} ms.`,
      );
    } catch (thrown) {
      // Still committed: whoever owns the moves tries again, since nothing may be taken back any more.
      const error = toMoveError(thrown);
      this.#set({ error: error.toBody() });
      this.#ports.record(
        this.#move,
        'move.target-unreachable',
        `After the commit ${to} could not be opened yet, it is tried again: ${error.message}`,
      );
    }
    return this.#move;
  }

  async #rollBack(error: MoveError): Promise<Move> {
    const { id, from, to, service } = this.#move;
    const faults: string[] = [];
    /** False when the host has never heard of the move, or forgot it with everything else it had. */
    const attempt = async (
      host: string,
      act: (agent: Client<AgentContract>) => Promise<unknown>,
      mostTries = rollbackTries,
    ): Promise<boolean> => {
      for (let tries = 1; ; tries += 1) {
        try {
          await act(await this.#ports.agent(host));
          return true;
        } catch (thrown) {
          const fault = toMoveError(thrown);
          if (fault.code === 'MOVE_UNKNOWN') return false;
          if (tries < mostTries) {
            await new Promise((resolve) => setTimeout(resolve, rollbackPauseMs));
            continue;
          }
          if (mostTries > 1) faults.push(`${host}: ${fault.message}`);
          return true;
        }
      }
    };
    const options = { deadlineMs: limits.rollback };
    // The target goes first, so that at no moment two copies could be lifted out of their fences.
    await attempt(to, (target) => target.call('target.discard', { move: id }, options));
    const known = await attempt(from, (source) => source.call('source.rollback', { move: id }, options));
    // A source that knows of no move may have no pod either, as in a new lab: its lifeline is asked for once then.
    const lifelineTries = known ? rollbackTries : 1;
    const storageSite = this.#service.homeSite;
    const { storage } = this.#service;
    if (storage === null) return this.#rolledBack(error, faults);
    if (storageSite === from)
      await attempt(from, (agent) => agent.call('storage.close', { service }, options), lifelineTries);
    else
      await attempt(
        storageSite,
        (agent) =>
          agent.call(
            'storage.open',
            { service, path: storage.path, target: this.#ports.endpoint(from) },
            options,
          ),
        lifelineTries,
      );
    return this.#rolledBack(error, faults);
  }

  #rolledBack(error: MoveError, faults: readonly string[]): Move {
    const { from, service } = this.#move;
    const now = this.#ports.now();
    this.#set({
      state: faults.length === 0 ? 'rolled-back' : 'failed',
      endedAt: now,
      pausedBefore: null,
      error: { ...error.toBody(), details: { ...error.details, ...(faults.length > 0 ? { faults } : {}) } },
      phases: this.#move.phases.map((phase) => ({ ...phase, endedAt: phase.endedAt ?? now })),
    });
    this.#ports.record(
      this.#move,
      faults.length === 0 ? 'move.rolled-back' : 'move.rollback-failed',
      faults.length === 0
        ? `Taken back: ${service} goes on at ${from}. ${error.message}`
        : `The move could not be taken back everywhere: ${faults.join(' ')}`,
    );
    return this.#move;
  }

  async #closeLifeline(): Promise<void> {
    const storage = await this.#ports.agent(this.#service.homeSite);
    await storage.call('storage.close', { service: this.#service.hostname }, { deadlineMs: limits.rollback });
  }

  /** Consecutive steps that go in one command, so that a frozen service waits for no round trip in between. */
  #groups<P extends MovePhaseName>(steps: readonly P[]): P[][] {
    const at = steps.indexOf(this.#pauseAt as P);
    return at > 0 ? [steps.slice(0, at), steps.slice(at)] : [[...steps]];
  }

  async #gate(phase: MovePhaseName): Promise<void> {
    this.#checkCancelled();
    if (this.#pauseAt !== phase) return;
    this.#pauseAt = null;
    const before = this.#move.state;
    const released = new Promise<void>((resolve) => {
      this.#release = resolve;
    });
    // After the commit the state must stay 'committed', or a restart would take it back.
    this.#set({ state: before === 'committed' ? 'committed' : 'paused', pausedBefore: phase });
    this.#ports.record(this.#move, 'move.paused', `Paused before ${phase}.`);
    await released;
    this.#release = null;
    this.#set({ state: before, pausedBefore: null });
    this.#ports.record(
      this.#move,
      'move.continued',
      this.#cancelled ? 'Taken back while paused.' : `Goes on with ${phase}.`,
    );
    if (beforeCommit.has(phase)) this.#checkCancelled();
  }

  #checkCancelled(): void {
    if (this.#cancelled && this.#move.state !== 'committed')
      throw new MoveError('MOVE_CANCELLED', 'The move was taken back before its commit.');
  }

  async #timed(phase: MovePhaseName, act: () => Promise<void>): Promise<void> {
    this.#begin(phase);
    await act();
    this.#end(phase);
  }

  #begin(phase: MovePhaseName): void {
    if (this.#move.phases.some((known) => known.phase === phase)) return;
    this.#set({ phases: [...this.#move.phases, { phase, startedAt: this.#ports.now(), endedAt: null }] });
  }

  #end(phase: MovePhaseName, at = this.#ports.now()): void {
    this.#set({
      phases: this.#move.phases.map((known) => (known.phase === phase ? { ...known, endedAt: at } : known)),
    });
  }

  /** People may be answered before the target's word about its announcement is back here. */
  #answered(at: number): void {
    const begun = this.#move.phases.find((phase) => phase.phase === 'firstAnswer')?.startedAt ?? at;
    this.#set({
      phases: this.#move.phases.map((known) =>
        known.phase === 'firstAnswer' ? { ...known, startedAt: Math.min(begun, at), endedAt: at } : known,
      ),
    });
  }

  /** Takes over the times that an agent measured, in the order of the phases. */
  #took(
    measured: readonly { phase: string; startedAt: number; endedAt: number }[],
    more: Partial<Move>,
  ): void {
    const byName = new Map(this.#move.phases.map((phase) => [phase.phase as string, phase]));
    for (const phase of measured) byName.set(phase.phase, phase as Move['phases'][number]);
    const phases = movePhaseNames.flatMap((name) => byName.get(name) ?? []);
    this.#set({ ...more, phases });
  }

  #set(change: Partial<Move>): void {
    this.#move = { ...this.#move, ...change };
    this.#ports.show(this.#move);
  }
}
