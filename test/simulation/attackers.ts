import type { Site } from '../../core/contract/domain.ts';
import {
  firstDwellMs,
  longestDwellMs,
  type PastAttack,
  type PastMove,
  respond,
  type Situation,
} from '../../core/moves/response-policy.ts';
import { chooseTarget } from '../../core/moves/target-choice.ts';
import { type Random, seededRandom } from '../../core/runtime/random.ts';

/** `lasting` floods the home and nothing else; `chasing` follows; `returning` waits until the service is home again. */
export type Attacker = 'lasting' | 'chasing' | 'returning';

export interface Story {
  attacker: Attacker;
  seed: number;
  /** How long the attacker takes to find a service that has moved. */
  findMs: { least: number; most: number };
  policy: 'ours' | 'at once';
  hours: number;
}

export interface Outcome {
  moves: number;
  /** Share of the time that the service stood at a site under attack. */
  underAttack: number;
  /** Returns to a site that the service had fled within ten minutes. */
  pingPongs: number;
  /** The longest time at a stretch at a site under attack. */
  longestMs: number;
}

const tickMs = 500;
const alarmMs = 1_000;
const moveMs = 2_000;
const homeQuietMs = 600_000;
const names = ['a1', 'a2', 'b1', 'b2', 'c1', 'c2'];

/** What a policy without a memory does: leaves at every alarm, and goes home as soon as home is quiet. */
function atOnce({ site, home, attacks }: Situation): ReturnType<typeof respond> {
  const isAttacked = (id: string) => attacks.some((attack) => attack.site === id && attack.overAt === null);
  if (isAttacked(site)) return { do: 'leave', why: '' };
  if (site !== home && !isAttacked(home)) return { do: 'go-home', why: '' };
  return { do: 'stay', why: '', lookAgainAt: null };
}

/** Plays one seeded story of a service and its attacker, on a clock of its own. */
export function playStory({ attacker, seed, findMs, policy, hours }: Story): Outcome {
  const random: Random = seededRandom(seed);
  const home = 'a1';
  let site = home;
  let attacked: string | null = home;
  let since = 0;
  let movingUntil = 0;
  let quietUntil = 0;
  let foundAt = 0;
  const moves: PastMove[] = [];
  const attacks: PastAttack[] = [];
  let underAttackMs = 0;
  let stretchMs = 0;
  let longestMs = 0;
  const find = () => findMs.least + random.below(Math.max(1, findMs.most - findMs.least));
  const end = hours * 3_600_000;
  for (let now = 0; now < end; now += tickMs) {
    // The attacker.
    const wanted: string | null =
      attacker === 'lasting'
        ? now < end / 2
          ? home
          : null
        : attacker === 'chasing'
          ? now >= foundAt
            ? site
            : attacked
          : now >= quietUntil && site === home && now >= movingUntil
            ? home
            : attacked === home && site !== home
              ? null
              : attacked;
    if (wanted !== attacked || (now === 0 && attacked)) {
      for (const attack of attacks) attack.overAt ??= now;
      if (attacker === 'returning' && wanted === null) quietUntil = now + find();
      attacked = wanted;
      since = now;
    }
    const alarm = attacks.find((attack) => attack.overAt === null);
    if (attacked !== null && now - since >= alarmMs && alarm?.site !== attacked)
      attacks.push({ site: attacked, detectedAt: now, overAt: null });
    // The service.
    const isUnderAttack = attacked === site;
    underAttackMs += isUnderAttack ? tickMs : 0;
    stretchMs = isUnderAttack ? stretchMs + tickMs : 0;
    longestMs = Math.max(longestMs, stretchMs);
    if (now < movingUntil) continue;
    const situation: Situation = { now, site, home, moves, attacks, homeQuietMs };
    const response = policy === 'ours' ? respond(situation) : atOnce(situation);
    if (response.do === 'stay') continue;
    const lately = new Set(
      attacks.filter(({ overAt }) => overAt === null || now - overAt < 900_000).map((attack) => attack.site),
    );
    const sites = names.map(
      (id) =>
        ({
          id,
          isp: id[0],
          reach: 'up',
          attacked: lately.has(id) && attacked === id,
          pods: [],
        }) as unknown as Site,
    );
    const question = { sites, services: [], service: 'shop', from: site, lately };
    const to = response.do === 'go-home' ? home : chooseTarget(question, random).site.id;
    const why = response.do === 'go-home' ? 'home' : 'attack';
    movingUntil = now + moveMs;
    moves.push({ endedAt: movingUntil, from: site, to, why });
    site = to;
    foundAt = movingUntil + find();
  }
  const pingPongs = moves.filter((move, index) =>
    moves
      .slice(0, index)
      .some(
        (past) => past.why === 'attack' && past.from === move.to && move.endedAt - past.endedAt < 600_000,
      ),
  ).length;
  return { moves: moves.length, underAttack: underAttackMs / end, pingPongs, longestMs };
}

/** The most moves that our policy makes in `hours` against somebody who finds the service at once. */
export function mostMovesInVain(hours: number): number {
  let moves = 0;
  let at = 0;
  for (let dwell = firstDwellMs; at < hours * 3_600_000; dwell = Math.min(longestDwellMs, dwell * 2)) {
    at += dwell;
    moves += 1;
  }
  return moves + 1;
}
