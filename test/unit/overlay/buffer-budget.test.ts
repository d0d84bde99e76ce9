import { expect, it } from 'vitest';
import { BufferBudget } from '../../../core/overlay/buffer-budget.ts';
import { HandClock } from '../../support/hand-clock.ts';

function world() {
  const clock = new HandClock();
  const budget = new BufferBudget({ clock, eachBytes: 100, wholeBytes: 250, graceMs: 1000, sweepMs: 250 });
  const cut: string[] = [];
  const hold = (owner: string, name: string, bytes: number) => {
    const state = { bytes, moved: 0 };
    const remove = budget.add({
      owner,
      bytes: () => state.bytes,
      moved: () => state.moved,
      cut: (error) => {
        expect(error.code).toBe('BUFFERS_FULL');
        cut.push(name);
        state.bytes = 0;
      },
    });
    return { state, remove };
  };
  return { clock, budget, cut, hold };
}

it('cuts of an owner over his budget what lay longest, and no more than it must', () => {
  const { clock, cut, hold } = world();
  hold('mallory', 'm1', 40);
  clock.turn(500);
  hold('mallory', 'm2', 40);
  hold('mallory', 'm3', 40);
  hold('ada', 'a1', 90);
  clock.turn(250);
  expect(cut).toEqual([]);
  clock.turn(3000);
  expect(cut).toEqual(['m1']);
});

it('spares who turns over what is held for him, and cuts who trickles', () => {
  const { clock, cut, hold } = world();
  const fast = [hold('ada', 'a1', 80), hold('ada', 'a2', 80)];
  const slow = hold('mallory', 'm1', 80);
  const slower = hold('mallory', 'm2', 80);
  for (let step = 0; step < 20; step += 1) {
    for (const { state } of fast) state.moved += 40;
    slow.state.moved += 8;
    slower.state.moved += 4;
    clock.turn(250);
  }
  expect(cut).toEqual(['m1']);
});

it('takes from the one who holds most when all together hold too much', () => {
  const { clock, cut, hold } = world();
  const owners = ['one', 'two', 'three', 'four', 'five'];
  for (const [index, owner] of owners.entries()) hold(owner, owner, 50 + index * 10);
  clock.turn(2000);
  expect(cut).toEqual(['five', 'four']);
  clock.turn(5000);
  expect(cut).toEqual(['five', 'four']);
});

it('watches nothing when nothing is held', () => {
  const { clock, budget, hold } = world();
  const { remove } = hold('ada', 'a1', 10);
  expect(clock.pending).toBe(1);
  remove();
  clock.turn(1000);
  expect(clock.pending).toBe(0);
  hold('ada', 'a2', 10);
  budget.close();
  expect(clock.pending).toBe(0);
});
