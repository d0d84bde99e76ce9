import type { Site } from '../contract/domain.ts';
import { MoveError } from '../runtime/errors.ts';
import type { Random } from '../runtime/random.ts';

/** So many pods a site takes when the target is drawn; a person may choose a fuller one. */
const podsMost = 4;

/**
 * Draws the site that a service moves to (MOVE section 2.4: "a random hosting site is selected and,
 * after querying its current status"): among the sites that answer and are not attacked at this
 * moment, by a generator that nobody can predict. Sites that run no service come first, so that services that are
 * attacked together do not meet at one; among equals other ISPs do.
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
            : site.pods.length >= podsMost
              ? `it runs ${site.pods.length} services already`
              : null;
    if (why) passed[site.id] = why;
    return why === null;
  });
  const isElsewhere = (site: Site) => site.isp !== source?.isp;
  const isEmpty = (site: Site) => site.pods.length === 0;
  const pools = [usable.filter((site) => isElsewhere(site) && isEmpty(site)), usable.filter(isEmpty)];
  const pool = [...pools, usable.filter(isElsewhere), usable].find((sites) => sites.length > 0);
  if (!pool)
    throw new MoveError(
      'NO_TARGET',
      'No other site can take the service now. See the details for why each was passed over.',
      {
        passed,
      },
    );
  return pool[random.below(pool.length)]!;
}
