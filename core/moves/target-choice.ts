import type { Site } from '../contract/domain.ts';
import { MoveError } from '../runtime/errors.ts';
import type { Random } from '../runtime/random.ts';

/**
 * Draws the site that a service moves to (MOVE section 2.4: "a random hosting site is selected and,
 * after querying its current status"): among the sites that answer and are not attacked at this
 * moment, other ISPs first, by a generator that nobody can predict.
 * @throws MoveError `NO_TARGET` with why each site was passed over.
 */
export function chooseTarget(sites: readonly Site[], from: string, random: Random): Site {
  const source = sites.find((site) => site.id === from);
  const passed: Record<string, string> = {};
  const usable = sites.filter((site) => {
    const why =
      site.id === from
        ? 'the service is there now'
        : site.reach !== 'up'
          ? 'it does not answer'
          : site.attacked
            ? 'it is attacked'
            : site.pods.length > 0
              ? 'it runs a service already'
              : null;
    if (why) passed[site.id] = why;
    return why === null;
  });
  const elsewhere = usable.filter((site) => site.isp !== source?.isp);
  const pool = elsewhere.length > 0 ? elsewhere : usable;
  if (pool.length === 0)
    throw new MoveError(
      'NO_TARGET',
      'No other site can take the service now. See the details for why each was passed over.',
      {
        passed,
      },
    );
  return pool[random.below(pool.length)]!;
}
