import { waitingProposals } from '../model/reading.ts';
import { Icon } from '../parts/Icon.tsx';
import { useCollection } from '../store/console-store.ts';
import { useUi, views } from '../store/ui-store.ts';
import { text } from '../text.ts';

/** The rooms, one click or one digit away. */
export function Rail() {
  const view = useUi((ui) => ui.view);
  const show = useUi((ui) => ui.show);
  const waiting = waitingProposals(useCollection('proposals')).length;
  return (
    <nav className="rail" aria-label={text.rail}>
      {views.map((name, index) => (
        <button
          key={name}
          type="button"
          aria-current={view === name ? 'page' : undefined}
          aria-keyshortcuts={String(index + 1)}
          onClick={() => show(name)}
        >
          <Icon name={name} />
          <span>{text.views[name]}</span>
          {name === 'moves' && waiting > 0 && (
            <span className="badge" role="status" aria-label={text.badge(waiting)}>
              {waiting}
            </span>
          )}
        </button>
      ))}
    </nav>
  );
}
