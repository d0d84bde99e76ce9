import type { ConsoleState } from '../../core/contract/state.ts';
import { between, outerEdge, type Point, turn } from './geometry.ts';

/** Where everything stands on the map. A place, once given, is kept for the life of the window. */
export interface Places {
  sectors: { id: string; name: string; from: number; to: number; middle: number; label: Point }[];
  gaps: number[];
  sites: Record<string, Point & { angle: number; size: 'card' | 'small' | 'dot' }>;
  stones: Record<string, Point & { angle: number }>;
  clients: Record<string, Point>;
  bots: Record<string, Point>;
}

const gapDegrees = 7;
const widest = outerEdge.rx - 3;

/** Keeps a label within the fitted map. */
const inside = (at: Point): Point => ({ x: Math.max(-widest, Math.min(widest, at.x)), y: at.y });

/** Orders names as people do: node-2 before node-10. */
export const byName = (a: string, b: string): number => a.localeCompare(b, 'en', { numeric: true });

/** Places sectors, sites, stones, clients (below) and bots (above): a function of names alone. */
export function placeAll(state: Pick<ConsoleState, 'isps' | 'sites' | 'stones' | 'clients'>): Places {
  const isps = Object.values(state.isps).sort((a, b) => byName(a.id, b.id));
  const share = 360 / Math.max(1, isps.length);
  const gap = isps.length > 1 ? Math.min(gapDegrees, share / 5) : 0;
  const places: Places = { sectors: [], gaps: [], sites: {}, stones: {}, clients: {}, bots: {} };

  isps.forEach((isp, index) => {
    const middle = -90 - share / 2 + index * share;
    const span = share - gap;
    places.gaps.push(middle - share / 2);
    const crowded = Object.values(state.sites).filter((site) => site.isp === isp.id).length * 50 > span + 20;
    places.sectors.push({
      id: isp.id,
      name: isp.name,
      from: middle - span / 2,
      to: middle + span / 2,
      middle,
      label: crowded ? inside(between(middle, 1.09)) : between(middle, 0.9),
    });
    const sites = Object.values(state.sites)
      .filter((site) => site.isp === isp.id)
      .sort((a, b) => byName(a.id, b.id));
    const size = sites.length * 50 <= span + 20 ? 'card' : sites.length * 22 <= span * 2 ? 'small' : 'dot';
    const rows = size === 'card' ? 1 : size === 'small' ? 2 : 3;
    sites.forEach((site, at) => {
      const angle = middle + span * ((at + 0.5) / sites.length - 0.5) * (sites.length > 2 ? 0.96 : 1.04);
      const depth = rows === 1 ? 0.56 : 0.24 + (0.56 * (at % rows)) / (rows - 1);
      places.sites[site.id] = { ...between(angle, depth), angle, size };
    });
    const stones = Object.values(state.stones)
      .filter((stone) => stone.isp === isp.id)
      .sort((a, b) => byName(a.id, b.id));
    stones.forEach((stone, at) => {
      const angle = middle + (at - (stones.length - 1) / 2) * Math.min(24, span / (stones.length + 1));
      places.stones[stone.id] = { ...between(angle, 0), angle };
    });
  });

  const hosts = Object.values(state.clients).sort((a, b) => byName(a.id, b.id));
  const clients = hosts.filter((host) => host.role === 'client');
  const bots = hosts.filter((host) => host.role === 'bot');
  const width = outerEdge.rx * 1.5;
  clients.forEach((host, index) => {
    const step = clients.length > 1 ? width / (clients.length - 1) : 0;
    places.clients[host.id] = {
      x: clients.length > 1 ? -width / 2 + index * step : -width / 2,
      y: outerEdge.ry + (clients.length <= 2 ? 36 : 62),
    };
  });
  bots.forEach((host, index) => {
    const step = Math.min(128, bots.length > 1 ? width / (bots.length - 1) : 0);
    places.bots[host.id] = { x: (index - (bots.length - 1) / 2) * step, y: -outerEdge.ry - 58 };
  });
  return places;
}

/**
 * Gives overlay nodes their angles in the order of their ring identifiers, evenly when the ring is first
 * seen whole. A node that joins later goes midway between its neighbours; nobody else moves.
 */
export function placeNodes(
  before: Readonly<Record<string, number>>,
  nodes: ConsoleState['nodes'],
  settled: boolean,
): Readonly<Record<string, number>> {
  const members = Object.values(nodes)
    .filter((node) => node.ringIdentifier !== null)
    .sort((a, b) => compareIdentifiers(a.ringIdentifier!, b.ringIdentifier!));
  const known = members.filter((node) => before[node.id] !== undefined);
  if (members.length === 0 || (!settled && known.length === 0)) return before;
  if (known.length === 0)
    return Object.fromEntries(members.map((node, i) => [node.id, -90 + (360 * i) / members.length]));
  if (known.length === members.length) return before;
  const next: Record<string, number> = { ...before };
  members.forEach((node, index) => {
    if (next[node.id] !== undefined) return;
    const left = neighbour(members, next, index, -1);
    const right = neighbour(members, next, index, 1);
    const way = left === right ? 360 : (turn(left, right) + 360) % 360;
    next[node.id] = left + way / 2;
  });
  return next;
}

function neighbour(
  members: readonly { id: string }[],
  angles: Readonly<Record<string, number>>,
  from: number,
  step: 1 | -1,
): number {
  for (let i = 1; i <= members.length; i += 1) {
    const id = members[(from + step * i + members.length * 2) % members.length]!.id;
    if (angles[id] !== undefined) return angles[id];
  }
  return -90;
}

function compareIdentifiers(a: string, b: string): number {
  const width = Math.max(a.length, b.length);
  const left = a.padStart(width, '0').toLowerCase();
  const right = b.padStart(width, '0').toLowerCase();
  return left < right ? -1 : left > right ? 1 : 0;
}
