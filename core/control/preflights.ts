import type { ServiceDescription } from '../contract/agent-contract.ts';
import type { Service, Site } from '../contract/domain.ts';
import type { Finding, Preflight, Rehearsal, SiteFacts, SiteOutlook } from '../contract/preflight.ts';
import type { ConsoleState } from '../contract/state.ts';
import { checkPredictions, type PredictionInput, predictOutage } from '../moves/prediction.ts';
import { compareSites } from '../moves/site-compatibility.ts';
import { MoveError, toMoveError } from '../runtime/errors.ts';
import { type ControlContext, requireNotHalted, serviceOf, siteOf } from './control-context.ts';
import { ownSites } from './holdings.ts';
import { endpointOf } from './host-plan.ts';

const factsDeadlineMs = 5_000;
const wayDeadlineMs = 5_000;
const rehearsalDeadlineMs = 90_000;
/** How often running services are looked through without being asked. */
const lookEveryMs = 60_000;

/** What a preflight has measured that helps to predict a move to `site`. */
export function preflightOf(
  state: Pick<ConsoleState, 'preflights'>,
  service: string,
  site: string,
): Pick<PredictionInput, 'rehearsal' | 'roundTripMs'> {
  const preflight = state.preflights[service];
  const outlook = preflight?.sites.find((candidate) => candidate.site === site);
  return { rehearsal: preflight?.rehearsal ?? null, roundTripMs: outlook?.roundTripMs ?? null };
}

/**
 * Will it move? Finds what would keep a service from being carried before an attack does, rehearses the freeze and the dump,
 * and predicts the outage for each site.
 */
export class Preflights {
  readonly #context: ControlContext;
  readonly #busy = new Set<string>();
  #timer: NodeJS.Timeout | undefined;

  constructor(context: ControlContext) {
    this.#context = context;
  }

  /** Looks through running services now and then; only what has changed is journalled. */
  start(): void {
    this.#timer = setInterval(() => void this.#lookAround(), lookEveryMs);
  }

  stop(): void {
    clearInterval(this.#timer);
  }

  /**
   * One preflight. With a rehearsal the service stands still for as long as a dump takes.
   * @throws MoveError `SERVICE_UNKNOWN`, `SERVICE_BUSY` while it moves or is looked at already, `HALTED`, or that of its site's agent.
   */
  async run(
    service: string,
    options: { rehearse: boolean; actor: string },
  ): Promise<{ preflight: Preflight; checks: ReturnType<typeof checkPredictions> }> {
    if (options.rehearse) requireNotHalted(this.#context);
    const { description, state } = serviceOf(this.#context, service);
    if (state.state !== 'running' || this.#busy.has(service))
      throw new MoveError(
        'SERVICE_BUSY',
        `${service} is ${state.state === 'running' ? 'being looked at' : state.state} just now. Ask again when that has ended.`,
        { state: state.state },
      );
    this.#busy.add(service);
    try {
      const preflight = await this.#look(description, state, options.rehearse);
      this.#record(preflight, options.actor);
      return { preflight, checks: checkPredictions(service, Object.values(this.#context.store.state.moves)) };
    } finally {
      this.#busy.delete(service);
    }
  }

  async #look(description: ServiceDescription, state: Service, rehearses: boolean): Promise<Preflight> {
    const { store, clock } = this.#context;
    const service = description.hostname;
    const agent = await this.#context.agent(state.site);
    const inspection = await agent.call('source.inspect', { service }, { deadlineMs: factsDeadlineMs });
    const findings: Finding[] = [...inspection.findings];
    let rehearsal: Rehearsal | null = store.state.preflights[service]?.rehearsal ?? null;
    if (rehearses && findings.length === 0) {
      try {
        rehearsal = await agent.call('source.rehearse', { service }, { deadlineMs: rehearsalDeadlineMs });
      } catch (thrown) {
        const error = toMoveError(thrown);
        if (error.code === 'MOVE_CONFLICT' || error.code === 'DEADLINE_EXCEEDED') throw error;
        rehearsal = null;
        findings.push({ code: error.code, severity: 'blocks', message: error.message, subject: service });
      }
    }
    const here = await agent.call('site.facts', {}, { deadlineMs: factsDeadlineMs });
    const others = ownSites(store.state).filter((site) => site.id !== state.site);
    const sites = await Promise.all(
      others.map((site) =>
        this.#outlook(description, state, site, { here, rehearsal, memoryBytes: inspection.memoryBytes }),
      ),
    );
    const isBlocked = findings.some(({ severity }) => severity === 'blocks');
    return {
      id: service,
      at: clock.now(),
      site: state.site,
      verdict: isBlocked ? 'blocked' : sites.some(({ usable }) => usable) ? 'moves' : 'nowhere',
      findings,
      rehearsal,
      sites: sites.sort((a, b) => a.site.localeCompare(b.site)),
    };
  }

  /** What one site has to say to it. A site that cannot be asked is not usable. */
  async #outlook(
    description: ServiceDescription,
    state: Service,
    site: Site,
    known: { here: SiteFacts; rehearsal: Rehearsal | null; memoryBytes: number },
  ): Promise<SiteOutlook> {
    const outlook: SiteOutlook = {
      site: site.id,
      usable: false,
      findings: [],
      roundTripMs: null,
      predictedOutageMs: null,
      basis: '',
    };
    const { hosts } = this.#context.manifest;
    const host = hosts[site.id];
    if (!host) return outlook;
    try {
      const [agent, source] = await Promise.all([
        this.#context.agent(site.id),
        this.#context.agent(state.site),
      ]);
      const [facts, way] = await Promise.all([
        agent.call('site.facts', {}, { deadlineMs: factsDeadlineMs }),
        source.call('source.measureWay', { target: endpointOf(host) }, { deadlineMs: wayDeadlineMs }),
      ]);
      outlook.roundTripMs = Math.round(way.roundTripMs * 10) / 10;
      const pod = { image: description.image, memoryBytes: known.memoryBytes };
      outlook.findings.push(...compareSites(known.here, facts, site.id, pod));
    } catch (thrown) {
      const { code, message } = toMoveError(thrown);
      outlook.findings.push({ code, severity: 'blocks', message, subject: site.id });
    }
    if (site.attacked)
      outlook.findings.push({
        code: 'SITE_ATTACKED',
        severity: 'blocks',
        message: `${site.id} is attacked itself just now.`,
        subject: site.id,
      });
    outlook.usable = outlook.findings.every(({ severity }) => severity !== 'blocks');
    if (!outlook.usable) return outlook;
    const prediction = predictOutage({
      service: description.hostname,
      source: siteOf(this.#context, state.site),
      target: site,
      history: Object.values(this.#context.store.state.moves),
      rehearsal: known.rehearsal,
      roundTripMs: outlook.roundTripMs,
    });
    return { ...outlook, predictedOutageMs: prediction.outageMs, basis: prediction.basis };
  }

  #record(preflight: Preflight, actor: string): void {
    const { id, verdict, findings, rehearsal, sites } = preflight;
    const usable = sites.filter((site) => site.usable);
    const outages = usable.map((site) => site.predictedOutageMs ?? 0);
    const text = {
      blocked: `${id} would not move: ${findings[0]?.message ?? ''}`,
      nowhere: `${id} could be carried, but no other site can take it.`,
      moves: `${id} would move to ${usable.length} of ${sites.length} sites, silent for about ${Math.min(...outages)} to ${Math.max(...outages)} ms${
        rehearsal ? `; a rehearsal kept it still for ${rehearsal.silentMs} ms` : ''
      }.`,
    }[verdict];
    this.#context.recorder.record({
      kind: 'observation',
      type: 'service.preflight',
      tone: verdict === 'moves' ? 'good' : 'decision',
      text,
      subject: id,
      actor,
      changes: [{ op: 'upsert', collection: 'preflights', id, value: preflight }],
    });
  }

  /** Blockers come and go with what a service does: each running service is looked through, and what changed is told. */
  async #lookAround(): Promise<void> {
    const { store, log } = this.#context;
    for (const { id, state, site } of Object.values(store.state.services)) {
      if (state !== 'running' || this.#busy.has(id)) continue;
      try {
        const agent = await this.#context.agent(site);
        const { findings } = await agent.call(
          'source.inspect',
          { service: id },
          { deadlineMs: factsDeadlineMs },
        );
        const before = store.state.preflights[id]?.findings ?? [];
        const codes = (list: readonly Finding[]) =>
          list
            .map(({ code, subject }) => `${code} ${subject}`)
            .sort()
            .join();
        // What only a rehearsal can find stays until the next one.
        if (codes(findings) === codes(before.filter(({ subject }) => subject !== id))) continue;
        await this.run(id, { rehearse: false, actor: 'core' });
      } catch (thrown) {
        log(`looking through ${id}: ${toMoveError(thrown).message}`);
      }
    }
  }
}
