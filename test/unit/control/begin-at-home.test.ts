import { expect, test } from 'vitest';
import type { Move, Service, Site } from '../../../core/contract/domain.ts';
import { beginAtHome } from '../../../core/control/begin-at-home.ts';
import { StateStore } from '../../../core/control/state-store.ts';
import { MoveError } from '../../../core/runtime/errors.ts';
import { drillClock } from '../drills/drill-world.ts';

const service = 'shop.example';
type Surroundings = Parameters<typeof beginAtHome>[0];
type Pods = Record<string, string[]>;

/** A fleet of three sites as the control plane sees it; moves do what a test lets them do. */
class World {
  readonly clock = drillClock();
  readonly store = new StateStore();
  readonly moved: string[] = [];
  readonly from: (string | null)[] = [];
  readonly stop = new AbortController();
  moveEnds: Partial<Move> = { state: 'done', endedAt: 1 };
  /** Copies of the service by site, in the states that the sites tell. */
  pods: Pods;

  constructor(at: string) {
    this.pods = { [at]: ['running'] };
    for (const id of ['a1', 'b1', 'c1'])
      this.store.change([
        { op: 'upsert', collection: 'sites', id, value: { id, reach: 'up', attacked: false } as Site },
      ]);
    this.store.change([
      {
        op: 'upsert',
        collection: 'services',
        id: service,
        value: { id: service, site: at, homeSite: 'a1', state: 'running' } as Service,
      },
    ]);
  }

  site(id: string, value: Partial<Site>): void {
    this.store.change([{ op: 'patch', collection: 'sites', id, value }]);
  }

  service(value: Partial<Service>): void {
    this.store.change([{ op: 'patch', collection: 'services', id: service, value }]);
  }

  begin(): Promise<readonly string[]> {
    const context = {
      holdings: { siteHolder: () => null, serviceHolder: () => null },
      store: this.store,
      clock: this.clock,
      services: new Map([[service, {}]]),
      agent: async (site: string) => ({
        call: async () => ({ pods: (this.pods[site] ?? []).map((state) => ({ service, state })) }),
      }),
    } as unknown as Surroundings;
    const move = { id: 'move-1', state: 'running', endedAt: null, error: null } as Move;
    const work = beginAtHome(
      context,
      {
        start: ({ to }) => {
          this.moved.push(`to ${to}`);
          this.service({ state: 'moving' });
          return move;
        },
        wait: async () => {
          const ended = { ...move, ...this.moveEnds };
          if (ended.state === 'done') {
            this.pods = { a1: ['running'] };
            this.service({ site: 'a1', state: 'running' });
          }
          return ended;
        },
        cancel: () => {
          this.moved.push('taken back');
          return move;
        },
      },
      service,
      this.stop.signal,
      (from) => this.from.push(from),
    );
    return this.clock.until(work);
  }
}

test('a service at home, in peace and alone, is left alone', async () => {
  const world = new World('a1');
  expect(await world.begin()).toEqual([]);
  expect([world.moved, world.from]).toEqual([[], [null]]);
});

test('a service that is elsewhere is brought home, and the report says so', async () => {
  const world = new World('b1');
  expect(await world.begin()).toEqual(['The service was brought home from b1 first.']);
  expect([world.moved, world.from]).toEqual([['to a1'], ['b1']]);
});

test('an attack is waited for, wherever it is, before anything moves', async () => {
  const world = new World('b1');
  world.site('c1', { attacked: true });
  world.clock.after(20_000, () => {
    expect(world.moved).toEqual([]);
    world.site('c1', { attacked: false });
  });
  await world.begin();
  expect(world.moved).toEqual(['to a1']);
});

test('a move that is under way ends first', async () => {
  const world = new World('a1');
  world.service({ state: 'moving' });
  world.clock.after(5_000, () => world.service({ state: 'running', site: 'b1' }));
  expect(await world.begin()).toEqual(['The service was brought home from b1 first.']);
});

test('what a move left behind is waited for', async () => {
  const world = new World('a1');
  world.pods = { a1: ['running'], b1: ['frozen'] };
  const begunAt = world.clock.now();
  world.clock.after(3_000, () => {
    world.pods = { a1: ['running'] };
  });
  expect(await world.begin()).toEqual([]);
  expect(world.clock.now() - begunAt).toBeGreaterThanOrEqual(3_000);
});

test('a site that does not answer is named in the report, and not waited for', async () => {
  const world = new World('a1');
  world.site('c1', { reach: 'down' });
  expect(await world.begin()).toEqual([
    'Whether a copy was left at c1 could not be seen: no answer came from there.',
  ]);
});

test.each([
  [
    'an attack that does not end',
    (world: World) => world.site('a1', { attacked: true }),
    /a1 is still attacked/,
  ],
  ['a service that is down', (world: World) => world.service({ state: 'down' }), /shop\.example is down/],
  [
    'a second copy',
    (world: World) => {
      world.pods = { a1: ['running'], b1: ['running'] };
    },
    /running at a1, running at b1/,
  ],
  [
    'a move home that is taken back',
    (world: World) => {
      world.service({ site: 'b1' });
      world.moveEnds = {
        state: 'rolled-back',
        endedAt: 1,
        error: new MoveError('SHIP_FAILED', 'The stone does not answer.').toBody(),
      };
    },
    /could not be brought home from b1: The stone does not answer\./,
  ],
])('%s is waited for within bounds, and named', async (_name, arrange, sentence) => {
  const world = new World('a1');
  arrange(world);
  await expect(world.begin()).rejects.toMatchObject({
    code: 'DRILL_STOPPED',
    message: expect.stringMatching(sentence),
  });
});

test('a move home that does not end is taken back', async () => {
  const world = new World('b1');
  world.moveEnds = {};
  await expect(world.begin()).rejects.toMatchObject({ code: 'DRILL_STOPPED' });
  expect(world.moved).toEqual(['to a1', 'taken back']);
});

test.each([
  ['for peace', (world: World) => world.site('c1', { attacked: true }), []],
  [
    'for the move home',
    (world: World) => {
      world.service({ site: 'b1' });
      world.moveEnds = { state: 'rolled-back', endedAt: 1 };
    },
    ['to a1'],
  ],
  [
    'for what is left of a move',
    (world: World) => {
      world.pods = { a1: ['running'], b1: ['frozen'] };
    },
    [],
  ],
])('a stop ends the wait %s, and nothing is begun after it', async (_name, arrange, moved) => {
  const world = new World('a1');
  arrange(world);
  const reason = new MoveError('DRILL_ABORTED', 'The drill was stopped.');
  if (moved.length > 0) queueMicrotask(() => world.stop.abort(reason));
  else world.clock.after(500, () => world.stop.abort(reason));
  await expect(world.begin()).rejects.toBe(reason);
  expect(world.moved).toEqual(moved);
});
