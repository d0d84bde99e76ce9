import { randomUUID } from 'node:crypto';
import type { Attack, Proposal, Service } from '../contract/domain.ts';
import type { Change } from '../contract/state.ts';
import { predictOutage } from '../moves/prediction.ts';
import { MoveError, toMoveError } from '../runtime/errors.ts';
import { type ControlContext, requireNotHalted, serviceOf, siteOf } from './control-context.ts';
import type { Moves } from './moves-control.ts';
import { preflightOf } from './preflights.ts';
import { responseOf } from './situation.ts';

interface ProposalOrder {
  service: Service;
  /** What it flees from; null on the way home. */
  attack: Attack | null;
  reason: string;
  /** No deadline falls before this, in milliseconds since the epoch: a service that is chased stays for a while. */
  notBefore?: number;
}

/**
 * Proposed moves: each waits for a person, for its deadline, or for a policy that decides at once (MOVE section 2.4).
 */
export class Proposals {
  readonly #context: ControlContext;
  readonly #moves: Moves;
  readonly #wished = new Map<string, string>();
  readonly #deadlines = new Map<string, () => void>();

  constructor(context: ControlContext, moves: Moves) {
    this.#context = context;
    this.#moves = moves;
  }

  /** Until the returned function is called, a move of this service goes to `site` when it can. */
  wish(service: string, site: string): () => void {
    this.#wished.set(service, site);
    return () => this.#wished.delete(service);
  }

  /**
   * Proposes a move; where the policy is automatic it begins at once.
   * @throws MoveError `NO_TARGET`, `TARGET_UNUSABLE` and others of a move that cannot be.
   */
  propose({ service, attack, reason, notBefore = 0 }: ProposalOrder): Proposal {
    const { store, clock, recorder } = this.#context;
    const isHome = attack === null;
    const wished = isHome ? service.homeSite : this.#wished.get(service.id);
    const { site: target, basis, among } = this.#moves.target(service.id, wished);
    const source = siteOf(this.#context, service.site);
    const prediction = predictOutage({
      service: service.id,
      source,
      target,
      history: Object.values(store.state.moves),
      ...preflightOf(store.state, service.id, target.id),
    });
    const settings = responseOf(service);
    const isAutomatic = (isHome ? settings.home : service.policy) === 'automatic';
    const deadlineAt =
      isAutomatic || settings.deadlineSeconds === null
        ? null
        : Math.max(notBefore, clock.now() + settings.deadlineSeconds * 1000);
    const proposal: Proposal = {
      id: randomUUID(),
      service: service.id,
      from: source.id,
      to: target.id,
      kind: isHome ? 'home' : 'away',
      reasons: [
        reason,
        isHome
          ? `${target.id} is its home.`
          : wished
            ? `${target.id} was asked for.`
            : `${target.id} was drawn at random among ${among} healthy ${among === 1 ? 'site' : 'sites'}; capacity there is ${basis === 'agreed' ? 'agreed in advance' : 'taken on demand'}. It is asked before anything stands still, and drawn anew if it says no.`,
      ],
      predictedOutageMs: prediction.outageMs,
      predictedFrom: prediction.basis,
      sessions: service.sessions,
      staysBehind: service.staysBehind,
      undo: isHome
        ? `Move back to ${source.id}, the same way.`
        : `Move back to ${source.id} when the attack is over, the same way.`,
      deadlineAt,
      atDeadline: settings.atDeadline,
      attack: attack?.id ?? null,
      state: 'waiting',
      decidedBy: null,
      createdAt: clock.now(),
      decidedAt: null,
      move: null,
    };
    recorder.record({
      kind: 'intent',
      type: 'move.proposed',
      tone: 'decision',
      text: `Proposed: move ${service.id} from ${source.id} to ${target.id}, silent for about ${prediction.outageMs} ms.`,
      subject: service.id,
      changes: [{ op: 'upsert', collection: 'proposals', id: proposal.id, value: proposal }],
    });
    if (isAutomatic) return this.approve(proposal.id, 'policy');
    if (deadlineAt !== null)
      this.#deadlines.set(
        proposal.id,
        clock.after(deadlineAt - clock.now(), () => this.#atDeadline(proposal.id)),
      );
    return proposal;
  }

  /** @throws MoveError `PROPOSAL_UNKNOWN`, `PROPOSAL_DECIDED`, `HALTED` and others of a move that cannot be. */
  approve(id: string, by: string): Proposal {
    requireNotHalted(this.#context);
    const proposal = this.#waiting(id);
    const isHome = proposal.kind === 'home';
    const wished = isHome ? proposal.to : this.#wished.get(proposal.service);
    const move = this.#moves.start({
      service: proposal.service,
      ...(wished === undefined ? { preferred: proposal.to } : { to: wished }),
      requestedBy: by,
      reason: proposal.reasons[0] ?? 'approved',
      attack: proposal.attack,
    });
    return this.#decide(
      { ...proposal, state: 'approved', move: move.id },
      by,
      `${by} approved: ${proposal.service} moves to ${proposal.to}.`,
    );
  }

  decline(id: string, by: string): Proposal {
    const proposal = this.#waiting(id);
    return this.#decide(
      { ...proposal, state: 'declined' },
      by,
      `${by} declined: ${proposal.service} stays at ${proposal.from}.`,
    );
  }

  /** The changes that withdraw what waits, as far as it is meant. */
  withdrawals(which: (proposal: Proposal) => boolean, by: string): Change[] {
    const waiting = Object.values(this.#context.store.state.proposals).filter(
      (proposal) => proposal.state === 'waiting' && which(proposal),
    );
    return waiting.map(({ id }) => {
      this.#forgetDeadline(id);
      const value = { state: 'withdrawn', decidedAt: this.#context.clock.now(), decidedBy: by } as const;
      return { op: 'patch', collection: 'proposals', id, value };
    });
  }

  stop(): void {
    for (const cancel of this.#deadlines.values()) cancel();
    this.#deadlines.clear();
  }

  #atDeadline(id: string): void {
    this.#deadlines.delete(id);
    const proposal = this.#context.store.state.proposals[id];
    if (proposal?.state !== 'waiting') return;
    try {
      if (proposal.atDeadline === 'move') this.approve(id, 'its deadline');
      else this.decline(id, 'its deadline');
    } catch (thrown) {
      this.#context.log(`the deadline of a proposal for ${proposal.service}: ${toMoveError(thrown).message}`);
    }
  }

  #forgetDeadline(id: string): void {
    this.#deadlines.get(id)?.();
    this.#deadlines.delete(id);
  }

  #decide(proposal: Proposal, by: string, text: string): Proposal {
    this.#forgetDeadline(proposal.id);
    const decided: Proposal = { ...proposal, decidedBy: by, decidedAt: this.#context.clock.now() };
    this.#context.recorder.record({
      kind: 'intent',
      type: `proposal.${decided.state}`,
      tone: 'decision',
      text,
      subject: proposal.service,
      actor: by,
      changes: [{ op: 'upsert', collection: 'proposals', id: proposal.id, value: decided }],
    });
    return decided;
  }

  #waiting(id: string): Proposal {
    const proposal = this.#context.store.state.proposals[id];
    if (!proposal) throw new MoveError('PROPOSAL_UNKNOWN', `There is no proposal ${id}.`, { proposal: id });
    if (proposal.state !== 'waiting')
      throw new MoveError('PROPOSAL_DECIDED', `This proposal has been ${proposal.state} already.`, {
        state: proposal.state,
      });
    serviceOf(this.#context, proposal.service);
    return proposal;
  }
}
