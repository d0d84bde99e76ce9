import { describe, expect, it } from 'vitest';
import type { ServicePath } from '../../../core/contract/domain.ts';
import {
  linkedChance,
  pathChoices,
  pathSecrecy,
  secrecySentence,
  watchedChance,
} from '../../../core/contract/path-secrecy.ts';

const twoHops = (nearest: number): ServicePath => ({ policy: 'two-hop', nearest });
const oneHop: ServicePath = { policy: 'one-hop', nearest: 1 };
const fullRing: ServicePath = { policy: 'full-ring', nearest: 1 };

/** Every way to take `count` of the numbers from 0 to `total` − 1. */
function* subsets(total: number, count: number, from = 0): Generator<number[]> {
  if (count === 0) yield [];
  else
    for (let first = from; first <= total - count; first += 1)
      for (const rest of subsets(total, count - 1, first + 1)) yield [first, ...rest];
}

const mean = (values: readonly number[]) => values.reduce((sum, value) => sum + value, 0) / values.length;

describe('what a path policy keeps secret', () => {
  it.each([
    [3, 1],
    [8, 1],
    [8, 2],
    [8, 3],
    [8, 7],
    [9, 16],
    [12, 4],
  ])('is what counting every draw of servlets gives, of %i nodes the nearest of %i', (nodes, nearest) => {
    const others = nodes - 1;
    const draws = [...subsets(others, Math.min(nearest, others))];
    // The numbers are the ranks of the nodes by their round trip: the nearest of a draw is its smallest.
    const counted = Array.from(
      { length: others },
      (_, rank) => draws.filter((draw) => draw[0] === rank).length / draws.length,
    );
    const { chances, bits, likeNodes } = pathSecrecy(twoHops(nearest), nodes);
    for (const [rank, chance] of counted.entries()) expect(chances[rank] ?? 0).toBeCloseTo(chance, 12);
    const entropy = counted.reduce((sum, chance) => (chance > 0 ? sum - chance * Math.log2(chance) : sum), 0);
    expect(bits).toBeCloseTo(entropy, 10);
    expect(likeNodes).toBeCloseTo(2 ** entropy, 8);
    for (let watched = 0; watched <= nodes; watched += 1) {
      const seen = draws.filter((draw) => draw[0]! < watched).length / draws.length;
      expect(watchedChance(pathSecrecy(twoHops(nearest), nodes), watched)).toBeCloseTo(seen, 10);
    }
  });

  it.each([1, 2, 3, 5])(
    'links both ends as often as counting says, with %i of 7 nodes watched',
    (watched) => {
      const nodes = 7;
      const counts = { one: [] as number[], two: [] as number[], ring: [] as number[] };
      for (const set of subsets(nodes, watched)) {
        const seen = (node: number) => (set.includes(node) ? 1 : 0);
        // The person enters at node 0; the directory node is 1, node 2 hands the stream to it.
        counts.one.push(seen(0));
        for (let servlet = 1; servlet < nodes; servlet += 1) counts.two.push(seen(0) * seen(servlet));
        for (const servlet of [0, 3, 4, 5, 6]) counts.ring.push(seen(0) * seen(servlet));
      }
      expect(linkedChance(oneHop, nodes, watched)).toBeCloseTo(mean(counts.one), 12);
      expect(linkedChance(twoHops(1), nodes, watched)).toBeCloseTo(mean(counts.two), 12);
      expect(linkedChance(twoHops(3), nodes, watched)).toBeCloseTo(mean(counts.two), 12);
      expect(linkedChance(fullRing, nodes, watched)).toBeCloseTo(mean(counts.ring), 12);
    },
  );

  it.each([
    // 8 nodes as in the lab, and 32: bits, and the chance for who watches one node and two
    [8, oneHop, 0, 1, 1],
    [8, twoHops(1), 2.81, 0.143, 0.286],
    [8, twoHops(2), 2.4, 0.286, 0.524],
    [8, twoHops(3), 1.93, 0.429, 0.714],
    [8, fullRing, 2.58, 0.167, 0.333],
    [32, oneHop, 0, 1, 1],
    [32, twoHops(1), 4.95, 0.032, 0.065],
    [32, twoHops(2), 4.65, 0.065, 0.127],
    [32, twoHops(3), 4.28, 0.097, 0.187],
    [32, fullRing, 4.91, 0.033, 0.067],
  ])('with %i nodes and %o has the figures of LIMITS.md', (nodes, path, bits, one, two) => {
    const secrecy = pathSecrecy(path, nodes);
    expect(secrecy.bits).toBeCloseTo(bits, 2);
    expect(watchedChance(secrecy, 1)).toBeCloseTo(one, 3);
    expect(watchedChance(secrecy, 2)).toBeCloseTo(two, 3);
  });

  it('stays whole at the edges: one node, two nodes, more drawn than there are, very many', () => {
    expect(pathSecrecy(twoHops(1), 1)).toMatchObject({ candidates: 0, bits: 0 });
    expect(secrecySentence(twoHops(1), 1)).toContain('No other node');
    expect(pathSecrecy(twoHops(5), 2)).toMatchObject({ candidates: 1, chances: [1], bits: 0 });
    expect(pathSecrecy(fullRing, 2)).toMatchObject({ candidates: 1, bits: 0 });
    expect(linkedChance(twoHops(1), 1, 1)).toBe(0);
    const many = pathSecrecy(twoHops(16), 100_000);
    expect(many.chances.reduce((sum, chance) => sum + chance, 0)).toBeCloseTo(1, 8);
    expect(many.bits).toBeGreaterThan(13);
  });

  it('is said in a sentence for each choice, with the present one among them', () => {
    const choices = pathChoices(twoHops(5), 8);
    expect(choices.map(({ policy, nearest }) => `${policy} ${nearest}`)).toEqual([
      'one-hop 1',
      'two-hop 1',
      'two-hop 2',
      'two-hop 3',
      'two-hop 5',
      'full-ring 1',
    ]);
    expect(choices[1]!.sentence).toBe(
      'Any of 7 nodes may talk to the site (2.8 bits): watching one of them shows the site in 14 % of sessions.',
    );
    expect(choices[3]!.sentence).toBe(
      'As secret as 3.8 nodes instead of 7 (1.9 bits): watching the nearest shows the site in 43 % of sessions.',
    );
    expect(choices[3]!.watched).toEqual([
      { nodes: 1, sees: 0.4286, links: 0 },
      { nodes: 2, sees: 0.7143, links: 0.0357 },
    ]);
  });
});
