import { randomUUID } from 'node:crypto';
import type { AgentEvent } from '../contract/agent-contract.ts';
import type { Attack, AttackClass, Move, Service } from '../contract/domain.ts';
import { respond } from '../moves/response-policy.ts';
import { toMoveError } from '../runtime/errors.ts';
import type { ControlContext } from './control-context.ts';
import type { Proposals } from './proposals-control.ts';
import { situationOf } from './situation.ts';

/** After a move that could not be carried through, and between further ones, in milliseconds. */
const firstRetryMs = 2_000;
const longestRetryMs = 30_000;

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
  readonly #proposals: Proposals;
  /** When a service is looked at again, by service: how that is called off. */
  readonly #again = new Map<string, () => void>();
  /** Moves in a row that the policy had begun and that were taken back, by service. */
  readonly #failures = new Map<string, number>();

  constructor(context: ControlContext, proposals: Proposals) {
    this.#context = context;
    this.#proposals = proposals;
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

  /** A move was taken back, or never began: what is still attacked is answered again. */
  takenBack(move: Move): void {
    if (move.requestedBy !== 'policy') {
      this.reconsider();
      return;
    }
    // Who took back what the policy had begun does not want it.
    if (move.error?.code === 'MOVE_CANCELLED' || move.attack === null) return;
    const failures = this.#failures.get(move.service) ?? 0;
    this.#failures.set(move.service, failures + 1);
    this.#lookAgain(
      move.service,
      this.#context.clock.now() + Math.min(longestRetryMs, firstRetryMs * 2 ** failures),
    );
  }

  stop(): void {
    for (const cancel of this.#again.values()) cancel();
    this.#again.clear();
  }

  #lookAgain(service: string, at: number): void {
    this.#again.get(service)?.();
    const cancel = this.#context.clock.after(Math.max(0, at - this.#context.clock.now()), () => {
      this.#again.delete(service);
      this.reconsider();
    });
    this.#again.set(service, cancel);
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
        ...this.#proposals.withdrawals((proposal) => proposal.attack === attack.id, 'the attack ended'),
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
    const response = respond(situationOf(store.state, service, clock.now()));
    const notBefore = response.do === 'stay' ? response.lookAgainAt : null;
    // A person may move it at once; a policy waits until it is sure that the service is followed.
    if (notBefore !== null && service.policy === 'automatic') {
      this.#lookAgain(service.id, notBefore);
      return;
    }
    try {
      this.#proposals.propose({
        service,
        attack,
        reason: attack.evidence,
        ...(notBefore === null ? {} : { notBefore }),
      });
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
      this.#lookAgain(service.id, clock.now() + longestRetryMs);
    }
  }
}
