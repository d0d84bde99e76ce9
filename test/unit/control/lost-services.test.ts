import { expect, it } from 'vitest';
import { LostServices } from '../../../core/control/lost-services.ts';

type Look = Parameters<LostServices['look']>[0];

const world = (pods: string[], more: { reach?: string; state?: string; move?: string } = {}) =>
  ({
    services: { 'shop.example': { id: 'shop.example', state: more.state ?? 'running', site: 'b1' } },
    sites: { b1: { id: 'b1', reach: more.reach ?? 'up', pods } },
    moves: { one: { service: 'shop.example', state: more.move ?? 'done' } },
  }) as unknown as Look;

const told = (look: Look, looks = 6) => {
  const lost = new LostServices();
  return Array.from({ length: looks }, () => lost.look(look)).flat();
};

it('tells once of a service that its site, which answers, does not have in several looks', () => {
  expect(told(world([]))).toEqual(['shop.example']);
  expect(told(world([]), 3)).toEqual([]);
});

it.each([
  ['there', world(['shop.example'])],
  ['at a site that does not answer', world([], { reach: 'down' })],
  ['down, which is known', world([], { state: 'down' })],
  ['moving', world([], { move: 'committed' })],
])('says nothing of a service that is %s', (_, look) => {
  expect(told(look)).toEqual([]);
});

it('begins to count anew when the service was seen, and tells of another loss', () => {
  const lost = new LostServices();
  const missing = () => Array.from({ length: 4 }, () => lost.look(world([]))).flat();
  expect([0, 1, 2].flatMap(() => lost.look(world([])))).toEqual([]);
  lost.look(world(['shop.example']));
  expect(missing()).toEqual(['shop.example']);
  lost.look(world(['shop.example']));
  expect(missing()).toEqual(['shop.example']);
});
