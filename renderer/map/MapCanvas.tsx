import { ReactFlow, ReactFlowProvider, useReactFlow, useStore, ViewportPortal } from '@xyflow/react';
import { useCallback, useEffect, useRef } from 'react';
import { mapBounds } from '../model/geometry.ts';
import { Icon } from '../parts/Icon.tsx';
import { text } from '../text.ts';
import { MapDrawing } from './MapDrawing.tsx';

/** How near one looks: far shows dots, middle names and states, near figures, close every name. */
export function nearness(zoom: number): 'far' | 'middle' | 'near' | 'close' {
  if (zoom < 0.36) return 'far';
  if (zoom < 0.56) return 'middle';
  return zoom < 1.5 ? 'near' : 'close';
}

/** Pan, zoom and fit around the drawing. It stays fitted until somebody pans or zooms. */
export function MapCanvas() {
  return (
    <ReactFlowProvider>
      <Canvas />
    </ReactFlowProvider>
  );
}

const noNodes: never[] = [];
const stepMs = 120;

function Canvas() {
  const frame = useRef<HTMLDivElement>(null);
  const fitted = useRef(true);
  const goal = useRef({ zoom: 1, until: 0 });
  const flow = useReactFlow();
  const zoom = useStore((store) => store.transform[2]);
  const width = useStore((store) => store.width);
  const height = useStore((store) => store.height);

  const fitMap = useCallback(() => {
    fitted.current = true;
    void flow.fitBounds(mapBounds, { padding: 0.015 });
  }, [flow]);

  useEffect(() => {
    if (width > 0 && height > 0 && fitted.current) fitMap();
  }, [width, height, fitMap]);

  useEffect(() => {
    const steady = Math.min(2.1, Math.max(0.5, 1 / zoom));
    frame.current?.style.setProperty('--steady', steady.toFixed(3));
  }, [zoom]);

  const step = (by: number) => {
    fitted.current = false;
    // A step that is taken while the one before is still drawn goes on from where that one leads.
    const now = performance.now();
    const from = now < goal.current.until ? goal.current.zoom : flow.getZoom();
    goal.current = { zoom: from * by, until: now + stepMs };
    void flow.zoomTo(goal.current.zoom, { duration: stepMs });
  };

  return (
    <section
      className="map-canvas"
      ref={frame}
      data-lod={nearness(zoom)}
      aria-label={text.views.map}
      onKeyDown={(event) => {
        if (event.ctrlKey || event.metaKey || event.altKey) return;
        if (event.key === '+' || event.key === '=') step(1.25);
        else if (event.key === '-') step(0.8);
        else if (event.key === '0') fitMap();
      }}
    >
      <ReactFlow
        nodes={noNodes}
        edges={noNodes}
        minZoom={0.2}
        maxZoom={4}
        nodesDraggable={false}
        nodesConnectable={false}
        elementsSelectable={false}
        disableKeyboardA11y
        zoomOnDoubleClick={false}
        proOptions={{ hideAttribution: true }}
        onMoveStart={(event) => {
          if (event) fitted.current = false;
        }}
      >
        <ViewportPortal>
          <div className="map-sheet">
            <MapDrawing />
          </div>
        </ViewportPortal>
      </ReactFlow>
      <div className="map-controls">
        <button
          type="button"
          className="icon-button"
          aria-label={text.map.zoomIn}
          title={`${text.map.zoomIn} (+)`}
          onClick={() => step(1.25)}
        >
          <Icon name="plus" size={16} />
        </button>
        <button
          type="button"
          className="icon-button"
          aria-label={text.map.zoomOut}
          title={`${text.map.zoomOut} (−)`}
          onClick={() => step(0.8)}
        >
          <Icon name="minus" size={16} />
        </button>
        <button
          type="button"
          className="icon-button"
          aria-label={text.map.fit}
          title={`${text.map.fit} (0)`}
          onClick={fitMap}
        >
          <Icon name="fit" size={16} />
        </button>
      </div>
    </section>
  );
}
