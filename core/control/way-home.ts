import type { Service } from '../contract/domain.ts';
import { respond } from '../moves/response-policy.ts';
import { toMoveError } from '../runtime/errors.ts';
import type { ControlContext } from './control-context.ts';
import type { Proposals } from './proposals-control.ts';
import { responseOf, situationOf } from './situation.ts';

const lookEveryMs = 1_000;
/** A way home that could not be taken is tried again after so long. */
const againAfterMs = 30_000;

/**
 * The way home after the storm: a service that fled is proposed to return, or returns, when its home has been quiet for
 * long enough. It looks once a second and steers by proposals alone.
 */
export class WayHome {
  readonly #context: Pick<ControlContext, 'clock' | 'store' | 'log'>;
  readonly #proposals: Pick<Proposals, 'propose'>;
  readonly #notBefore = new Map<string, number>();
  #cancel: () => void = () => undefined;

  constructor(
    context: Pick<ControlContext, 'clock' | 'store' | 'log'>,
    proposals: Pick<Proposals, 'propose'>,
  ) {
    this.#context = context;
    this.#proposals = proposals;
  }

  start(): void {
    this.#cancel();
    this.#cancel = this.#context.clock.after(lookEveryMs, () => {
      for (const service of Object.values(this.#context.store.state.services)) this.#look(service);
      this.start();
    });
  }

  stop(): void {
    this.#cancel();
  }

  #look(service: Service): void {
    const { store, clock, log } = this.#context;
    const { home, homeQuietSeconds } = responseOf(service);
    const now = clock.now();
    if (home === 'manual' || service.site === service.homeSite || service.state !== 'running') return;
    if (store.state.console.console?.halted || now < (this.#notBefore.get(service.id) ?? 0)) return;
    const isQueued = Object.values(store.state.moves).some(
      (move) => move.service === service.id && move.state === 'queued',
    );
    if (isQueued || store.state.sites[service.homeSite]?.reach !== 'up') return;
    const ways = Object.values(store.state.proposals).filter(
      (proposal) => proposal.service === service.id && proposal.kind === 'home',
    );
    // Who said no is not asked again before home has been quiet for as long once more.
    const declinedAt = Math.max(
      0,
      ...ways.map(({ state, decidedAt }) => (state === 'declined' ? (decidedAt ?? 0) : 0)),
    );
    if (ways.some(({ state }) => state === 'waiting') || now < declinedAt + homeQuietSeconds * 1000) return;
    const response = respond(situationOf(store.state, service, now));
    if (response.do !== 'go-home') return;
    try {
      this.#notBefore.set(service.id, now + againAfterMs);
      this.#proposals.propose({ service, attack: null, reason: response.why });
    } catch (thrown) {
      log(`the way home of ${service.id}: ${toMoveError(thrown).message}`);
    }
  }
}
