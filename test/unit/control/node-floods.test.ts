import { beforeEach, expect, test } from 'vitest';
import { type NodeFloodEvent, NodeFloods } from '../../../core/control/node-floods.ts';

type Context = ConstructorParameters<typeof NodeFloods>[0];
type Entry = Parameters<Context['recorder']['record']>[0];

let journal: Entry[];
let floods: NodeFloods;
beforeEach(() => {
  journal = [];
  floods = new NodeFloods({
    store: { state: { nodes: { 'node-1': {} } } },
    recorder: { record: (entry: Entry) => journal.push(entry) },
  } as unknown as Context);
});

const told = (state: NodeFloodEvent['state'], at: number, detectedAt = 1_000): NodeFloodEvent => ({
  type: 'overlay-flood',
  at,
  state,
  evidence: 'The link is full of packets that nobody asked for.',
  inboundMbit: 99,
  left: true,
  firstEvidenceAt: detectedAt - 50,
  detectedAt,
});

test('a storm is journalled when it drives the node away and when the node is back, each once', () => {
  floods.report('node-1', told('retreated', 1_400));
  // A controller that reconnects hears again what lasts.
  floods.report('node-1', told('retreated', 1_400));
  floods.report('node-1', told('returned', 9_000));
  floods.report('node-1', told('returned', 9_000));
  floods.report('nobody', told('retreated', 1_400));
  expect(journal.map(({ type, subject }) => `${type} ${subject}`)).toEqual([
    'node.flooded node-1',
    'node.returned node-1',
  ]);
  expect(journal.map(({ changes }) => changes?.[0])).toMatchObject([
    { collection: 'nodes', id: 'node-1', value: { flooded: true } },
    { collection: 'nodes', id: 'node-1', value: { flooded: false } },
  ]);
  expect(journal[0]?.text).toContain('has left the ring');
});

test('who waits for a return hears of the one that he waits for', async () => {
  floods.report('node-1', told('retreated', 1_400));
  floods.report('node-1', told('returned', 9_000));
  let heard: unknown = null;
  const waiting = floods.awaitReturn('node-1', 2_000, new AbortController().signal).then((absence) => {
    heard = absence;
  });
  floods.report('node-1', told('retreated', 20_500, 20_000));
  await Promise.resolve();
  expect(heard).toBeNull();
  floods.report('node-1', told('returned', 30_000, 20_000));
  await waiting;
  expect(heard).toMatchObject({ detectedAt: 20_000, retreatedAt: 20_500, returnedAt: 30_000, left: true });
});

test('a wait ends with its signal', async () => {
  const stop = new AbortController();
  const waiting = floods.awaitReturn('node-1', 0, stop.signal);
  stop.abort(new Error('enough'));
  await expect(waiting).rejects.toThrow('enough');
});
