import type { AgentEvent } from '../contract/agent-contract.ts';
import type { ControlContext } from './control-context.ts';

export type NodeFloodEvent = Extract<AgentEvent, { type: 'overlay-flood' }>;

/** One storm as the node that it hit tells it. All in milliseconds since the epoch. */
export interface NodeAbsence {
  firstEvidenceAt: number;
  detectedAt: number;
  /** When clients had been sent elsewhere and the ring had been left. */
  retreatedAt: number;
  /** Whether it left the ring: one that is too small to lose it keeps it. */
  left: boolean;
  returnedAt: number | null;
}

/** Which overlay nodes are flooded, as they tell it themselves: in the journal, on the map, for drills. */
export class NodeFloods {
  readonly #context: Pick<ControlContext, 'store' | 'recorder'>;
  readonly #latest = new Map<string, NodeAbsence>();
  readonly #listeners = new Set<() => void>();

  constructor(context: Pick<ControlContext, 'store' | 'recorder'>) {
    this.#context = context;
  }

  /** Takes what a node says. A storm that lasts is told again to a controller that reconnects, which is no news. */
  report(node: string, event: NodeFloodEvent): void {
    const { store, recorder } = this.#context;
    const known = this.#latest.get(node);
    const going = event.state === 'retreated';
    const away = known !== undefined && known.returnedAt === null;
    if (!store.state.nodes[node] || away === going) return;
    const { firstEvidenceAt, detectedAt, left } = event;
    if (going)
      this.#latest.set(node, { firstEvidenceAt, detectedAt, left, retreatedAt: event.at, returnedAt: null });
    else if (known) known.returnedAt = event.at;
    recorder.record({
      kind: 'observation',
      type: going ? 'node.flooded' : 'node.returned',
      tone: going ? 'attack' : 'good',
      text: going
        ? `${node} is flooded, ${left ? 'has left the ring' : 'stays on a ring too small to lose it'} and sends its clients elsewhere. ${event.evidence}`
        : `${node} is back on the ring and takes clients again.`,
      subject: node,
      actor: `agent:${node}`,
      data: { firstEvidenceAt, detectedAt, left, at: event.at },
      changes: [{ op: 'patch', collection: 'nodes', id: node, value: { flooded: going } }],
    });
    for (const listener of [...this.#listeners]) listener();
  }

  /** Resolves when a storm that this node noticed at or after `since` is over and the node is back. */
  awaitReturn(
    node: string,
    since: number,
    signal: AbortSignal,
  ): Promise<NodeAbsence & { returnedAt: number }> {
    return new Promise((resolve, reject) => {
      const settle = (act: () => void) => {
        this.#listeners.delete(look);
        signal.removeEventListener('abort', stop);
        act();
      };
      const look = () => {
        const absence = this.#latest.get(node);
        if (!absence || absence.detectedAt < since || absence.returnedAt === null) return;
        const { returnedAt } = absence;
        settle(() => resolve({ ...absence, returnedAt }));
      };
      const stop = () => settle(() => reject(signal.reason));
      this.#listeners.add(look);
      signal.addEventListener('abort', stop, { once: true });
      if (signal.aborted) stop();
      else look();
    });
  }
}
