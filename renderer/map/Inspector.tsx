import type { ReactNode } from 'react';
import type { ConsoleState } from '../../core/contract/state.ts';
import { mbit, place } from '../format.ts';
import { possibleTargets, serviceInFocus } from '../model/reading.ts';
import { Icon } from '../parts/Icon.tsx';
import { useConsole, useMayAct } from '../store/console-store.ts';
import { useTelemetry } from '../store/telemetry-store.ts';
import { type MapSelection, useUi } from '../store/ui-store.ts';
import { text } from '../text.ts';

const words = text.map.inspect;

/** Everything known about the place that is pinned on the map. */
export function Inspector() {
  const selection = useUi((ui) => ui.selection);
  const select = useUi((ui) => ui.select);
  if (!selection) return null;
  return (
    <aside className="inspector" aria-label={place(selection.id)}>
      <button type="button" className="icon-button" aria-label={text.close} onClick={() => select(null)}>
        <Icon name="close" size={14} />
      </button>
      <Facts selection={selection} />
    </aside>
  );
}

function Facts({ selection }: { selection: MapSelection }) {
  const state = useConsole((store) => store.state);
  useTelemetry();
  const facts = factsOf(selection, state);
  if (!facts) return null;
  return (
    <>
      <h2>
        {place(selection.id)} <span className="muted">{facts.kind}</span>
      </h2>
      <dl className="facts">
        {facts.rows.map(([name, value]) => (
          <div key={name}>
            <dt>{name}</dt>
            <dd className="figures">{value}</dd>
          </div>
        ))}
      </dl>
      {selection.kind === 'site' && <MoveHere site={selection.id} />}
    </>
  );
}

type Rows = [string, ReactNode][];

/** How a host is reached, or whose it is where another control plane drives it. */
const reachOf = ({ reach, holder }: { reach: string; holder?: string | undefined }): Rows[number] =>
  holder === undefined ? [words.reach, reach] : [words.holder, holder];

function factsOf(
  selection: MapSelection,
  state: ConsoleState,
): { kind: string; rows: Rows } | null | undefined {
  const list = (items: readonly string[]) => items.join(', ') || words.none;
  if (selection.kind === 'site') {
    const site = state.sites[selection.id];
    if (!site) return null;
    const link = (i: number, o: number, capacity: number) =>
      `${words.inOut(mbit(i), mbit(o))}, ${words.of(mbit(capacity))}`;
    return {
      kind: words.kind.site,
      rows: [
        [words.address, site.primaryAddress],
        [words.runs, list(site.pods)],
        [words.primary, link(site.primaryInMbit, site.primaryOutMbit, site.primaryCapacityMbit)],
        [words.secondary, link(site.secondaryInMbit, site.secondaryOutMbit, site.secondaryCapacityMbit)],
        reachOf(site),
      ],
    };
  }
  if (selection.kind === 'node') {
    const node = state.nodes[selection.id];
    if (!node) return null;
    const { ring } = state.ring;
    const broken = ring?.holds === false && ring.culprit === node.id ? ring : null;
    return {
      kind: words.kind.node,
      rows: [
        [words.address, node.address],
        [words.identifier, node.ringIdentifier ? `${node.ringIdentifier.slice(0, 12)}…` : words.none],
        [words.successors, list(node.successors)],
        [words.predecessor, node.predecessor ?? words.none],
        [words.roles, list(node.roles.map((role) => text.map.nodeRole[role]))],
        [words.links, String(node.clientLinks)],
        [words.sessions, String(node.sessions)],
        node.flooded ? [words.reach, words.flooded] : reachOf(node),
        ...(broken ? ([[words.invariant, broken.rule ?? text.map.broken]] satisfies Rows) : []),
      ],
    };
  }
  if (selection.kind === 'stone') {
    const stone = state.stones[selection.id];
    return (
      stone && {
        kind: words.kind.stone,
        rows: [[words.relays, String(stone.relays)], reachOf(stone)],
      }
    );
  }
  const host = state.clients[selection.id];
  return (
    host && {
      kind: words.kind[host.role],
      rows: [
        [words.activity, host.activity || text.map.role.idle],
        [words.reach, host.reach],
      ],
    }
  );
}

function MoveHere({ site }: { site: string }) {
  const open = useUi((ui) => ui.open);
  const mayAct = useMayAct();
  const state = useConsole((store) => store.state);
  const service = serviceInFocus(
    state,
    useUi((ui) => ui.service),
  );
  if (!service || !possibleTargets(state, service).some((target) => target.id === site)) return null;
  return (
    <button
      type="button"
      className="button"
      disabled={!mayAct || service.state !== 'running'}
      onClick={() => open({ kind: 'move', service: service.id, to: site })}
    >
      {words.moveHere(service.id, site)}
    </button>
  );
}
