import type { Attack, ConsoleInfo, Move, Proposal, Service, Site } from '../../core/contract/domain.ts';
import type { ConsoleState } from '../../core/contract/state.ts';
import { byName } from './places.ts';

/** What the state means: pure readings that views share. */

export type SiteRole =
  | 'live'
  | 'movingIn'
  | 'movingOut'
  | 'decoy'
  | 'left'
  | 'idle'
  | 'down'
  | 'reaching'
  | 'foreign';

export const isUnderWay = (move: Move): boolean =>
  move.endedAt === null && move.state !== 'done' && move.state !== 'queued';

/** Moves that wait for their turn, those that were asked for first in front. */
export function queuedMoves(moves: ConsoleState['moves']): Move[] {
  return Object.values(moves)
    .filter((move) => move.state === 'queued')
    .sort((a, b) => (a.queuedAt ?? a.startedAt) - (b.queuedAt ?? b.startedAt));
}

export function movesUnderWay(state: Pick<ConsoleState, 'moves'>): Move[] {
  return Object.values(state.moves).filter(
    (move) => isUnderWay(move) && move.state !== 'failed' && move.state !== 'rolled-back',
  );
}

export function newestMoves(moves: ConsoleState['moves']): Move[] {
  return Object.values(moves).sort((a, b) => b.startedAt - a.startedAt);
}

export function activeAttacks(attacks: ConsoleState['attacks']): Attack[] {
  return Object.values(attacks)
    .filter((attack) => attack.state === 'active')
    .sort((a, b) => a.detectedAt - b.detectedAt);
}

export function waitingProposals(proposals: ConsoleState['proposals']): Proposal[] {
  return Object.values(proposals)
    .filter((proposal) => proposal.state === 'waiting')
    .sort((a, b) => a.createdAt - b.createdAt);
}

/** The services at a site in few words: the first one by the first part of its name, and how many more there are. */
export function namesAt(site: string, services: ConsoleState['services']): string {
  const [first, ...more] = servicesByName(services).filter((service) => service.site === site);
  if (!first) return '';
  const name = first.id.split('.')[0] ?? first.id;
  const short = name.length > 8 ? `${name.slice(0, 7)}…` : name;
  return more.length > 0 ? `${short} +${more.length}` : short;
}

export function servicesByName(services: ConsoleState['services']): Service[] {
  return Object.values(services).sort((a, b) => byName(a.id, b.id));
}

/** Overlay nodes that answer now. */
export function nodesUp(state: Pick<ConsoleState, 'nodes'>): number {
  return Object.values(state.nodes).filter(({ reach }) => reach === 'up').length;
}

/** What a site is to the services right now, in the order of what matters most. */
export function roleOfSite(site: Site, state: ConsoleState): SiteRole {
  if (site.holder !== undefined) return 'foreign';
  for (const move of movesUnderWay(state)) {
    const committed = move.state === 'committed';
    if (move.to === site.id && !committed) return 'movingIn';
    if (move.from === site.id && !committed) return 'movingOut';
  }
  const services = Object.values(state.services);
  if (site.reach === 'down') return 'down';
  if (services.some((service) => service.site === site.id)) return 'live';
  // A home that its service has left is called a decoy only while something answers there for it.
  if ((site.decoys?.length ?? 0) > 0) return 'decoy';
  if (services.some((service) => service.homeSite === site.id)) return 'left';
  if (site.reach !== 'up') return 'reaching';
  return 'idle';
}

/** The one service that the window is about: the chosen one, else moving, attacked, away, first. */
export function serviceInFocus(state: ConsoleState, chosen: string | null): Service | null {
  const services = servicesByName(state.services);
  const attacked = new Set(activeAttacks(state.attacks).map((attack) => attack.site));
  return (
    services.find((service) => service.id === chosen) ??
    services.find((service) => service.state === 'moving') ??
    services.find((service) => attacked.has(service.site)) ??
    services.find((service) => service.site !== service.homeSite) ??
    // Those that the lab brings along come before those that were added: drills are about them.
    services.find((service) => state.definitions[service.id] === undefined) ??
    services[0] ??
    null
  );
}

/** The latest move of a service, if any. */
export function latestMove(state: ConsoleState, service: string): Move | null {
  let latest: Move | null = null;
  for (const move of Object.values(state.moves))
    if (move.service === service && move.state !== 'queued' && (!latest || move.startedAt > latest.startedAt))
      latest = move;
  return latest;
}

/** What a preflight predicts for a site; null where there was none, or from somewhere else. */
export function preflightOutage(
  state: ConsoleState,
  service: string,
  site: string | null,
): { ms: number; basis: string } | null {
  const preflight = state.preflights[service];
  if (!preflight || preflight.site !== state.services[service]?.site) return null;
  const outlook = preflight.sites.find((candidate) => candidate.site === site);
  return outlook?.predictedOutageMs == null ? null : { ms: outlook.predictedOutageMs, basis: outlook.basis };
}

/** What the next move of a service would cost, and what that rests on. */
export function predictedOutage(state: ConsoleState, service: string): { ms: number; from: number } | null {
  const done = Object.values(state.moves).filter(
    (move) => move.service === service && move.outageMs !== null,
  );
  if (done.length === 0) return null;
  const outages = done.map((move) => move.outageMs!).sort((a, b) => a - b);
  return { ms: outages[Math.floor(outages.length / 2)]!, from: done.length };
}

/** Sites to which a service can go: reachable, not attacked, not where it is. */
export function possibleTargets(state: ConsoleState, service: Service): Site[] {
  return Object.values(state.sites)
    .filter((site) => site.reach === 'up' && !site.attacked && site.id !== service.site)
    .sort((a, b) => byName(a.id, b.id));
}

export function consoleInfo(state: ConsoleState): ConsoleInfo | null {
  return state.console.console ?? null;
}

/** Share of a link's capacity in use, 0 to 1 (more when offered beyond it). */
export function loadOf(mbit: number, capacityMbit: number): number {
  return capacityMbit > 0 ? mbit / capacityMbit : 0;
}

/** Whether anything runs that the emergency stop would stop, or an attack goes on. */
export function isBusy(state: ConsoleState): boolean {
  return (
    activeAttacks(state.attacks).length > 0 ||
    movesUnderWay(state).length > 0 ||
    Object.values(state.floods).some((flood) => flood.state === 'running') ||
    Object.values(state.drills).some((drill) => drill.endedAt === null)
  );
}
