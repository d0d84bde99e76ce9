import { z } from 'zod';
import { type ServicePath, servicePathSchema } from './domain.ts';

/**
 * What a path policy keeps secret: which overlay node talks to the hosting site. Numbers are for a session
 * that is opened now, seen by somebody who knows the access point, the policy and all round trips, so that he
 * knows as well as the access point itself which of several servlets is nearer.
 */
export interface PathSecrecy {
  /** Overlay nodes altogether. */
  nodes: number;
  /** Nodes that may be the one that talks to the site. */
  candidates: number;
  /** The chances that are not 0, the largest first; together 1, or nothing where there is no candidate. */
  chances: readonly number[];
  /** Shannon's entropy of that choice, in bits. */
  bits: number;
  /** How many equally likely nodes would hide it as well: 2 to the power of `bits`. */
  likeNodes: number;
}

/**
 * The secrecy of a path policy in an overlay of `nodes` nodes.
 *
 * One hop: the access point itself talks to the site, and everybody knows it. Two hops: each of the `nodes` − 1
 * others is drawn with the same chance (MOVE §3.2); of k drawn ones the nearest is the r-th nearest of N with
 * the chance C(N − r, k − 1) / C(N, k). Full ring: the directory node draws among all but itself and the node
 * that the stream came from, as beacons and secret servlets of SOS do.
 */
export function pathSecrecy(path: ServicePath, nodes: number): PathSecrecy {
  const candidates = candidatesOf(path, nodes);
  const chances = chancesOf(candidates, nearestOf(path));
  const bits = chances.reduce((sum, chance) => (chance > 0 ? sum - chance * Math.log2(chance) : sum), 0);
  return { nodes, candidates, chances, bits: Math.max(0, bits), likeNodes: 2 ** bits };
}

/**
 * The chance that somebody who watches `watched` nodes, the likeliest ones, sees the link to the site that a
 * session opened now uses. With one node it is the chance of guessing the node that talks to the site.
 */
export function watchedChance(secrecy: PathSecrecy, watched: number): number {
  return Math.min(
    1,
    secrecy.chances.slice(0, watched).reduce((sum, chance) => sum + chance, 0),
  );
}

/**
 * The chance that somebody who watches `watched` nodes drawn at random among all sees both ends of a session:
 * the person at the access point and the site behind the last node. Only then can he tell who uses what. For
 * the full ring it is the worst case, a route of two hops or more, at whose end the access point may be drawn.
 */
export function linkedChance(path: ServicePath, nodes: number, watched: number): number {
  const one = nodes > 0 ? Math.min(1, watched / nodes) : 0;
  if (path.policy === 'one-hop') return one;
  const both = nodes > 1 ? (one * (Math.min(watched, nodes) - 1)) / (nodes - 1) : 0;
  const candidates = candidatesOf(path, nodes);
  if (path.policy === 'two-hop' || candidates === 0) return Math.max(0, both);
  return one / candidates + (1 - 1 / candidates) * Math.max(0, both);
}

/** What the policy keeps secret, as one sentence for people. */
export function secrecySentence(path: ServicePath, nodes: number): string {
  const secrecy = pathSecrecy(path, nodes);
  const { candidates, bits, likeNodes } = secrecy;
  const guess = percent(watchedChance(secrecy, 1));
  if (path.policy === 'one-hop')
    return 'Not secret: whoever watches the access point sees the site (0 bits).';
  if (candidates === 0) return 'No other node is there to go through.';
  const figures = `${bits.toFixed(1)} bits`;
  if (path.policy === 'full-ring')
    return `The slowest way: nodes on it know their neighbours only, and any of ${candidates} may talk to the site (${figures}); watching one of them shows the site in ${guess} of sessions.`;
  if (path.nearest > 1)
    return `As secret as ${likeNodes.toFixed(1)} nodes instead of ${candidates} (${figures}): watching the nearest shows the site in ${guess} of sessions.`;
  return `Any of ${candidates} nodes may talk to the site (${figures}): watching one of them shows the site in ${guess} of sessions.`;
}

/** A path policy with what it keeps secret, as commands print it. Chances are from 0 to 1. */
export const pathChoiceSchema = servicePathSchema.extend({
  candidates: z.number().int().describe('nodes that may be the one that talks to the site'),
  bits: z.number().describe('entropy of which of them it is, seen from an access point'),
  likeNodes: z.number().describe('equally likely nodes that would hide it as well'),
  watched: z.array(
    z.object({
      nodes: z.number().int().describe('overlay nodes that an attacker watches'),
      sees: z.number().describe('chance that he sees the link to the site, watching the likeliest nodes'),
      links: z.number().describe('chance that he sees both ends of a session, watching random nodes'),
    }),
  ),
  sentence: z.string(),
});
export type PathChoice = z.infer<typeof pathChoiceSchema>;

/** What one path policy keeps secret in an overlay of that size, against 1, 2 and a quarter of all watched. */
export function pathChoice(path: ServicePath, nodes: number): PathChoice {
  const secrecy = pathSecrecy(path, nodes);
  const watched = [...new Set([1, 2, Math.ceil(nodes / 4)])].sort((a, b) => a - b);
  return {
    ...path,
    candidates: secrecy.candidates,
    bits: rounded(secrecy.bits),
    likeNodes: rounded(secrecy.likeNodes),
    watched: watched.map((count) => ({
      nodes: count,
      sees: rounded(watchedChance(secrecy, count)),
      links: rounded(linkedChance(path, nodes, count)),
    })),
    sentence: secrecySentence(path, nodes),
  };
}

/** The policies worth comparing: each of them, and small choices of the nearest, the present one included. */
export function pathChoices(present: ServicePath, nodes: number): PathChoice[] {
  const nearest = [...new Set([1, 2, 3, present.nearest])].sort((a, b) => a - b);
  return [
    { policy: 'one-hop' as const, nearest: 1 },
    ...nearest.map((count) => ({ policy: 'two-hop' as const, nearest: count })),
    { policy: 'full-ring' as const, nearest: 1 },
  ].map((path) => pathChoice(path, nodes));
}

const rounded = (value: number): number => Math.round(value * 10_000) / 10_000;

const nearestOf = (path: ServicePath): number => (path.policy === 'two-hop' ? path.nearest : 1);

function candidatesOf({ policy }: ServicePath, nodes: number): number {
  if (policy === 'one-hop') return 1;
  return policy === 'full-ring' && nodes > 2 ? nodes - 2 : Math.max(0, nodes - 1);
}

/** C(N − r, k − 1) / C(N, k) for r from 1, each from the one before it; no factorials, so no overflow. */
function chancesOf(candidates: number, nearest: number): number[] {
  const drawn = Math.min(nearest, candidates);
  if (drawn < 1) return [];
  const chances: number[] = [];
  let chance = drawn / candidates;
  for (let rank = 1; rank <= candidates - drawn + 1; rank += 1) {
    chances.push(chance);
    chance *= (candidates - rank - drawn + 1) / (candidates - rank);
  }
  return chances;
}

const percent = (chance: number): string => `${Math.round(chance * 100)} %`;
