import type { OverlayNode } from '../../core/contract/domain.ts';
import { onRing, ringRadius, spread } from '../model/geometry.ts';
import { useCollection } from '../store/console-store.ts';
import { useUi } from '../store/ui-store.ts';
import { text } from '../text.ts';
import { Spot } from './Spot.tsx';

export type NodeRole = keyof typeof text.map.nodeRole;

/** The ring: its nodes in the order of their identifiers, the roles of the focused path, the invariant. */
export function Ring(props: {
  angles: Readonly<Record<string, number>>;
  roles: ReadonlyMap<string, NodeRole[]>;
}) {
  const nodes = useCollection('nodes');
  const all = Object.values(nodes);
  const waiting = all.filter((node) => props.angles[node.id] === undefined);
  const many = all.length > 24;
  return (
    <g className="ring">
      <circle className="ring-band" r={ringRadius} />
      <circle className="ring-line" r={ringRadius} />
      <Neighbours angles={props.angles} nodes={nodes} />
      <RingWords count={all.length} joining={waiting.length} />
      {all.map((node) => {
        const angle = props.angles[node.id];
        if (angle === undefined) return null;
        return (
          <NodeSpot
            key={node.id}
            node={node}
            angle={angle}
            roles={props.roles.get(node.id) ?? []}
            small={many}
          />
        );
      })}
    </g>
  );
}

function NodeSpot({
  node,
  angle,
  roles,
  small,
}: {
  node: OverlayNode;
  angle: number;
  roles: NodeRole[];
  small: boolean;
}) {
  const ring = useCollection('ring').ring;
  const culprit = ring?.holds === false && ring.culprit === node.id;
  const role = roles[0];
  const cos = Math.cos((angle * Math.PI) / 180);
  const sin = Math.sin((angle * Math.PI) / 180);
  const anchor = cos > 0.35 ? 'start' : cos < -0.35 ? 'end' : 'middle';
  const away = 17;
  const words = roles.map((one) => text.map.nodeRole[one]).join(', ');
  const lift = sin < -0.6 ? -4 : sin > 0.6 ? 12 : 4;
  return (
    <Spot
      kind="node"
      id={node.id}
      at={onRing(angle)}
      className="node"
      label={[`${text.map.inspect.kind.node} ${node.id}`, words, node.flooded ? text.map.flooded : node.reach]
        .filter(Boolean)
        .join(', ')}
      data={{
        'data-role': role,
        'data-reach': node.reach,
        'data-culprit': culprit,
        'data-flooded': node.flooded,
      }}
    >
      <circle className="hit" r={14} />
      <circle className="node-dot" r={role ? 8 : small ? 3.5 : 5.5} />
      {role === 'directory' && <circle className="node-heart" r={3} />}
      {node.reach === 'down' && <path className="node-cross" d="M -4 -4 L 4 4 M 4 -4 L -4 4" />}
      {role ? (
        <text className="node-role" x={cos * away} y={sin * away + lift} textAnchor={anchor}>
          {words}
          <tspan className="close-only node-name" dx={6}>
            {node.id}
          </tspan>
        </text>
      ) : (
        <text className="node-name close-only" x={cos * away} y={sin * away + lift} textAnchor={anchor}>
          {node.id}
        </text>
      )}
    </Spot>
  );
}

/** Successors (and, thinner, fingers) of the node that is pinned. */
function Neighbours(props: {
  angles: Readonly<Record<string, number>>;
  nodes: Readonly<Record<string, OverlayNode>>;
}) {
  const id = useUi((ui) => (ui.selection?.kind === 'node' ? ui.selection.id : null));
  const node = id === null ? undefined : props.nodes[id];
  const angle = id === null ? undefined : props.angles[id];
  if (!node || angle === undefined) return null;
  const from = onRing(angle);
  const lines = [
    ...node.successors.map((to) => ({ to, kind: 'successor' })),
    ...node.fingers.filter((to) => !node.successors.includes(to)).map((to) => ({ to, kind: 'finger' })),
  ];
  return (
    <g className="neighbours">
      {lines.map(({ to, kind }) => {
        const other = props.angles[to];
        if (other === undefined || to === node.id) return null;
        const end = onRing(other);
        const bend = 0.55 + 0.12 * spread(to);
        return (
          <path
            key={`${kind}-${to}`}
            className={kind}
            d={`M ${from.x} ${from.y} Q ${((from.x + end.x) / 2) * bend} ${((from.y + end.y) / 2) * bend} ${end.x} ${end.y}`}
          />
        );
      })}
    </g>
  );
}

function RingWords({ count, joining }: { count: number; joining: number }) {
  const ring = useCollection('ring').ring;
  const holds = ring?.holds ?? null;
  return (
    <g className="steady ring-words" data-testid="ring-words">
      <text className="ring-count" y={-4} textAnchor="middle">
        {text.map.nodes(count)}
      </text>
      <text className="ring-state" data-holds={String(holds)} y={16} textAnchor="middle">
        {holds === null ? text.map.unknown : holds ? text.map.holds : text.map.broken}
      </text>
      {(joining > 0 || (holds === false && ring?.culprit)) && (
        <text className="ring-note" y={34} textAnchor="middle">
          {joining > 0 ? text.map.joining(joining) : (ring?.culprit ?? '')}
        </text>
      )}
    </g>
  );
}
