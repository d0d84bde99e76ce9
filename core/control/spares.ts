import type { SpareStatus } from '../contract/agent-contract.ts';
import type { CheckedInputOf } from '../contract/contract.ts';
import type { Spare } from '../contract/domain.ts';
import type { Change, ConsoleState } from '../contract/state.ts';
import { MoveError, toMoveError } from '../runtime/errors.ts';
import { type ControlContext, serviceOf, siteOf } from './control-context.ts';
import { endpointOf } from './host-plan.ts';

const callDeadlineMs = 5_000;
/** So many rounds later than it should be, a spare counts as behind. */
const roundsLate = 3;

/** The site that a service's moves prefer because it is kept current; null while there is none that is. */
export function spareSiteOf(state: Pick<ConsoleState, 'spares'>, service: string): string | null {
  const spare = state.spares[service];
  return spare?.state === 'current' ? spare.site : null;
}

/**
 * Which site is kept nearly current with which service. What was asked for stands in the journal; the site where the
 * service is learns of it when it is asked for, and again whenever it turns out not to know: after a move, or after
 * its agent began anew.
 */
export class Spares {
  readonly #context: ControlContext;
  /** Services whose site is being told just now. */
  readonly #telling = new Set<string>();

  constructor(context: ControlContext) {
    this.#context = context;
  }

  /**
   * Begins to keep a site current with a service, in place of any other one.
   * @throws MoveError `SERVICE_UNKNOWN`, `SITE_UNKNOWN`, `SITE_FOREIGN`, `TARGET_UNUSABLE` where the service is, or
   * that of its site's agent: then nothing has changed.
   */
  async keep({ service, site, everySeconds }: CheckedInputOf<'spare.keep'>, actor: string): Promise<Spare> {
    const { state } = serviceOf(this.#context, service);
    siteOf(this.#context, site);
    if (state.site === site)
      throw new MoveError('TARGET_UNUSABLE', `${service} is at ${site} itself. Choose another site.`, {
        site,
      });
    const spare: Spare = { ...beginning, id: service, site, everySeconds };
    await this.#tell(spare, state.site);
    this.#context.recorder.record({
      kind: 'intent',
      type: 'spare.kept',
      tone: 'decision',
      text: `${site} is kept nearly current with ${service}, every ${everySeconds} s.`,
      subject: service,
      actor,
      changes: [{ op: 'upsert', collection: 'spares', id: service, value: spare }],
    });
    return spare;
  }

  /**
   * Ends it. A site that does not answer is told as soon as it does.
   * @throws MoveError `SPARE_UNKNOWN`.
   */
  async drop(service: string, actor: string): Promise<void> {
    const { store, recorder } = this.#context;
    const spare = store.state.spares[service];
    if (!spare)
      throw new MoveError(
        'SPARE_UNKNOWN',
        `${service} has no spare. "move spare list" lists those there are.`,
        {
          service,
        },
      );
    recorder.record({
      kind: 'intent',
      type: 'spare.dropped',
      tone: 'decision',
      text: `${spare.site} is kept current with ${service} no more.`,
      subject: service,
      actor,
      changes: [{ op: 'remove', collection: 'spares', id: service }],
    });
    const site = store.state.services[service]?.site;
    if (site) await this.#tellDropped(service, site);
  }

  /** Every spare, in the order of their services. */
  list(): Spare[] {
    return Object.values(this.#context.store.state.spares).sort((a, b) => a.id.localeCompare(b.id));
  }

  /** Takes what a site tells of the spares that it keeps current, and tells it where that is not what it should keep. */
  seen(site: string, kept: readonly SpareStatus[]): Change[] {
    const { services, spares } = this.#context.store.state;
    for (const { service } of kept)
      if (!spares[service] || services[service]?.site !== site) void this.#tellDropped(service, site);
    const changes: Change[] = [];
    for (const spare of Object.values(spares)) {
      const service = services[spare.id];
      if (service?.site !== site || service.state !== 'running') continue;
      const status = kept.find((candidate) => candidate.service === spare.id);
      const isAsAsked = status?.site === spare.site && status.everyMs === spare.everySeconds * 1_000;
      const isThere = this.#context.manifest.hosts[spare.site] !== undefined;
      if (spare.site !== site && isThere && !isAsAsked) this.#tellAgain(spare, site);
      const value =
        spare.site === site ? idle : !isThere ? nowhere : isAsAsked ? this.#shown(status) : beginning;
      const differs = Object.entries(value).some(([name, now]) => spare[name as keyof Spare] !== now);
      if (differs) changes.push({ op: 'patch', collection: 'spares', id: spare.id, value });
    }
    return changes;
  }

  #shown(status: SpareStatus): Partial<Spare> {
    const { currentAt, everyMs, error, rounds, bytes, lastBytes, lastMs, processorMs } = status;
    const lateAfterMs = everyMs * roundsLate + lastMs + callDeadlineMs;
    const isLate = currentAt !== null && this.#context.clock.now() - currentAt > lateAfterMs;
    return {
      state: error !== null || isLate ? 'behind' : currentAt === null ? 'beginning' : 'current',
      currentAt,
      rounds,
      bytes,
      lastBytes,
      lastMs,
      processorMs,
      fault: error?.message ?? null,
    };
  }

  #tellAgain(spare: Spare, at: string): void {
    if (this.#telling.has(spare.id)) return;
    this.#telling.add(spare.id);
    this.#tell(spare, at)
      .catch((thrown) => this.#context.log(`the spare of ${spare.id}: ${toMoveError(thrown).message}`))
      .finally(() => this.#telling.delete(spare.id));
  }

  async #tell(spare: Spare, at: string): Promise<void> {
    const host = this.#context.manifest.hosts[spare.site];
    if (!host)
      throw new MoveError('SITE_UNKNOWN', `There is no hosting site ${spare.site}.`, { site: spare.site });
    const agent = await this.#context.agent(at);
    await agent.call(
      'source.keepSpare',
      { service: spare.id, target: endpointOf(host), everyMs: spare.everySeconds * 1_000 },
      { deadlineMs: callDeadlineMs },
    );
  }

  async #tellDropped(service: string, at: string): Promise<void> {
    try {
      const agent = await this.#context.agent(at);
      await agent.call('source.dropSpare', { service }, { deadlineMs: callDeadlineMs });
    } catch (thrown) {
      // Seen again with it when it answers, it is told again.
      this.#context.log(`the spare of ${service}: ${toMoveError(thrown).message}`);
    }
  }
}

const nothingYet = {
  currentAt: null,
  rounds: 0,
  bytes: 0,
  lastBytes: 0,
  lastMs: 0,
  processorMs: 0,
  fault: null,
};
const beginning = { ...nothingYet, state: 'beginning' as const };
const nowhere = {
  ...nothingYet,
  state: 'behind' as const,
  fault: 'There is no such site any more. Keep another one, or drop the spare.',
};
const idle = { ...nothingYet, state: 'idle' as const };
