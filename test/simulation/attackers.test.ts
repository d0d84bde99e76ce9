import { describe, expect, it } from 'vitest';
import { type Attacker, mostMovesInVain, type Outcome, playStory, type Story } from './attackers.ts';

const play = (attacker: Attacker, policy: Story['policy'], findMs: Story['findMs']) =>
  // The plain policy makes hundreds of moves: some stories are enough to show it.
  Array.from({ length: policy === 'ours' ? 20 : 3 }, (_, index) =>
    playStory({ attacker, seed: index + 1, policy, findMs, hours: 2 }),
  );
const mean = (outcomes: readonly Outcome[], of: (outcome: Outcome) => number) =>
  outcomes.reduce((sum, outcome) => sum + of(outcome), 0) / outcomes.length;
const most = (outcomes: readonly Outcome[], of: (outcome: Outcome) => number) =>
  Math.max(...outcomes.map(of));

describe('the response to attacks, played over seeds', () => {
  it('leaves an attack that lasts once, and goes home once it is over', () => {
    const outcomes = play('lasting', 'ours', { least: 0, most: 1 });
    expect(most(outcomes, ({ moves }) => moves)).toBe(2);
    expect(most(outcomes, ({ pingPongs }) => pingPongs)).toBe(0);
    expect(most(outcomes, ({ longestMs }) => longestMs)).toBeLessThanOrEqual(3_000);
  });

  it('is moved ever less often by an attacker who finds it at once, and not at all back and forth at his pace', () => {
    const findMs = { least: 0, most: 2_000 };
    const ours = play('chasing', 'ours', findMs);
    const plain = play('chasing', 'at once', findMs);
    expect(most(ours, ({ moves }) => moves)).toBeLessThanOrEqual(mostMovesInVain(2));
    expect(mean(plain, ({ moves }) => moves)).toBeGreaterThan(20 * mean(ours, ({ moves }) => moves));
  });

  it('goes on fleeing from an attacker who needs longer than a move is worth', () => {
    const ours = play('chasing', 'ours', { least: 12_000, most: 60_000 });
    expect(most(ours, ({ underAttack }) => underAttack)).toBeLessThan(0.05);
  });

  it('keeps a service out of attacks whose attacker needs ten minutes to find it', () => {
    const findMs = { least: 300_000, most: 900_000 };
    const ours = play('chasing', 'ours', findMs);
    expect(most(ours, ({ underAttack }) => underAttack)).toBeLessThan(0.005);
    expect(most(ours, ({ pingPongs }) => pingPongs)).toBe(0);
  });

  it('lets an attacker who returns wait twice as long each time', () => {
    const findMs = { least: 0, most: 20_000 };
    const ours = play('returning', 'ours', findMs);
    const plain = play('returning', 'at once', findMs);
    // Two hours hold quiet times of 10, 20 and 40 minutes: four storms and their ways home.
    expect(most(ours, ({ moves }) => moves)).toBeLessThanOrEqual(8);
    expect(most(ours, ({ pingPongs }) => pingPongs)).toBe(0);
    expect(mean(plain, ({ pingPongs }) => pingPongs)).toBeGreaterThan(50);
    expect(most(ours, ({ underAttack }) => underAttack)).toBeLessThan(0.005);
  });
});
