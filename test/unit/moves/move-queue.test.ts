import { describe, expect, it } from 'vitest';
import { longestOvertakenMs, type QueuedMove, takeTurns } from '../../../core/moves/move-queue.ts';
import { seededRandom } from '../../../core/runtime/random.ts';

const now = 1_000_000;
const move = (id: string, needs: string[], more: Partial<QueuedMove> = {}): QueuedMove => ({
  id,
  needs,
  queuedAt: now,
  urgent: true,
  movesBefore: 0,
  ...more,
});
const starts = (turns: ReturnType<typeof takeTurns>) =>
  turns.filter((turn) => turn.starts).map(({ id }) => id);

describe('whose turn it is to move', () => {
  it('starts at once what shares nothing, and one after the other what shares a site or a stone', () => {
    const turns = takeTurns(
      [move('1', ['a1', 'stone-a']), move('2', ['b1', 'stone-b']), move('3', ['a2', 'stone-a'])],
      [],
      now,
    );
    expect(starts(turns)).toEqual(['1', '2']);
    expect(turns.find(({ id }) => id === '3')).toEqual({ id: '3', starts: false, waitsFor: ['1'] });
  });

  it('waits for moves that are under way', () => {
    const [turn] = takeTurns([move('1', ['b1'])], [{ id: '0', needs: ['a1', 'b1'] }], now);
    expect(turn).toEqual({ id: '1', starts: false, waitsFor: ['0'] });
  });

  it('lets services that are attacked go first, then those that have moved least, then those that came first', () => {
    const turns = takeTurns(
      [
        move('wish', ['x'], { urgent: false, queuedAt: now - 9 }),
        move('often', ['x'], { movesBefore: 3, queuedAt: now - 8 }),
        move('later', ['x'], { queuedAt: now - 1 }),
        move('first', ['x'], { queuedAt: now - 2 }),
      ],
      [],
      now,
    );
    expect(turns.map(({ id }) => id)).toEqual(['first', 'later', 'often', 'wish']);
  });

  it('lets nobody be overtaken for longer than 30 s, nor have taken from it what it waits for', () => {
    const old = move('old', ['x', 'y'], {
      urgent: false,
      movesBefore: 9,
      queuedAt: now - longestOvertakenMs,
    });
    const turns = takeTurns([move('new', ['y']), old], [{ id: 'now', needs: ['x'] }], now);
    expect(turns).toEqual([
      { id: 'old', starts: false, waitsFor: ['now'] },
      { id: 'new', starts: false, waitsFor: ['old'] },
    ]);
  });

  it('starves nobody and never lets two meet, over seeded crowds of services', () => {
    for (let seed = 1; seed <= 30; seed += 1) {
      const random = seededRandom(seed);
      const sites = ['a1', 'a2', 'b1', 'b2', 'c1', 'c2'];
      const queue = new Map<string, QueuedMove>();
      const underWay = new Map<string, { id: string; needs: readonly string[]; ends: number }>();
      const waited: number[] = [];
      let made = 0;
      for (let at = 0; at < 300_000; at += 500) {
        for (const [id, one] of underWay) if (one.ends <= at) underWay.delete(id);
        // What comes is always more urgent than what waits.
        if (at < 240_000 && random.below(6) === 0) {
          const id = `m${made}`;
          made += 1;
          const from = sites[random.below(6)]!;
          const to = sites[random.below(6)]!;
          queue.set(id, {
            ...move(id, [from, to, `stone-${from[0]}`], {
              urgent: made % 7 !== 0,
              movesBefore: random.below(3),
            }),
            queuedAt: at,
          });
        }
        for (const turn of takeTurns([...queue.values()], [...underWay.values()], at)) {
          if (!turn.starts) continue;
          const one = queue.get(turn.id)!;
          for (const other of underWay.values())
            expect(other.needs.filter((need) => one.needs.includes(need))).toEqual([]);
          queue.delete(one.id);
          underWay.set(one.id, { ...one, ends: at + 1_000 + random.below(1_500) });
          waited.push(at - one.queuedAt);
        }
      }
      expect([seed, queue.size]).toEqual([seed, 0]);
      // Thirty seconds of being overtaken, and what is then still ahead of it.
      expect([seed, Math.max(...waited) <= 2 * longestOvertakenMs]).toEqual([seed, true]);
    }
  });
});
