import { describe, expect, it } from 'vitest';
import type { AgentContract, Delegation, ServiceDescription } from '../../../core/contract/agent-contract.ts';
import type { Client } from '../../../core/contract/channel.ts';
import type { Move, MovePhaseName } from '../../../core/contract/domain.ts';
import { type MovePorts, MoveRunner } from '../../../core/moves/move-runner.ts';
import { MoveError } from '../../../core/runtime/errors.ts';

const description: ServiceDescription = {
  hostname: 'shop.example',
  image: 'apache',
  command: ['apache2'],
  port: 80,
  direct: true,
  terminals: false,
  withoutIoUring: true,
  storage: null,
  homeSite: 'a1',
  probe: { kind: 'http', port: 80, path: '/' },
  number: 1,
};
const begun: Move = {
  id: 'm1',
  service: 'shop.example',
  from: 'a1',
  to: 'b1',
  stone: 'stone-a',
  epoch: 2,
  state: 'running',
  requestedBy: 'terminal',
  reason: '',
  attack: null,
  pausedBefore: null,
  phases: [],
  startedAt: 0,
  endedAt: null,
  outageMs: null,
  predictedOutageMs: null,
  stateBytes: null,
  wireBytes: null,
  aheadBytes: null,
  sessionsCarried: null,
  sessionsLost: null,
  error: null,
  progress: null,
  failure: null,
  owed: null,
};

type Answer = (params: { steps?: readonly string[] }) => unknown;
const phasesOf = (steps: readonly string[] = []) => ({
  phases: steps.map((phase) => ({ phase, startedAt: 1, endedAt: 2 })),
});

/** A move between agents that do as they are told but for what `spoiled` answers. */
function moveWith(spoiled: Record<string, Answer>, answered: number | null = 5) {
  const calls: string[] = [];
  const answers: Record<string, Answer> = {
    'source.run': ({ steps }) => ({
      ...phasesOf(steps),
      stateBytes: 1,
      wireBytes: 1,
      aheadBytes: 0,
      sessions: 3,
    }),
    'target.run': ({ steps }) => phasesOf(steps),
    'target.commit': () => phasesOf(['announce']),
    ...spoiled,
  };
  const agent = {
    call: async (method: string, params: { steps?: readonly string[] }) => {
      calls.push(method);
      return answers[method]?.(params) ?? {};
    },
  } as unknown as Client<AgentContract>;
  const journal: string[] = [];
  const ports: MovePorts = {
    agent: async () => agent,
    record: (_move, type) => void journal.push(type),
    show: () => undefined,
    delegate: async () => ({}) as Delegation,
    endpoint: (name) => ({ name, address: '198.18.1.11', port: 7400 }),
    warm: () => undefined,
    firstAnswer: async () => ({ watched: true, at: answered }),
    now: () => 3,
  };
  const runner = new MoveRunner({ move: begun, service: description, pauseAt: null }, ports);
  return { runner, calls, journal };
}

const fault = (code: string, phase?: MovePhaseName) => () => {
  throw new MoveError(code, 'It did not work.', phase ? { phase } : {});
};

describe('the failure of a phase, as a person sees it', () => {
  it.each([
    ['prepare', { 'target.prepare': fault('LIFELINE_UNREACHABLE') }, 'never frozen'],
    ['freeze', { 'source.run': fault('POD_FREEZE_FAILED', 'freeze') }, 'could not be frozen'],
    ['dump', { 'source.run': fault('CHECKPOINT_DUMP_FAILED', 'dump') }, 'could not be written down'],
    ['ship', { 'source.run': fault('STATE_SEND_FAILED', 'ship') }, 'through stone-a to b1'],
    ['verify', { 'source.run': fault('STATE_DAMAGED', 'ship') }, 'not what a1 had sent'],
    ['verify', { 'target.run': fault('STATE_DAMAGED', 'verify') }, 'not what a1 had sent'],
    ['restore', { 'target.run': fault('POD_RESTORE_FAILED', 'restore') }, 'inside its fence at b1'],
  ] as const)('before the commit, in %s: everything is taken back', async (phase, spoiled, words) => {
    const { runner, calls, journal } = moveWith(spoiled);
    const move = await runner.run();
    expect(move).toMatchObject({ state: 'rolled-back', owed: null, failure: { phase } });
    expect(move.failure?.happened).toContain(words);
    expect(move.failure?.safe).toBe(
      'Nothing was lost: shop.example goes on at a1, and no second copy is left.',
    );
    expect(move.failure?.advice).toMatch(/^[A-Z].*\.$/);
    expect(calls.indexOf('target.discard')).toBeLessThan(calls.indexOf('source.rollback'));
    expect(calls).not.toContain('source.kill');
    expect(journal.at(-1)).toBe('move.rolled-back');
  });

  it('in commit: the kill that was not confirmed is owed', async () => {
    const { runner, journal } = moveWith({ 'source.kill': fault('AGENT_UNREACHABLE') });
    const move = await runner.run();
    expect(move).toMatchObject({ state: 'done', owed: 'kill', failure: { phase: 'commit' } });
    expect(move.failure?.safe).toContain('never runs again');
    expect(journal).toContain('move.source-unreachable');
  });

  it('in commit: a source that knows nothing of the move owes nothing', async () => {
    const { runner } = moveWith({ 'source.kill': fault('MOVE_UNKNOWN') });
    expect(await runner.run()).toMatchObject({ state: 'done', owed: null, failure: null });
  });

  it('in announce: it stays committed, and nothing is taken back', async () => {
    const { runner, calls } = moveWith({ 'target.commit': fault('AGENT_UNREACHABLE') });
    const move = await runner.run();
    expect(move).toMatchObject({ state: 'committed', failure: { phase: 'announce' } });
    expect(move.failure?.safe).toContain('runs nowhere else');
    expect(calls).not.toContain('source.rollback');
    expect(calls).not.toContain('target.discard');
  });

  it('in firstAnswer: it has moved, and somebody should look', async () => {
    const { runner } = moveWith({}, null);
    expect(await runner.run()).toMatchObject({
      state: 'done',
      outageMs: null,
      failure: { phase: 'firstAnswer' },
    });
  });

  it('is none when all goes well', async () => {
    expect(await moveWith({}).runner.run()).toMatchObject({ state: 'done', failure: null, owed: null });
  });
});
