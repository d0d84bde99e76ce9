import { describe, expect, it } from 'vitest';
import type { AgentContract, AgentEvent } from '../../../core/contract/agent-contract.ts';
import type { Client } from '../../../core/contract/channel.ts';
import type { Recorder } from '../../../core/control/recorder.ts';
import { StateStore } from '../../../core/control/state-store.ts';
import { Visitors } from '../../../core/control/visitors-control.ts';
import { HandClock } from '../../support/hand-clock.ts';

const minute = 60_000;

function surroundings() {
  const store = new StateStore();
  const clock = new HandClock();
  const journal: { type: string; text: string; kind: string; data?: unknown }[] = [];
  const told: string[][] = [];
  const visitors = new Visitors({
    store,
    clock,
    recorder: {
      record(entry: (typeof journal)[number] & { changes?: Parameters<StateStore['change']>[0] }) {
        journal.push(entry);
        store.change(entry.changes ?? []);
      },
    } as unknown as Recorder,
    tellRevoked: async () => {
      told.push(visitors.revokedSerials());
      return 8;
    },
  });
  const admit = (serial: string, minutes: number) =>
    visitors.admitted('node-1', {
      type: 'admitted',
      at: clock.now(),
      method: 'human-test',
      name: `visitor ${serial}`,
      serial,
      services: ['shop.example'],
      address: '10.9.0.2',
      until: clock.now() + minutes * minute,
    } satisfies AgentEvent);
  return { store, clock, journal, told, visitors, admit };
}

describe('visitors', () => {
  it('are listed until their time is over, without where they came from, and then forgotten', () => {
    const { store, clock, visitors, admit } = surroundings();
    admit('0A', 5);
    admit('0B', 30);
    expect(visitors.list().visitors).toEqual([
      expect.objectContaining({ id: '0B', accessPoint: 'node-1', method: 'human-test', revokedAt: null }),
      expect.objectContaining({ id: '0A', services: ['shop.example'] }),
    ]);
    expect(JSON.stringify(store.state.visitors)).not.toContain('10.9.0.2');
    clock.turn(5 * minute);
    expect(visitors.list().visitors.map(({ id }) => id)).toEqual(['0B']);
    clock.turn(2 * minute);
    admit('0C', 5);
    expect(Object.keys(store.state.visitors).sort()).toEqual(['0B', '0C']);
  });

  it('are revoked one by one: journalled first, then told to all; nobody else is', async () => {
    const { journal, told, visitors, admit } = surroundings();
    admit('0A', 5);
    admit('0B', 5);
    const answer = await visitors.revoke({ serial: '0a' }, 'terminal');
    expect(answer).toMatchObject({ visitor: { id: '0A' }, accessPointsTold: 8 });
    expect(answer.visitor.revokedAt).not.toBeNull();
    expect(told).toEqual([['0A']]);
    expect(journal.at(-1)).toMatchObject({
      kind: 'intent',
      type: 'admission.revoked',
      text: 'What visitor 0A earned at node-1 is revoked.',
    });
    const records = journal.length;
    await visitors.revoke({ serial: '0A' }, 'terminal');
    expect(journal.length).toBe(records);
    expect(told).toHaveLength(2);
    await expect(visitors.revoke({ serial: '0F' }, 'terminal')).rejects.toMatchObject({
      code: 'VISITOR_UNKNOWN',
    });
  });

  it('who came while the control plane was away are learned of, once', async () => {
    const { clock, journal, visitors, admit } = surroundings();
    admit('0A', 5);
    const known = { method: 'password', services: ['shop.example'], until: clock.now() + 5 * minute };
    const client = {
      call: async () => ({
        visitors: [
          { serial: '0A', name: 'visitor 0A', ...known },
          { serial: '0B', name: 'Grace', ...known },
        ],
      }),
    } as unknown as Client<AgentContract>;
    await visitors.learn('node-1', client);
    await visitors.learn('node-1', client);
    expect(visitors.list().visitors.map(({ id }) => id)).toEqual(['0A', '0B']);
    expect(journal.map(({ text }) => text)).toEqual([
      'visitor 0A passed the human test at node-1, from 10.9.0.2.',
      'node-1 admitted one visitor while the control plane was away.',
    ]);
  });
});
