import type { ReactNode } from 'react';
import type { Point } from '../model/geometry.ts';
import { type MapSelection, useUi } from '../store/ui-store.ts';

/** A place on the map that keeps its size on the screen, takes the focus, and is pinned by click or Enter. */
export function Spot(props: {
  kind: MapSelection['kind'];
  id: string;
  at: Point;
  label: string;
  className: string;
  data?: Record<`data-${string}`, string | boolean | undefined>;
  children: ReactNode;
}) {
  const selected = useUi((ui) => ui.selection?.kind === props.kind && ui.selection.id === props.id);
  const select = useUi((ui) => ui.select);
  const toggle = () => select(selected ? null : { kind: props.kind, id: props.id });
  return (
    // biome-ignore lint/a11y/useSemanticElements: an HTML button cannot stand inside an SVG drawing
    <g
      transform={`translate(${props.at.x.toFixed(1)} ${props.at.y.toFixed(1)})`}
      className={`spot ${props.className}`}
      role="button"
      tabIndex={0}
      aria-label={props.label}
      aria-pressed={selected}
      {...props.data}
      onClick={toggle}
      onKeyDown={(event) => {
        if (event.key !== 'Enter' && event.key !== ' ') return;
        event.preventDefault();
        toggle();
      }}
    >
      <g className="steady">{props.children}</g>
    </g>
  );
}
