import { afterEach, describe, expect, it } from 'vitest';
import { defaultResponse } from '../../../core/contract/response-settings.ts';
import { ResponseWorld } from './response-world.ts';

let world: ResponseWorld;
const begin = (services: readonly { id: string; site: string }[]) => {
  world = new ResponseWorld(services);
  return world;
};
afterEach(() => world.stop());
const shop = { id: 'shop.example', site: 'a1' };

describe('where a service moves to', () => {
  it('asks the drawn site before anything stands still, and draws anew until one says yes', async () => {
    begin([shop]);
    for (const site of ['b1', 'b2', 'c1']) world.refusals[site] = 'it is attacked: full';
    world.attack('a1');
    await world.settle();
    expect(world.service(shop.id)).toMatchObject({ site: 'c2', state: 'running' });
    expect(world.asked.at(-1)).toBe('c2');
    expect(world.told('move.target-refused')).toHaveLength(world.asked.length - 1);
    expect(world.allMoves()[0]).toMatchObject({ state: 'done', to: 'c2' });
  });

  it('does not move when every site says no, says so, and tries again', async () => {
    begin([shop]);
    for (const site of ['a2', 'b1', 'b2', 'c1', 'c2']) world.refusals[site] = 'it is full';
    world.attack('a1');
    await world.settle();
    expect(world.service(shop.id)).toMatchObject({ site: 'a1', state: 'running' });
    expect(world.allMoves()[0]).toMatchObject({ state: 'rolled-back', error: { code: 'NO_TARGET' } });
    delete world.refusals.b1;
    await world.pass(3);
    expect(world.service(shop.id).site).toBe('b1');
  });

  it('takes no other site than the one that was asked for by hand', async () => {
    begin([shop]);
    world.refusals.b1 = 'it is full';
    world.moves.start({ service: shop.id, to: 'b1', requestedBy: 'terminal', reason: 'by hand' });
    await world.settle();
    expect(world.allMoves()[0]).toMatchObject({ state: 'rolled-back', error: { code: 'TARGET_UNUSABLE' } });
    expect(world.service(shop.id)).toMatchObject({ site: 'a1', state: 'running' });
  });
});

describe('several services that are attacked at once', () => {
  const both = [
    { id: 'one.example', site: 'a1' },
    { id: 'two.example', site: 'a1' },
    { id: 'far.example', site: 'b1' },
  ];
  it('queue where they share a site or a stone and move at once where not, to different sites', async () => {
    begin(both);
    let open = () => {};
    world.gate = new Promise((resolve) => {
      open = resolve;
    });
    world.attack('a1');
    world.attack('b1');
    await world.settle();
    const states = () => Object.fromEntries(world.allMoves().map((move) => [move.service, move.state]));
    expect(states()).toEqual({ 'one.example': 'running', 'two.example': 'queued', 'far.example': 'running' });
    const first = world.allMoves().find((move) => move.service === 'one.example');
    const second = world.allMoves().find((move) => move.service === 'two.example');
    expect(second?.waitsFor).toEqual([first?.id]);
    expect(world.service('two.example').state).toBe('running');
    world.gate = null;
    open();
    await world.settle();
    expect(states()).toEqual({ 'one.example': 'done', 'two.example': 'done', 'far.example': 'done' });
    expect(first?.to).not.toBe(world.allMoves().find((move) => move.service === 'far.example')?.to);
  });

  it('can be taken out of the queue one by one, and all by the emergency stop', async () => {
    begin(both);
    let open = () => {};
    world.gate = new Promise((resolve) => {
      open = resolve;
    });
    world.attack('a1');
    await world.settle();
    const queued = world.allMoves().find((move) => move.state === 'queued')!;
    expect(world.moves.cancel(queued.id)).toMatchObject({
      state: 'rolled-back',
      error: { code: 'MOVE_CANCELLED' },
    });
    world.moves.start({ service: 'two.example', requestedBy: 'terminal', reason: 'by hand' });
    expect(() =>
      world.moves.start({ service: 'two.example', requestedBy: 'terminal', reason: 'again' }),
    ).toThrowError(expect.objectContaining({ code: 'SERVICE_BUSY' }));
    world.halt();
    expect(world.moves.takeAllBack()).toBe(2);
    open();
    await world.settle();
    expect(world.allMoves().map(({ state }) => state)).toEqual(['rolled-back', 'rolled-back', 'rolled-back']);
    expect(world.service('one.example')).toMatchObject({ site: 'a1', state: 'running' });
  });

  it('gives up on a queued move whose attack has ended meanwhile', async () => {
    begin(both);
    let open = () => {};
    world.gate = new Promise((resolve) => {
      open = resolve;
    });
    world.attack('a1');
    await world.settle();
    world.attack('a1', 'over');
    open();
    await world.settle();
    expect(world.allMoves().find((move) => move.service === 'two.example')).toMatchObject({
      state: 'rolled-back',
      error: { code: 'ATTACK_OVER' },
    });
  });
});

describe('a proposal with a deadline', () => {
  it.each([
    ['move', 'approved', 1],
    ['stay', 'declined', 0],
  ] as const)('at which nobody has decided goes on as was said: %s', async (atDeadline, state, moves) => {
    begin([shop]);
    world.set(shop.id, {
      policy: 'approve',
      response: { ...defaultResponse, deadlineSeconds: 20, atDeadline },
    });
    world.attack('a1');
    await world.pass(19);
    expect(world.allProposals()).toMatchObject([{ state: 'waiting', atDeadline }]);
    await world.pass(2);
    expect(world.allProposals()).toMatchObject([{ state, decidedBy: 'its deadline' }]);
    expect(world.allMoves()).toHaveLength(moves);
  });

  it('is forgotten when the attack ends or somebody decides before', async () => {
    begin([shop]);
    world.set(shop.id, {
      policy: 'approve',
      response: { ...defaultResponse, deadlineSeconds: 20, atDeadline: 'move' },
    });
    world.attack('a1');
    world.attack('a1', 'over');
    expect(world.allProposals()).toMatchObject([{ state: 'withdrawn' }]);
    world.attack('a1');
    world.proposals.decline(world.allProposals()[1]!.id, 'terminal');
    await world.pass(30);
    expect(world.allMoves()).toEqual([]);
  });
});

describe('the way home after the storm', () => {
  it('is taken by itself when home has been quiet for as long as was said, and is not when it was not', async () => {
    begin([shop]);
    world.set(shop.id, { response: { ...defaultResponse, home: 'automatic', homeQuietSeconds: 60 } });
    world.attack('a1');
    await world.settle();
    const refuge = world.service(shop.id).site;
    expect(refuge).not.toBe('a1');
    await world.pass(30);
    world.attack('a1', 'over');
    await world.pass(58);
    expect(world.service(shop.id).site).toBe(refuge);
    await world.pass(4);
    expect(world.service(shop.id)).toMatchObject({ site: 'a1', state: 'running' });
    // It comes back: away at once, and home only after twice the time.
    await world.pass(5);
    world.attack('a1');
    await world.settle();
    expect(world.service(shop.id).site).not.toBe('a1');
    world.attack('a1', 'over');
    await world.pass(100);
    expect(world.service(shop.id).site).not.toBe('a1');
    await world.pass(25);
    expect(world.service(shop.id).site).toBe('a1');
    expect(world.allMoves()).toHaveLength(4);
  });

  it('is proposed once where a person decides, and not again at once when she says no', async () => {
    begin([shop]);
    world.set(shop.id, { response: { ...defaultResponse, homeQuietSeconds: 60 } });
    world.attack('a1');
    await world.settle();
    world.attack('a1', 'over');
    await world.pass(70);
    const [home] = world.allProposals().filter(({ kind }) => kind === 'home');
    expect(home).toMatchObject({ to: 'a1', state: 'waiting', attack: null });
    world.proposals.decline(home!.id, 'terminal');
    await world.pass(50);
    expect(world.allProposals().filter(({ kind }) => kind === 'home')).toHaveLength(1);
    await world.pass(20);
    expect(world.allProposals().filter(({ kind }) => kind === 'home')).toHaveLength(2);
  });

  it('is not proposed for a service that somebody put elsewhere', async () => {
    begin([shop]);
    world.set(shop.id, { response: { ...defaultResponse, homeQuietSeconds: 10 } });
    world.moves.start({ service: shop.id, to: 'b1', requestedBy: 'terminal', reason: 'by hand' });
    await world.pass(60);
    expect(world.service(shop.id).site).toBe('b1');
    expect(world.allProposals()).toEqual([]);
  });
});

describe('an attacker who chases', () => {
  it('is fled from at once at first, and more slowly the more often he finds the service within seconds', async () => {
    begin([shop]);
    const arrivals: number[] = [];
    for (let chase = 0; chase < 4; chase += 1) {
      const { site } = world.service(shop.id);
      world.attack(site);
      const begun = world.clock.now();
      for (let second = 0; second < 60 && world.service(shop.id).site === site; second += 1)
        await (second === 0 ? world.settle() : world.pass(1));
      arrivals.push(Math.round((world.clock.now() - begun) / 1000));
      world.attack(site, 'over');
    }
    expect(arrivals).toEqual([0, 5, 10, 20]);
    expect(new Set(world.allMoves().map(({ to }) => to)).size).toBe(4);
  });
});
