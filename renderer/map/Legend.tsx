import { text } from '../text.ts';

/** What the lines mean, in the same strokes as on the map. */
export function Legend() {
  return (
    <ul className="legend" aria-label={text.map.legend}>
      {(['path', 'direct', 'lifeline', 'flood', 'move', 'left'] as const).map((kind) => (
        <li key={kind}>
          <svg width="28" height="10" aria-hidden="true">
            {kind === 'left' ? (
              <rect className="legend-left" x="8" y="1" width="12" height="8" rx="2" />
            ) : (
              <line className={`legend-${kind}`} x1="1" y1="5" x2="27" y2="5" />
            )}
          </svg>
          {text.map.legendItems[kind]}
        </li>
      ))}
    </ul>
  );
}
