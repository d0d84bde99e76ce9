import { describe, expect, it } from 'vitest';
import type { OverlayNode, Service } from '../../../core/contract/domain.ts';
import type { ControlContext } from '../../../core/control/control-context.ts';
import { completePaths, pathsOf, ServicePaths } from '../../../core/control/service-paths.ts';
import { StateStore } from '../../../core/control/state-store.ts';
import { MoveError } from '../../../core/runtime/errors.ts';
import { HandClock } from '../../support/hand-clock.ts';

const service = 'shop.example';

/** Four overlay nodes, of which `silent` do not answer, and two services from before there were paths. */
function surroundings(silent: readonly string[] = []) {
  const store = new StateStore();
  const nodes = ['node-1', 'node-2', 'node-3', 'node-4'];
  for (const id of nodes)
    store.change([
      {
        op: 'upsert',
        collection: 'nodes',
        id,
        value: { id, reach: silent.includes(id) ? 'down' : 'up' } as OverlayNode,
      },
    ]);
  for (const id of [service, 'tea.example'])
    store.change([{ op: 'upsert', collection: 'services', id, value: { id } as Service }]);
  completePaths(store);
  const told: [string, unknown][] = [];
  const journal: unknown[] = [];
  const paths = new ServicePaths({
    store,
    clock: new HandClock(),
    log: () => undefined,
    recorder: {
      record(entry: { changes?: Parameters<StateStore['change']>[0] }) {
        journal.push(entry);
        store.change(entry.changes ?? []);
      },
    },
    agent: async (node: string) => ({
      call: async (method: string, input: unknown) => {
        if (silent.includes(node)) throw new MoveError('AGENT_UNREACHABLE', `${node} does not answer.`);
        expect(method).toBe('overlay.paths');
        told.push([node, input]);
        return {};
      },
    }),
  } as unknown as ControlContext);
  return { store, paths, told, journal };
}

describe('the path policies of services', () => {
  it('are journalled first, and told to every overlay node with those of all services', async () => {
    const { store, paths, told, journal } = surroundings();
    const answer = await paths.set({ service, policy: 'two-hop', nearest: 3 }, 'terminal');
    expect(answer).toMatchObject({ service, path: { policy: 'two-hop', nearest: 3 }, accessPointsTold: 4 });
    expect(answer.secrecy.candidates).toBe(3);
    expect(journal).toMatchObject([
      {
        kind: 'intent',
        type: 'service.path',
        subject: service,
        actor: 'terminal',
        text: 'Path of shop.example: two hops, the nearest of 3 random servlets.',
      },
    ]);
    const all = {
      [service]: { policy: 'two-hop', nearest: 3 },
      'tea.example': { policy: 'two-hop', nearest: 1 },
    };
    expect(told).toEqual(['node-1', 'node-2', 'node-3', 'node-4'].map((node) => [node, { paths: all }]));
    expect(pathsOf(store)).toEqual(all);
  });

  it('count who was told, and stand although somebody was not: his configuration brings it', async () => {
    const { store, paths } = surroundings(['node-2', 'node-4']);
    const answer = await paths.set({ service, policy: 'full-ring', nearest: 1 }, 'window');
    expect(answer.accessPointsTold).toBe(2);
    expect(pathsOf(store)[service]).toEqual({ policy: 'full-ring', nearest: 1 });
  });

  it('are listed with what each keeps secret, for nodes that answer or for as many as one asks', async () => {
    const { paths } = surroundings(['node-4']);
    expect(paths.list({ service })).toMatchObject({
      service,
      nodes: 3,
      path: { policy: 'two-hop', nearest: 1 },
    });
    const many = paths.list({ service, nodes: 32 });
    expect(
      many.choices.find(({ policy, nearest }) => policy === 'two-hop' && nearest === 1)?.bits,
    ).toBeCloseTo(4.95, 2);
  });

  it('are refused for a service that is not there', async () => {
    const { paths, journal } = surroundings();
    const unknown = { service: 'no.example', policy: 'one-hop', nearest: 1 } as const;
    await expect(paths.set(unknown, 'terminal')).rejects.toMatchObject({ code: 'SERVICE_UNKNOWN' });
    expect(() => paths.list({ service: 'no.example' })).toThrow(
      expect.objectContaining({ code: 'SERVICE_UNKNOWN' }),
    );
    expect(journal).toEqual([]);
  });
});
