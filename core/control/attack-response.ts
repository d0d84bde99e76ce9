import { randomUUID } from 'node:crypto';
import type { AgentEvent } from '../contract/agent-contract.ts';
import type { Attack, AttackClass, Proposal, Service } from '../contract/domain.ts';
import { predictOutage } from '../moves/prediction.ts';
import { MoveError, toMoveError } from '../runtime/errors.ts';
import { type ControlContext, requireNotHalted, serviceOf, siteOf } from './control-context.ts';
import type { Moves } from './moves-control.ts';
import { preflightOf } from './preflights.ts';

/** Each class in words, for the journal. */
const attackWords: Record<AttackClass, string> = {
  'udp-flood': 'UDP flood',
  'syn-flood': 'SYN flood',
  'icmp-flood': 'ICMP flood',
  'http-flood': 'HTTP flood',
  'slow-http': 'slow HTTP',
  'expensive-requests': 'expensive requests',
  'router-flood': 'flood at a router beside the site',
};

type AttackReport = Extract<AgentEvent, { type: 'attack' }>;

/**
 * What follows from an alarm: an attack on the map, and for each service there a proposal that a person
 * or a policy decides (MOVE section 2.4). It knows alarms, never drills.
 */
export class AttackResponse {
  readonly #context: ControlContext;
  readonly #moves: Moves;
  readonly #wished = new Map<string, string>();

  constructor(context: ControlContext, moves: Moves) {
    this.#context = context;
    this.#moves = moves;
  }

  /** Until the returned function is called, a move of this service goes to `site` when it can. */
  wish(service: string, site: string): () => void {
    this.#wished.set(service, site);
    return () => this.#wished.delete(service);
  }

  /** Takes a report of a site's agent. */
  report(site: string, report: AttackReport): void {
    const { kind } = report;
    // A crowd of honest people is shown and answered by nothing: who moves from it serves nobody better.
    if (kind === 'honest-surge') {
      this.#surge(site, report);
      return;
    }
    const active = Object.values(this.#context.store.state.attacks).find(
      (attack) => attack.site === site && attack.kind === kind && attack.state === 'active',
    );
    if (report.state === 'over') {
      if (active) this.#over(active, report.at);
      return;
    }
    // The same alarm is told again to a controller that reconnects.
    const attack = active ?? this.#begin(site, kind, report);
    for (const service of Object.values(this.#context.store.state.services))
      if (service.site === site) this.#propose(service, attack);
  }

  approve(id: string, by: string): Proposal {
    requireNotHalted(this.#context);
    const proposal = this.#waiting(id);
    const move = this.#moves.start({
      service: proposal.service,
      to: proposal.to,
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

  /** Proposes for what is attacked right now: after a policy was changed, a move failed or a stop was released. */
  reconsider(): void {
    for (const attack of Object.values(this.#context.store.state.attacks)) {
      if (attack.state !== 'active') continue;
      for (const service of Object.values(this.#context.store.state.services))
        if (service.site === attack.site) this.#propose(service, attack);
    }
  }

  #surge(site: string, report: AttackReport): void {
    const { store, recorder } = this.#context;
    const surge = report.state === 'active' ? report.evidence : null;
    if (!store.state.sites[site] || (store.state.sites[site].surge ?? null) === surge) return;
    recorder.record({
      kind: 'observation',
      type: surge ? 'surge.detected' : 'surge.over',
      tone: 'plain',
      text: surge ? `An honest surge at ${site}: ${surge}` : `The honest surge at ${site} is over.`,
      subject: site,
      actor: `agent:${site}`,
      changes: [{ op: 'patch', collection: 'sites', id: site, value: { surge } }],
    });
  }

  #begin(site: string, kind: AttackClass, report: AttackReport): Attack {
    const attack: Attack = {
      id: randomUUID(),
      site,
      kind,
      state: 'active',
      evidence: report.evidence,
      inboundMbit: report.inboundMbit,
      sources: null,
      firstEvidenceAt: report.firstEvidenceAt,
      detectedAt: report.detectedAt,
      reportedAt: this.#context.clock.now(),
      overAt: null,
    };
    this.#context.recorder.record({
      kind: 'observation',
      type: 'attack.detected',
      tone: 'attack',
      text: `Attack on ${site} (${attackWords[kind]}): ${report.evidence}`,
      subject: site,
      actor: `agent:${site}`,
      changes: [
        { op: 'upsert', collection: 'attacks', id: attack.id, value: attack },
        { op: 'patch', collection: 'sites', id: site, value: { attacked: true } },
      ],
    });
    return attack;
  }

  #over(attack: Attack, at: number): void {
    const others = Object.values(this.#context.store.state.attacks).filter(
      (other) => other.site === attack.site && other.state === 'active' && other.id !== attack.id,
    );
    const withdrawn = Object.values(this.#context.store.state.proposals).filter(
      (proposal) => proposal.attack === attack.id && proposal.state === 'waiting',
    );
    this.#context.recorder.record({
      kind: 'observation',
      type: 'attack.over',
      tone: 'good',
      text: `The attack on ${attack.site} (${attackWords[attack.kind]}) is over.`,
      subject: attack.site,
      actor: `agent:${attack.site}`,
      changes: [
        { op: 'patch', collection: 'attacks', id: attack.id, value: { state: 'over', overAt: at } },
        { op: 'patch', collection: 'sites', id: attack.site, value: { attacked: others.length > 0 } },
        ...withdrawn.map(
          ({ id }) =>
            ({
              op: 'patch',
              collection: 'proposals',
              id,
              value: { state: 'withdrawn', decidedAt: at, decidedBy: 'the attack ended' },
            }) as const,
        ),
      ],
    });
  }

  #propose(service: Service, attack: Attack): void {
    const { store, clock, recorder, log } = this.#context;
    if (service.policy === 'manual' || service.state !== 'running' || store.state.console.console?.halted)
      return;
    const before = Object.values(store.state.proposals).find(
      (proposal) =>
        proposal.attack === attack.id && proposal.service === service.id && proposal.state !== 'withdrawn',
    );
    if (before && before.state !== 'approved') return;
    try {
      const wished = this.#wished.get(service.id);
      const target = this.#moves.target(service.id, wished);
      const source = siteOf(this.#context, service.site);
      const prediction = predictOutage({
        service: service.id,
        source,
        target,
        history: Object.values(store.state.moves),
        ...preflightOf(store.state, service.id, target.id),
      });
      const usable = Object.values(store.state.sites).filter(
        (site) => site.reach === 'up' && !site.attacked && site.id !== source.id,
      );
      const proposal: Proposal = {
        id: randomUUID(),
        service: service.id,
        from: source.id,
        to: target.id,
        reasons: [
          attack.evidence,
          wished
            ? `${target.id} was asked for.`
            : `${target.id} was drawn at random among ${usable.length} healthy sites; other ISPs come first.`,
        ],
        predictedOutageMs: prediction.outageMs,
        predictedFrom: prediction.basis,
        sessions: service.sessions,
        staysBehind: service.staysBehind,
        undo: `Move back to ${source.id} when the attack is over, the same way.`,
        attack: attack.id,
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
      if (service.policy === 'automatic') this.approve(proposal.id, 'policy');
    } catch (thrown) {
      const error = toMoveError(thrown);
      log(`no proposal for ${service.id}: ${error.message}`);
      recorder.record({
        kind: 'observation',
        type: 'move.not-proposed',
        tone: 'attack',
        text: `${service.id} is attacked and cannot be moved: ${error.message}`,
        subject: service.id,
        data: { code: error.code },
      });
    }
  }

  #decide(proposal: Proposal, by: string, text: string): Proposal {
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
