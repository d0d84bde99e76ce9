import { Nothing } from '../parts/Nothing.tsx';
import { useConsoleState } from '../store/console-store.ts';
import { text } from '../text.ts';
import { Inspector } from './Inspector.tsx';
import { Legend } from './Legend.tsx';
import { MapCanvas } from './MapCanvas.tsx';
import { SidePanel } from './SidePanel.tsx';

/** The map, and beside it the answer in figures. */
export function MapRoom() {
  const empty = useConsoleState(
    (state) => Object.keys(state.sites).length === 0 && Object.keys(state.nodes).length === 0,
  );
  const phaseText = useConsoleState((state) => state.console.console?.phaseText ?? '');
  return (
    <div className="map-room">
      {empty ? (
        <Nothing icon="map" title={text.map.empty} hint={phaseText || text.map.emptyHint}>
          {phaseText && <p className="muted">{text.map.emptyHint}</p>}
        </Nothing>
      ) : (
        <div className="map-area">
          <MapCanvas />
          <Legend />
          <Inspector />
        </div>
      )}
      <SidePanel />
    </div>
  );
}
