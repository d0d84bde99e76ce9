import type { Service } from '../contract/domain.ts';
import { defaultResponse, type ResponseSettings } from '../contract/response-settings.ts';
import type { ConsoleState } from '../contract/state.ts';
import type { Situation } from '../moves/response-policy.ts';

/** How a service answers attacks; the product's defaults until somebody has chosen. */
export const responseOf = (service: Pick<Service, 'response'>): ResponseSettings =>
  service.response ?? defaultResponse;

/** What a service has been through, as the response policy reads it. */
export function situationOf(state: ConsoleState, service: Service, now: number): Situation {
  const homeward = new Set(
    Object.values(state.proposals).flatMap(({ kind, move }) => (kind === 'home' && move ? [move] : [])),
  );
  return {
    now,
    site: service.site,
    home: service.homeSite,
    homeQuietMs: responseOf(service).homeQuietSeconds * 1000,
    moves: Object.values(state.moves)
      .filter((move) => move.service === service.id && move.state === 'done')
      .map((move) => ({
        endedAt: move.endedAt ?? move.startedAt,
        from: move.from,
        to: move.to,
        why:
          move.attack !== null
            ? ('attack' as const)
            : homeward.has(move.id)
              ? ('home' as const)
              : ('other' as const),
      }))
      .sort((a, b) => a.endedAt - b.endedAt),
    attacks: Object.values(state.attacks).map(({ site, detectedAt, overAt, state: stage }) => ({
      site,
      detectedAt,
      overAt: stage === 'active' ? null : (overAt ?? detectedAt),
    })),
  };
}
