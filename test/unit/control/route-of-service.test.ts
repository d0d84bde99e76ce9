import { expect, it } from 'vitest';
import { routeOf, servletsOf } from '../../../core/control/route-of-service.ts';

const service = 'shop.example';
type States = Parameters<typeof routeOf>[0];
type State = States extends ReadonlyMap<string, infer S> ? S : never;

const states = (told: Record<string, Partial<State>>): States =>
  new Map(Object.entries(told).map(([node, state]) => [node, { paths: {}, onward: {}, ...state }]));

it('puts a route together from what each node passed on', () => {
  const seen = states({
    a: { paths: { [service]: { policy: 'full-ring', next: { node: 'b', servlet: false } } } },
    b: { onward: { [service]: { node: 'c', servlet: false } } },
    c: { onward: { [service]: { node: 'd', servlet: true } } },
    // What d passed on was another session, in which it was a node on the way.
    d: { onward: { [service]: { node: 'c', servlet: false } } },
    e: { paths: { [service]: { policy: 'two-hop', next: { node: 'd', servlet: true } } } },
    f: { paths: { [service]: { policy: 'one-hop', next: null } } },
  });
  expect(routeOf(seen, 'a', service)).toEqual(['a', 'b', 'c', 'd']);
  expect(routeOf(seen, 'e', service)).toEqual(['e', 'd']);
  expect(routeOf(seen, 'f', service)).toEqual(['f']);
  expect(routeOf(seen, 'b', service)).toEqual([]);
  expect(routeOf(seen, null, service)).toEqual([]);
  expect([...servletsOf(seen)]).toEqual(['d']);
});

it('ends where a node does not answer, and where stories contradict each other', () => {
  const next = (node: string) => ({ [service]: { node, servlet: false } });
  const seen = states({
    a: { paths: { [service]: { policy: 'full-ring', next: { node: 'b', servlet: false } } } },
    b: { onward: next('c') },
    c: { onward: next('b') },
    x: { paths: { [service]: { policy: 'full-ring', next: { node: 'gone', servlet: false } } } },
  });
  expect(routeOf(seen, 'a', service)).toEqual(['a', 'b', 'c']);
  expect(routeOf(seen, 'x', service)).toEqual(['x', 'gone']);
});

it('names a servlet that the stream came through a second time', () => {
  const seen = states({
    a: { paths: { [service]: { policy: 'full-ring', next: { node: 'b', servlet: false } } } },
    b: { onward: { [service]: { node: 'c', servlet: false } } },
    c: { onward: { [service]: { node: 'a', servlet: true } } },
  });
  expect(routeOf(seen, 'a', service)).toEqual(['a', 'b', 'c', 'a']);
});
