/**
 * When a service leaves a site that is attacked, and when it goes home (MOVE section 2.4). Pure: what is known goes in,
 * what to do comes out. All times are milliseconds.
 */

/** What a service has been through, newest last. */
export interface PastMove {
  endedAt: number;
  from: string;
  to: string;
  /** Away from an attack, home after a storm, or for another reason (by hand, by a drill). */
  why: 'attack' | 'home' | 'other';
}

export interface PastAttack {
  site: string;
  detectedAt: number;
  /** null while it goes on. */
  overAt: number | null;
}

export interface Situation {
  now: number;
  site: string;
  home: string;
  moves: readonly PastMove[];
  attacks: readonly PastAttack[];
  /** How long home must have been quiet before the first way home. */
  homeQuietMs: number;
}

type Response =
  | { do: 'stay'; why: string; lookAgainAt: number | null }
  | { do: 'leave'; why: string }
  | { do: 'go-home'; why: string };

/** A move that brings less peace than this was in vain: it costs people a second or two, and the attacker little. */
const peaceWorthMs = 10_000;
/** After the first move in vain, the next one waits so long; each further one in a row twice as long. */
export const firstDwellMs = 5_000;
export const longestDwellMs = 300_000;
/** Chases are counted over this time, storms that came back over the longer one: the quiet between them grows. */
const chasesRememberedMs = 3_600_000;
const stormsRememberedMs = 86_400_000;
const longestQuietDoublings = 6;

/**
 * What a service does now. Attacked where it is: it leaves at once, unless its moves are in vain, because an
 * attacker who follows it finds it within seconds. He would else make it move all the time, and every move costs people
 * half a second; so the time that it stays doubles with each such move in a row, from 5 s to 5 min. An attacker who needs
 * longer than 10 s is worth fleeing from each time. Away and in peace: it goes home when home has
 * been quiet for as long as the administrator says, twice as long for each time within a day that home was attacked in the
 * hour after it had come back. Where a person has put it, it stays.
 */
export function respond(situation: Situation): Response {
  const { now, site, home, attacks } = situation;
  if (attacks.some((attack) => attack.site === site && attack.overAt === null)) return leave(situation);
  if (site === home) return { do: 'stay', why: 'it is at home and in peace', lookAgainAt: null };
  if (situation.moves.at(-1)?.why !== 'attack')
    return { do: 'stay', why: 'somebody put it there', lookAgainAt: null };
  const atHome = attacks.filter((attack) => attack.site === home);
  if (atHome.some(({ overAt }) => overAt === null))
    return { do: 'stay', why: `${home} is still attacked`, lookAgainAt: null };
  const quietSince = Math.max(...atHome.map(({ overAt }) => overAt ?? 0), arrivedAt(situation));
  const quietMs = quietNeeded(situation);
  if (now < quietSince + quietMs)
    return {
      do: 'stay',
      why: `${home} has to be quiet for ${Math.round(quietMs / 1000)} s first`,
      lookAgainAt: quietSince + quietMs,
    };
  return { do: 'go-home', why: `${home} has been quiet for ${Math.round((now - quietSince) / 1000)} s` };
}

/** How long home has to be quiet before this service returns. */
function quietNeeded({ now, home, moves, attacks, homeQuietMs }: Situation): number {
  const returns = moves.filter(
    (move) =>
      move.why === 'home' &&
      now - move.endedAt < stormsRememberedMs &&
      attacks.some(
        ({ site, detectedAt }) =>
          site === home && detectedAt >= move.endedAt && detectedAt - move.endedAt < chasesRememberedMs,
      ),
  ).length;
  return homeQuietMs * 2 ** Math.min(returns, longestQuietDoublings);
}

/** How long the service stays where an attacker has followed it to. */
function dwellOf({ now, moves, attacks }: Pick<Situation, 'now' | 'moves' | 'attacks'>): number {
  const lately = moves.filter((move) => now - move.endedAt < chasesRememberedMs);
  let futile = 0;
  // Moves away from attacks in a row that brought no peace, newest first.
  for (const move of lately.toReversed()) {
    const found = attacks.some(
      ({ site, detectedAt }) =>
        site === move.to && detectedAt >= move.endedAt && detectedAt - move.endedAt < peaceWorthMs,
    );
    if (move.why !== 'attack' || !found) break;
    futile += 1;
  }
  return futile === 0 ? 0 : Math.min(longestDwellMs, firstDwellMs * 2 ** (futile - 1));
}

function leave(situation: Situation): Response {
  const until = arrivedAt(situation) + dwellOf(situation);
  return situation.now >= until
    ? { do: 'leave', why: `${situation.site} is attacked` }
    : {
        do: 'stay',
        why: `moves were in vain: it was found at ${situation.site} within seconds`,
        lookAgainAt: until,
      };
}

function arrivedAt({ moves, site }: Situation): number {
  const last = moves.at(-1);
  return last?.to === site ? last.endedAt : 0;
}
