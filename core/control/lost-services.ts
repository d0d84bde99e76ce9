import { isUnderWay } from '../contract/domain.ts';
import type { ConsoleState } from '../contract/state.ts';

/** Looks in a row that must miss a service: what is known of a site's pods is up to some seconds old. */
const looksThatCount = 4;

/**
 * Tells of services that are said to run at a site which answers and has no such pod: the site lost its power, and with
 * it all that stood in its memory. A service that moves is left to its move.
 */
export class LostServices {
  readonly #missed = new Map<string, number>();

  /** Looks once; returns the services that count as lost now, each of them once for each loss. */
  look({ services, sites, moves }: Pick<ConsoleState, 'services' | 'sites' | 'moves'>): string[] {
    const moving = new Set(
      Object.values(moves)
        .filter(isUnderWay)
        .map(({ service }) => service),
    );
    const lost: string[] = [];
    for (const { id, state, site } of Object.values(services)) {
      const host = sites[site];
      const isMissing =
        state === 'running' && !moving.has(id) && host?.reach === 'up' && !host.pods.includes(id);
      const missed = isMissing ? (this.#missed.get(id) ?? 0) + 1 : 0;
      this.#missed.set(id, missed);
      if (missed === looksThatCount) lost.push(id);
    }
    for (const id of this.#missed.keys()) if (!services[id]) this.#missed.delete(id);
    return lost;
  }
}
