import { describe, expect, it } from 'vitest';
import type { Move, Site } from '../../../core/contract/domain.ts';
import type { Rehearsal } from '../../../core/contract/preflight.ts';
import { checkPredictions, predictOutage } from '../../../core/moves/prediction.ts';

const site = (id: string, mbit: number): Site => ({
  id,
  isp: id[0]!,
  reach: 'up',
  primaryAddress: '198.18.1.1',
  primaryCapacityMbit: mbit,
  secondaryCapacityMbit: mbit,
  primaryInMbit: 0,
  primaryOutMbit: 0,
  secondaryInMbit: 0,
  secondaryOutMbit: 0,
  pods: [],
  attacked: false,
});

const rehearsal: Rehearsal = {
  at: 0,
  silentMs: 130,
  freezeMs: 5,
  dumpMs: 100,
  stateBytes: 6e6,
  aheadBytes: 300_000,
  wireBytes: 100_000,
  wholeWireBytes: 400_000,
  processes: 4,
  sessions: 3,
};

/** A move that froze for 5, dumped for `dump`, shipped for 50 and restored for `restore` ms, answered 60 ms later. */
function moved(service: string, dump: number, restore: number, more: Partial<Move> = {}): Move {
  let at = 1000;
  const phases = (
    [
      ['freeze', 5],
      ['dump', dump],
      ['ship', 50],
      ['verify', 0],
      ['restore', restore],
      ['commit', 20],
      ['announce', 20],
      ['firstAnswer', 20],
    ] as const
  ).map(([phase, length]) => {
    const startedAt = at;
    at += length;
    return { phase, startedAt, endedAt: at };
  });
  return {
    id: `${service} ${dump}`,
    service,
    from: 'a1',
    to: 'b1',
    stone: 'stone-a',
    epoch: 2,
    state: 'done',
    requestedBy: 'test',
    reason: '',
    attack: null,
    pausedBefore: null,
    phases,
    startedAt: 1000,
    endedAt: at,
    outageMs: at - 1000,
    predictedOutageMs: null,
    stateBytes: 6e6,
    wireBytes: 400_000,
    aheadBytes: 300_000,
    sessionsCarried: 1,
    sessionsLost: 0,
    error: null,
    progress: null,
    failure: null,
    owed: null,
    ...more,
  };
}

const predict = (more: Partial<Parameters<typeof predictOutage>[0]> = {}) =>
  predictOutage({ service: 'shop', source: site('a1', 20), target: site('b1', 20), history: [], ...more });

describe('the outage that is predicted', () => {
  it('says what it rests on', () => {
    expect(predict().basis).toBe('a typical web server and a 20 Mbit/s bottleneck');
    expect(predict({ rehearsal }).basis).toBe('a rehearsal and a 20 Mbit/s bottleneck');
    expect(predict({ rehearsal, history: [moved('desk', 100, 90)] }).basis).toBe(
      'a rehearsal, 1 move of other services and a 20 Mbit/s bottleneck',
    );
    expect(predict({ history: [moved('shop', 100, 90), moved('shop', 110, 90)] }).basis).toBe(
      '2 earlier moves of this service and a 20 Mbit/s bottleneck',
    );
  });

  it('is what a service’s own moves were, over the same links', () => {
    const history = [moved('shop', 100, 90)];
    const shipped = predict({ history }).outageMs - (5 + 100 + 90 + 60);
    // 100 KB at 20 Mbit/s are 40 ms
    expect(shipped).toBeGreaterThanOrEqual(40);
    expect(shipped).toBeLessThan(70);
  });

  it('grows with the dump of the rehearsal, the bytes and the way', () => {
    const base = predict({ rehearsal }).outageMs;
    expect(predict({ rehearsal: { ...rehearsal, dumpMs: 300 } }).outageMs).toBeGreaterThan(base + 300);
    expect(predict({ rehearsal, target: site('b1', 5) }).outageMs).toBe(base + 120);
    expect(predict({ rehearsal, roundTripMs: 40 }).outageMs).toBe(base + 40);
  });

  it('counts all of the state where it cannot be sent ahead in time', () => {
    const slow = { source: site('a1', 2) };
    const changed = predict({ rehearsal: { ...rehearsal, aheadBytes: 10_000 }, ...slow }).outageMs;
    expect(predict({ rehearsal, ...slow }).outageMs).toBe(changed + (300_000 * 8) / 2000);
  });

  it('learns from other services how this fleet wakes pods', () => {
    const slow = [1, 2, 3].map((n) => moved(`other-${n}`, 100, 300));
    expect(predict({ rehearsal, history: slow }).outageMs).toBeGreaterThan(
      predict({ rehearsal }).outageMs + 150,
    );
  });

  it('passes over moves that were taken back or that nobody saw answered', () => {
    const history = [
      moved('shop', 900, 900, { state: 'rolled-back' }),
      moved('shop', 900, 900, { outageMs: null }),
    ];
    expect(predict({ history })).toEqual(predict());
  });

  it('is compared with what came, newest first', () => {
    const history = [
      moved('shop', 100, 90, { id: 'old', predictedOutageMs: 305, startedAt: 1 }),
      moved('shop', 100, 90, { id: 'new', predictedOutageMs: 610, startedAt: 2 }),
      moved('shop', 100, 90, { id: 'unseen', outageMs: null, predictedOutageMs: 300 }),
      moved('desk', 100, 90, { predictedOutageMs: 300 }),
    ];
    expect(checkPredictions('shop', history).map(({ move, offByPercent }) => [move, offByPercent])).toEqual([
      ['new', 100],
      ['old', 0],
    ]);
  });
});
