import { describe, expect, it } from 'vitest';
import type { GatewayStats } from '../../../core/pods/port.ts';
import { type QuiesceSteps, quiesceAndFreeze } from '../../../core/pods/quiesce.ts';
import { MoveError } from '../../../core/runtime/errors.ts';

const stats: GatewayStats = {
  ok: true,
  paused: true,
  sessions: 3,
  attached: 0,
  detached: 3,
  streams: 1,
  opened: 9,
  upBytes: 0,
  downBytes: 0,
  bufferedBytes: 0,
  runningMs: 1,
  waiting: 0,
};

function steps(order: string[], failing?: string, waiting = 0): QuiesceSteps {
  const step = async (name: string) => {
    order.push(name);
    if (name === failing || (failing === 'all' && name !== 'fence')) {
      throw new MoveError(`${name.toUpperCase()}_FAILED`, `${name} failed.`);
    }
  };
  return {
    fence: () => step('fence'),
    pause: async () => {
      await step('pause');
      return { ...stats, waiting };
    },
    freeze: () => step('freeze'),
    settle: async () => {
      await step('settle');
      return { first: 3, left: 1 };
    },
    undo: () => step('undo'),
  };
}

describe('quiesceAndFreeze', () => {
  it('fences, pauses, freezes and lets what is in flight arrive, in this order', async () => {
    const order: string[] = [];
    const times = await quiesceAndFreeze(steps(order));
    expect(order).toEqual(['fence', 'pause', 'freeze', 'settle']);
    expect(times).toMatchObject({ drained: true, sessions: 3, inFlight: 1 });
    expect(times.totalMs).toBeGreaterThanOrEqual(times.fenceMs + times.pauseMs + times.freezeMs - 0.001);
  });

  it('does not claim to have drained what it could not see or what still waits', async () => {
    expect((await quiesceAndFreeze(steps([], undefined, 2))).drained).toBe(false);
    expect((await quiesceAndFreeze(steps([], undefined, -1))).drained).toBe(false);
  });

  it.each(['fence', 'pause', 'freeze', 'settle'])(
    'undoes everything when it cannot %s, and says what failed',
    async (failing) => {
      const order: string[] = [];
      await expect(quiesceAndFreeze(steps(order, failing))).rejects.toMatchObject({
        code: `${failing.toUpperCase()}_FAILED`,
      });
      expect(order.at(-1)).toBe('undo');
    },
  );

  it('reports the first fault also when undoing fails', async () => {
    await expect(quiesceAndFreeze(steps([], 'all'))).rejects.toMatchObject({
      code: 'PAUSE_FAILED',
      details: { undo: { code: 'UNDO_FAILED' } },
    });
  });
});
